import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { canonicalAddress } from '../core/address.ts';
import type { TunnelEnd } from '../core/data-plane.ts';
import { messageOf, PilotfishError } from '../core/errors.ts';
import type { Address } from '../core/model.ts';
import type { HostImage } from '../core/target.ts';
import { IpMonitor } from './ip-monitor.ts';
import { findLink, type LinkRow, readLinks, readNeighbours } from './iproute.ts';
import { Neighbours } from './neighbours.ts';
import { findNextHop, type LinkRows, type NextHop, resolveGateway } from './next-hop.ts';
import { OneAtATime } from './one-at-a-time.ts';

const POLL_MS = 10_000;
/** Says that it is not known. */
const NO_MAC = '00:00:00:00:00:00';
/** Changes come in bursts: one look for all within this time. */
const COALESCE_MS = 30;

export interface HostLinkOptions {
  /** Where packets come in. */
  readonly interface: string;
  /** Where packets to reals go out; undefined: where they came in. */
  readonly egress: string | undefined;
  /** IP address; undefined: that of the default route over the interface where packets go out. */
  readonly gateway: Address | undefined;
  /** Bytes of the largest IP packet; undefined: that of the interface where packets go out. */
  readonly mtu: number | undefined;
  /** Sorted by address text. */
  readonly tunnels: readonly TunnelEnd[];
  readonly log: Logger;
}

/**
 * Where addresses of the segment may be known. The program sees tagged frames of `out` and sends them back with their
 * tags, but the kernel has each VLAN on an interface of its own.
 */
function segmentsOf(links: readonly LinkRow[], out: LinkRow): LinkRows {
  return [out, ...links.filter(({ link }) => link === out.ifname)];
}

/**
 * Where packets come in and go out, with what stands on them or takes them up: VLANs, and a bond or a bridge. Not what
 * has another way in: an address of a VIP on lo is how this host is a real itself.
 */
function ownLinks(links: readonly LinkRow[], used: readonly LinkRow[]): LinkRow[] {
  const lower = new Set(used.map(({ ifname }) => ifname));
  const upper = new Set(links.filter(({ ifname }) => lower.has(ifname)).map(({ master }) => master));
  return links.filter(({ ifname, link = '' }) => lower.has(ifname) || lower.has(link) || upper.has(ifname));
}

function addressesOf(links: readonly LinkRow[]): Set<Address> {
  const rows = links.flatMap(({ addr_info = [] }) => addr_info);
  const own = rows.filter(({ tentative, dadfailed }) => tentative !== true && dadfailed !== true);
  return new Set(own.flatMap(({ local = '' }) => canonicalAddress(local) ?? []));
}

/**
 * What this host knows about itself and its segment: MTU and MAC address of the interface where packets go out, MAC
 * addresses of the gateway and of the reals that are reached directly, its own addresses. All of it is kept fresh.
 */
export class HostLink {
  readonly gateway: Address;
  /** Index of the interface where packets to reals go out; 0: the one where they came in. */
  readonly egressIndex: number;
  readonly #options: HostLinkOptions;
  /** Where packets go out, or its VLAN that the gateway is in. */
  readonly #name: string;
  readonly #neighbours: Neighbours;
  readonly #reader: OneAtATime;
  readonly #asker: OneAtATime;
  /** Those that the program is attached to and sends by, as they were when it was loaded. */
  readonly #used: readonly LinkRow[];
  #image: HostImage;
  #onChange: (image: HostImage) => void = () => {};
  #monitor: IpMonitor | undefined;
  #poll: NodeJS.Timeout | undefined;
  /** Why this host could not be looked at; null when it could. */
  #failure: string | null = null;

  private constructor(options: HostLinkOptions, links: readonly LinkRow[], hop: NextHop, neighbours: Neighbours) {
    const { interface: name, egress } = options;
    const used = [findLink(links, name, 'interface')];
    if (egress !== undefined) used.push(findLink(links, egress, 'egress'));
    this.gateway = hop.gateway;
    this.egressIndex = used[1]?.ifindex ?? 0;
    this.#options = options;
    this.#name = hop.link.ifname;
    this.#neighbours = neighbours;
    this.#reader = new OneAtATime(() => this.#attempt(() => this.#look()));
    this.#asker = new OneAtATime(() => this.#attempt(() => this.#ask()));
    this.#used = used;
    this.#image = this.#imageOf(links, hop.link);
  }

  /**
   * @throws PilotfishError PF_INTERFACE: no such interface; PF_GATEWAY: no gateway is known, or it does not answer within
   * 5 s
   */
  static async open(options: HostLinkOptions): Promise<HostLink> {
    const { interface: name, egress, log } = options;
    const links = await readLinks();
    const ingress = findLink(links, name, 'interface');
    const out = egress === undefined ? ingress : findLink(links, egress, 'egress');
    // By another interface packets leave without the tags that they came with.
    const hop = await findNextHop(egress === undefined ? segmentsOf(links, out) : [out], options.gateway);
    const neighbours = new Neighbours(hop.link.ifname, hop.gateway, log);
    await resolveGateway(hop, neighbours);
    return new HostLink(options, links, hop, neighbours);
  }

  get image(): HostImage {
    return this.#image;
  }

  /** True when every real that is wanted has a MAC address, needs none, or was looked for in vain. */
  get knowsNeighbours(): boolean {
    return this.#neighbours.pending.every((address) => this.#image.local.has(address));
  }

  /** What people should look at, in words. */
  get problems(): string[] {
    const problems = this.#failure === null ? [] : [`this host cannot be looked at: ${this.#failure}`];
    const { missing } = this.#neighbours;
    if (missing.length > 0)
      problems.push(`reals with encap l2 that have no MAC address on ${this.#name}: ${missing.join(', ')}`);
    return problems;
  }

  /** From now on the MAC addresses of these reals are in the image, as soon as they are known: those with encap `l2`. */
  want(reals: ReadonlySet<Address>): void {
    if (this.#neighbours.want(reals)) this.#asker.request();
  }

  /** Reports every change of the image from now on, at once when the kernel tells and else within 10 s. */
  watch(onChange: (image: HostImage) => void): void {
    this.#onChange = onChange;
    this.#poll = setInterval(() => this.#asker.request(), POLL_MS);
    this.#monitor = new IpMonitor(() => this.#reader.request(), this.#options.log);
  }

  async close(): Promise<void> {
    this.#onChange = () => {};
    clearInterval(this.#poll);
    this.#monitor?.close();
    this.#neighbours.close();
    await Promise.all([this.#asker.close(), this.#reader.close()]);
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (err) {
      const failure = messageOf(err).trim();
      if (failure !== this.#failure)
        this.#options.log.warn({ err }, 'this host cannot be looked at; what was known stays');
      this.#failure = failure;
    }
  }

  async #ask(): Promise<void> {
    await this.#neighbours.ask();
    // Of those whom the kernel knew already, the monitor tells nothing.
    this.#reader.request();
  }

  async #look(): Promise<void> {
    await sleep(COALESCE_MS);
    const links = await readLinks();
    for (const { ifname, ifindex } of this.#used)
      if (findLink(links, ifname, 'interface').ifindex !== ifindex)
        throw new PilotfishError(
          'PF_INTERFACE',
          `interface ${ifname} was made anew, without the program: restart the agent`,
        );
    this.#neighbours.take(await readNeighbours(this.#name));
    this.#failure = null;
    const image = this.#imageOf(links, findLink(links, this.#name, 'interface'));
    if (isDeepStrictEqual(image, this.#image)) return;
    this.#image = image;
    this.#onChange(image);
  }

  #imageOf(links: readonly LinkRow[], out: LinkRow): HostImage {
    return {
      mtu: this.#options.mtu ?? out.mtu,
      gatewayMac: this.#neighbours.gatewayMac ?? NO_MAC,
      ownMac: out.address,
      local: addressesOf(links),
      neighbours: this.#neighbours.macs,
      tunnels: this.#options.tunnels,
      own: addressesOf(ownLinks(links, this.#used)).add(this.gateway),
    };
  }
}
