import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EtcdFlags, EtcdServer } from './etcd.ts';

const run = promisify(execFile);
const START_TRIES = 5;
const CTL_TIMEOUT_MS = 10_000;

/** What a test that timed out leaves behind goes with the test process, which vitest ends by SIGTERM. */
const alive = new Set<() => void>();
const endAll = () => alive.forEach((end) => void end());
process.once('exit', endAll);
process.once('SIGTERM', () => {
  endAll();
  process.kill(process.pid, 'SIGTERM');
});

/** A real etcd server of one member on 127.0.0.1 with free ports and a data directory of its own. */
export class EtcdProcess implements EtcdServer {
  readonly endpoint: string;
  readonly #dir: string;
  readonly #peer: string;
  readonly #flags: EtcdFlags;
  #process: ChildProcess | undefined;
  readonly #end = () => {
    this.#process?.kill('SIGKILL');
    rmSync(this.#dir, { recursive: true, force: true });
  };

  static async start(flags: EtcdFlags = {}): Promise<EtcdProcess> {
    for (let tries = 1; ; tries++) {
      const [client, peer] = await freePorts(2);
      const dir = await mkdtemp(join(tmpdir(), 'pilotfish-etcd-'));
      const server = new EtcdProcess(dir, `127.0.0.1:${client}`, `http://127.0.0.1:${peer}`, flags);
      try {
        await server.boot();
        return server;
      } catch (error) {
        await server[Symbol.asyncDispose]();
        // Another process may have taken a port between the look and the use.
        if (tries === START_TRIES) {
          throw error;
        }
      }
    }
  }

  private constructor(dir: string, endpoint: string, peer: string, flags: EtcdFlags) {
    this.#dir = dir;
    this.endpoint = endpoint;
    this.#peer = peer;
    this.#flags = flags;
    alive.add(this.#end);
  }

  get #url(): string {
    return `${this.#flags.tls === undefined ? 'http' : 'https'}://${this.endpoint}`;
  }

  /** Starts the server on its ports and data directory; resolves when it answers. */
  async boot(token = this.#flags.token ?? 'pilotfish-test'): Promise<void> {
    const { tls } = this.#flags;
    const args = [
      ['--name', 'one'],
      ['--data-dir', join(this.#dir, 'data')],
      ['--listen-client-urls', this.#url],
      ['--advertise-client-urls', this.#url],
      ['--listen-peer-urls', this.#peer],
      ['--initial-advertise-peer-urls', this.#peer],
      ['--initial-cluster', `one=${this.#peer}`],
      ['--initial-cluster-token', token],
      // The only member has nobody to wait for.
      ['--heartbeat-interval', '20', '--election-timeout', '200'],
      tls === undefined ? [] : ['--cert-file', tls.cert, '--key-file', tls.key],
      [...(this.#flags.extra ?? [])],
    ].flat();
    const child = spawn('etcd', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    let log = '';
    const ready = new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (piece: Buffer) => {
        log = (log + piece.toString()).slice(-8_000);
        if (/ready to serve client requests/.test(log)) {
          resolve();
        }
      });
      child.once('exit', () => reject(new Error(`etcd ended at start:\n${log.slice(-2_000)}`)));
      child.once('error', reject);
    });
    await ready;
  }

  async ctl(...args: string[]): Promise<string> {
    const trust = this.#flags.tls === undefined ? [] : ['--cacert', this.#flags.tls.ca];
    const { stdout } = await run('etcdctl', ['--endpoints', this.#url, ...trust, ...args], {
      env: { ...process.env, ETCDCTL_API: '3' },
      timeout: CTL_TIMEOUT_MS,
    });
    return stdout;
  }

  /** Applies etcdctl’s own words for requests, a line each, as one transaction. */
  async txn(requests: string): Promise<void> {
    const child = spawn('etcdctl', ['--endpoints', this.#url, 'txn'], {
      env: { ...process.env, ETCDCTL_API: '3' },
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    child.stdin.end(`\n${requests}\n\n\n`);
    const [code] = await once(child, 'exit');
    if (code !== 0) {
      throw new Error(`etcdctl txn ended with ${code}`);
    }
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(name);
  }

  /** Ends the server without a chance to say goodbye, as a crash does. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
  }

  /** Copies the data directory of a server that was killed. */
  async backUp(): Promise<void> {
    await cp(join(this.#dir, 'data'), join(this.#dir, 'backup'), { recursive: true });
  }

  /** Puts the copy back, as an operator does after a loss: the same cluster, at an earlier time. */
  async restore(): Promise<void> {
    await this.wipe();
    await cp(join(this.#dir, 'backup'), join(this.#dir, 'data'), { recursive: true });
  }

  async wipe(): Promise<void> {
    await rm(join(this.#dir, 'data'), { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true });
    alive.delete(this.#end);
  }
}

/** Ports that were free a moment ago, as many as asked for, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}
