/** The lab’s store: a real etcd in this machine’s own namespace, reached from the LBs through the router. */
import { join } from 'node:path';
import { run } from './netns.ts';
import { runDir } from './paths.ts';
import { LabProcess } from './process.ts';
import { rootLeg } from './topology.ts';

const clientPort = 23790;
const peerUrl = 'http://127.0.0.1:23791';

export class Etcd {
  /** Works on this machine and on the LBs. */
  readonly endpoint = `http://${rootLeg.address}:${clientPort}`;
  readonly #process: LabProcess;

  constructor() {
    const clientUrls = `${this.endpoint},http://127.0.0.1:${clientPort}`;
    const options = {
      name: 'lab',
      'data-dir': join(runDir, 'etcd'),
      'listen-client-urls': clientUrls,
      'advertise-client-urls': this.endpoint,
      'listen-peer-urls': peerUrl,
      'initial-advertise-peer-urls': peerUrl,
      'initial-cluster': `lab=${peerUrl}`,
      // The only member has nobody to wait for.
      'heartbeat-interval': '20',
      'election-timeout': '200',
    };
    this.#process = new LabProcess({
      name: 'etcd',
      command: 'etcd',
      args: Object.entries(options).map(([name, value]) => `--${name}=${value}`),
    });
  }

  /** Resolves when the server answers; started anew it has what it had. */
  async start(): Promise<void> {
    await this.#process.start();
    const health = async () => {
      const response = await fetch(`${this.endpoint}/health`).catch(() => null);
      return response?.ok === true && ((await response.json()) as { health: string }).health === 'true';
    };
    await this.#process.waitUntil(health, 'is healthy');
  }

  stop(): Promise<void> {
    return this.#process.end('SIGTERM');
  }

  kill(): Promise<void> {
    return this.#process.end('SIGKILL');
  }

  pid(): Promise<number | null> {
    return this.#process.pid();
  }

  /** Runs the real etcdctl against the lab’s store. @throws PF_LAB when it fails */
  etcdctl(args: readonly string[], input?: string): Promise<string> {
    return run('etcdctl', [`--endpoints=${this.endpoint}`, ...args], input);
  }

  /** A value that is not a string is written as JSON. */
  async put(key: string, value: unknown): Promise<void> {
    await this.etcdctl(['put', key], typeof value === 'string' ? value : JSON.stringify(value));
  }

  async delete(key: string, options: { prefix?: boolean } = {}): Promise<void> {
    await this.etcdctl(['del', key, ...(options.prefix ? ['--prefix'] : [])]);
  }
}
