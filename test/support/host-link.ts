import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { HostLinkOptions } from '../../src/dataplane/host-link.ts';
import { until } from './until.ts';

const script = fileURLToPath(new URL('./host-link-child.ts', import.meta.url));

/** A HostImage as it comes out of JSON. */
export interface ImageText {
  readonly mtu: number;
  readonly gatewayMac: string;
  readonly ownMac: string;
  readonly local: readonly string[];
  readonly neighbours: Readonly<Record<string, string>>;
  readonly tunnels: HostLinkOptions['tunnels'];
  readonly own: readonly string[];
}

interface Line {
  readonly opened?: { readonly gateway: string; readonly egressIndex: number };
  readonly image?: ImageText;
  readonly log?: Readonly<Record<string, unknown>>;
  readonly problems?: readonly string[];
}

/** A HostLink that runs in a network namespace of the test. */
export class NamespacedHostLink implements AsyncDisposable {
  readonly logs: Readonly<Record<string, unknown>>[] = [];
  readonly images: ImageText[] = [];
  opened: NonNullable<Line['opened']> = { gateway: '', egressIndex: -1 };
  #problems: readonly string[] | null = null;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #errors = '';

  private constructor(namespace: string, options: Partial<HostLinkOptions>) {
    const given = { interface: 'eth0', tunnels: [], ...options };
    const args = [`--net=/run/netns/${namespace}`, process.execPath, script, JSON.stringify(given)];
    this.#child = spawn('nsenter', args);
    this.#exited = once(this.#child, 'close');
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk;
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(JSON.parse(line)));
  }

  /** @throws Error with what it wrote to standard error, when it does not open */
  static async open(namespace: string, options: Partial<HostLinkOptions> = {}): Promise<NamespacedHostLink> {
    const link = new NamespacedHostLink(namespace, options);
    await until('the link is open', 15_000, () => link.images.length > 0 || link.#child.exitCode !== null);
    if (link.images.length > 0) return link;
    await link.#exited;
    throw new Error(link.#errors);
  }

  /** The newest one. */
  get image(): ImageText {
    const image = this.images.at(-1);
    if (image === undefined) throw new Error('there is no image');
    return image;
  }

  want(...addresses: readonly string[]): void {
    this.#child.stdin.write(`${JSON.stringify(addresses)}\n`);
  }

  async problems(): Promise<readonly string[]> {
    this.#problems = null;
    this.#child.stdin.write('problems\n');
    await until('it tells its problems', 5_000, () => this.#problems !== null);
    return this.#problems ?? [];
  }

  /** Ends it as an agent would; fails when that takes long or leaves an error. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await this.#exited;
    clearTimeout(kill);
    if (this.#child.exitCode !== 0) throw new Error(`it ended with ${this.#child.exitCode}: ${this.#errors}`);
  }

  #take({ opened, image, log, problems }: Line): void {
    if (opened !== undefined) this.opened = opened;
    if (image !== undefined) this.images.push(image);
    if (log !== undefined) this.logs.push(log);
    if (problems !== undefined) this.#problems = problems;
  }
}
