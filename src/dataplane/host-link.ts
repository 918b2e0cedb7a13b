import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { PilotfishError } from '../core/errors.ts';
import type { HostImage } from '../core/target.ts';

/**
 * The interface and its next hop, asked of `ip -j` (iproute2): Node has no netlink, and a resident binding for three
 * questions would be more than they are worth.
 */

const run = promisify(execFile);
const RESOLVE_MS = 5_000;
const POLL_MS = 10_000;
/** The discard port (RFC 863): any datagram makes the kernel resolve the neighbour. */
const DISCARD_PORT = 9;
const NO_MAC = '00:00:00:00:00:00';

interface LinkRow {
  readonly address: string;
  readonly mtu: number;
  readonly operstate: string;
}

interface NeighbourRow {
  readonly lladdr?: string;
  readonly state?: readonly string[];
}

async function ip<T>(...args: string[]): Promise<T[]> {
  const { stdout } = await run('ip', ['-j', ...args]);
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as T[]);
}

async function readLink(name: string): Promise<LinkRow> {
  try {
    const [row] = await ip<LinkRow>('link', 'show', 'dev', name);
    if (row !== undefined) return row;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new PilotfishError('PF_INTERFACE', 'the program `ip` is not on the PATH', {
        fix: 'install iproute2',
        cause,
      });
  }
  const all = await ip<{ ifname: string }>('link', 'show');
  throw new PilotfishError('PF_INTERFACE', `there is no interface ${name}`, {
    fix: `set interface in agent.yaml to one of: ${all.map((row) => row.ifname).join(', ')}`,
  });
}

/** The gateway of the default route over this interface: IPv4’s, else IPv6’s. Either takes packets of both families. */
async function routedGateway(name: string): Promise<string> {
  for (const family of ['-4', '-6']) {
    const routes = await ip<{ gateway?: string }>(family, 'route', 'show', 'default', 'dev', name);
    const gateway = routes.find((route) => route.gateway !== undefined)?.gateway;
    if (gateway !== undefined) return gateway;
  }
  throw new PilotfishError('PF_GATEWAY', `no gateway is configured and no default route leaves by ${name}`, {
    fix: 'set gateway in agent.yaml to the router that encapsulated packets go to',
  });
}

/** Makes the kernel ask for the neighbour, or confirm what it knows. */
async function poke(name: string, address: string): Promise<void> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  // A router’s IPv6 address is often link-local, and means something on one interface only.
  const target = address.startsWith('fe80:') ? `${address}%${name}` : address;
  try {
    await new Promise<void>((resolve) => socket.send('', DISCARD_PORT, target, () => resolve()));
  } finally {
    socket.close();
  }
}

async function neighbour(name: string, address: string): Promise<NeighbourRow | undefined> {
  const [row] = await ip<NeighbourRow>('neigh', 'show', 'to', address, 'dev', name);
  return row;
}

export interface HostLinkOptions {
  readonly interface: string;
  /** IP address; undefined: that of the default route over the interface. */
  readonly gateway: string | undefined;
  /** Bytes of the largest IP packet; undefined: the interface’s. */
  readonly mtu: number | undefined;
  readonly log: Logger;
}

/**
 * Knows the next hop’s MAC address and keeps it fresh: XDP looks up no neighbours and confirms none, so the kernel
 * would let the entry go stale under full traffic.
 */
export class HostLink {
  readonly gateway: string;
  readonly #options: HostLinkOptions;
  #image: HostImage;
  #onChange: (image: HostImage) => void = () => {};
  #monitor: ReturnType<typeof spawn> | undefined;
  #poll: NodeJS.Timeout | undefined;
  #refreshing: Promise<void> | null = null;
  #closed = false;

  private constructor(options: HostLinkOptions, gateway: string, image: HostImage) {
    this.#options = options;
    this.gateway = gateway;
    this.#image = image;
  }

  /**
   * @throws PilotfishError PF_INTERFACE: no such interface; PF_GATEWAY: no gateway is known, or it does not answer
   * within 5 s
   */
  static async open(options: HostLinkOptions): Promise<HostLink> {
    const link = await readLink(options.interface);
    const gateway = options.gateway ?? (await routedGateway(options.interface));
    const gatewayMac = await HostLink.#resolve(options.interface, gateway, link.operstate);
    const image = { mtu: options.mtu ?? link.mtu, gatewayMac, ownMac: link.address };
    return new HostLink(options, gateway, image);
  }

  static async #resolve(name: string, gateway: string, operstate: string): Promise<string> {
    const deadline = Date.now() + RESOLVE_MS;
    for (let wait = 10; ; wait = Math.min(wait * 2, 500)) {
      const row = await neighbour(name, gateway);
      if (row?.lladdr !== undefined && !row.state?.includes('FAILED')) return row.lladdr;
      if (Date.now() > deadline) break;
      await poke(name, gateway);
      await sleep(wait);
    }
    throw new PilotfishError(
      'PF_GATEWAY',
      `gateway ${gateway} does not answer on ${name} (link is ${operstate}) within ${RESOLVE_MS / 1000} s`,
      {
        fix: `check the cable, VLAN and address: \`ip neigh show dev ${name}\`, or set another gateway in agent.yaml`,
        retryable: true,
      },
    );
  }

  get image(): HostImage {
    return this.#image;
  }

  /** Reports every change of MAC address or MTU from now on, at once when the kernel tells and else within 10 s. */
  watch(onChange: (image: HostImage) => void): void {
    this.#onChange = onChange;
    this.#poll = setInterval(() => this.#refresh(true), POLL_MS);
    this.#startMonitor();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#poll);
    this.#monitor?.kill();
    await this.#refreshing;
  }

  #startMonitor(): void {
    const monitor = spawn('ip', ['monitor', 'neigh', 'link', 'dev', this.#options.interface], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    monitor.stdout.on('data', () => this.#refresh(false));
    monitor.on('error', (err) => this.#options.log.warn({ err }, 'ip monitor failed; the gateway is polled only'));
    monitor.on('exit', () => {
      if (!this.#closed) setTimeout(() => !this.#closed && this.#startMonitor(), POLL_MS).unref();
    });
    this.#monitor = monitor;
  }

  #refresh(confirm: boolean): void {
    if (this.#refreshing !== null || this.#closed) return;
    this.#refreshing = this.#read(confirm)
      .catch((err) => this.#options.log.warn({ err }, 'the gateway could not be read'))
      .finally(() => {
        this.#refreshing = null;
      });
  }

  async #read(confirm: boolean): Promise<void> {
    if (confirm) await poke(this.#options.interface, this.gateway);
    const [link, row] = await Promise.all([
      readLink(this.#options.interface),
      neighbour(this.#options.interface, this.gateway),
    ]);
    const failed = row?.lladdr === undefined || row.state?.includes('FAILED');
    // The last MAC address stays: while the gateway is silent it is the best guess there is.
    const gatewayMac = failed ? this.#image.gatewayMac : (row.lladdr ?? NO_MAC);
    if (failed)
      this.#options.log.warn({ gateway: this.gateway }, 'the gateway does not answer; its last MAC address stays');
    const next = { mtu: this.#options.mtu ?? link.mtu, gatewayMac, ownMac: link.address };
    const changed = (Object.keys(next) as (keyof HostImage)[]).some((key) => next[key] !== this.#image[key]);
    this.#image = next;
    if (changed && !this.#closed) this.#onChange(next);
  }
}
