/** An LB of the lab: a namespace in which the agent runs, as it would on a host of its own. */
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { AgentState } from '../src/agent-state.ts';
import { inNamespace, run, runIn } from './netns.ts';
import { ecmpLock, ecmpScript, packageRoot, pinDirOf, runDir } from './paths.ts';
import { LabProcess } from './process.ts';
import { type Host, routerNamespace, vipPrefix, vipPrefix6 } from './topology.ts';

/** Where the lab’s agents look for the desired state. */
export const statePrefix = '/pilotfish/v1/';

export interface AgentOptions {
  /** Of the keys in the store; default statePrefix. */
  readonly prefix?: string;
  /** In place of parts of `announce`; by default the hooks change the router’s ECMP route. */
  readonly announce?: Readonly<Record<string, unknown>>;
}

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

  /** The announce hook: next hops of the router’s ECMP route. */
  #hook(action: 'join' | 'leave'): string[] {
    const routes = [vipPrefix, this.host.address, vipPrefix6, this.host.address6];
    const script = [ecmpScript, action, ecmpLock, ...routes];
    const [command, args] = inNamespace(routerNamespace, 'sh', script);
    return [command, ...args];
  }

  /** Writes agent.yaml, starts the agent and resolves when it is ready and the router sends it packets, or must not. */
  async start({ prefix = statePrefix, announce = {} }: AgentOptions = {}): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    await writeFile(
      this.configFile,
      stringify({
        name: this.name,
        interface: this.host.device,
        ...(this.host.egress && { egress: this.host.egress.device }),
        gateway: (this.host.egress ?? this.host).gateway,
        source: { etcd: { endpoints: [this.#etcdEndpoint], prefix } },
        pinDir: this.pinDir,
        admin: { socket: this.adminSocket },
        announce: { join: this.#hook('join'), leave: this.#hook('leave'), ...announce },
        stateDir: this.#directory,
        log: { level: 'info' },
      }),
    );
    await this.#process.start();
    await this.#process.waitUntil(() => this.#isAnnounced(), 'is ready and announced', 15_000);
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

  /** What `pilotfish status` shows. @throws when the agent does not answer */
  async state(): Promise<AgentState> {
    return JSON.parse((await this.admin('/v1/state')).body) as AgentState;
  }

  async #isAnnounced(): Promise<boolean> {
    if (!(await this.isReady())) return false;
    return ['joined', 'left'].includes((await this.state()).announced.state);
  }

  /** Pulls the cable: the router finds no carrier and takes the LB out of the route by itself. */
  async isolate(): Promise<void> {
    await runIn(routerNamespace, 'ip', ['link', 'set', this.host.port, 'down']);
  }

  async rejoin(): Promise<void> {
    await runIn(routerNamespace, 'ip', ['link', 'set', this.host.port, 'up']);
  }

  /** Changes the router’s route as the hook does, without a word to the LB. */
  async route(action: 'join' | 'leave'): Promise<void> {
    const [command = '', ...args] = this.#hook(action);
    await run(command, args);
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
