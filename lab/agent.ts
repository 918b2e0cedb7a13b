/** An LB of the lab: a namespace in which the agent runs, as it would on a host of its own. */
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { packageRoot, pinDirOf, runDir } from './paths.ts';
import { LabProcess } from './process.ts';
import type { Host } from './topology.ts';

/** Where the lab’s agents look for the desired state. */
export const statePrefix = '/pilotfish/v1/';

export interface AdminResponse {
  readonly status: number;
  readonly body: string;
}

export class LabLb {
  readonly host: Host;
  readonly configFile: string;
  readonly adminSocket: string;
  readonly pinDir: string;
  readonly #directory: string;
  readonly #etcdEndpoint: string;
  readonly #process: LabProcess;

  constructor(host: Host, etcdEndpoint: string) {
    this.host = host;
    this.#directory = join(runDir, host.name);
    this.#etcdEndpoint = etcdEndpoint;
    this.configFile = join(this.#directory, 'agent.yaml');
    this.adminSocket = join(this.#directory, 'admin.sock');
    this.pinDir = pinDirOf(host.name);
    this.#process = new LabProcess({
      name: `agent-${host.name}`,
      namespace: host.namespace,
      command: process.execPath,
      args: [join(packageRoot, 'src/main.ts'), 'run', '--config', this.configFile],
    });
  }

  get name(): string {
    return this.host.name;
  }

  get logFile(): string {
    return this.#process.logFile;
  }

  pid(): Promise<number | null> {
    return this.#process.pid();
  }

  /** Writes agent.yaml, starts the agent and resolves when it says that it is ready. */
  async start(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    await writeFile(
      this.configFile,
      stringify({
        name: this.name,
        interface: this.host.device,
        gateway: this.host.gateway,
        source: { etcd: { endpoints: [this.#etcdEndpoint], prefix: statePrefix } },
        pinDir: this.pinDir,
        admin: { socket: this.adminSocket },
        log: { level: 'info' },
      }),
    );
    await this.#process.start();
    await this.#process.waitUntil(() => this.isReady(), 'is ready', 15_000);
  }

  /** As an init system stops it. */
  stop(): Promise<void> {
    return this.#process.end('SIGTERM');
  }

  kill(): Promise<void> {
    return this.#process.end('SIGKILL');
  }

  async isReady(): Promise<boolean> {
    return this.admin('/readyz').then(
      (response) => response.status === 200,
      () => false,
    );
  }

  /** One GET on the agent’s admin socket. */
  admin(path: string): Promise<AdminResponse> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.adminSocket, path, agent: false, timeout: 2_000 }, async (response) => {
        try {
          const chunks = await response.setEncoding('utf8').toArray();
          resolve({ status: response.statusCode ?? 0, body: chunks.join('') });
        } catch (error) {
          reject(error);
        }
      });
      asked.once('timeout', () => asked.destroy(new Error(`GET ${path}: no answer within 2 s`)));
      asked.once('error', reject);
      asked.end();
    });
  }
}
