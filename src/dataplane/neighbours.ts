import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { canonicalAddress, isIPv6Address } from '../core/address.ts';
import type { Address } from '../core/model.ts';
import type { NeighbourRow } from './iproute.ts';
import { readRoutesTo } from './iproute.ts';

/** The discard port (RFC 863): any datagram makes the kernel resolve the neighbour, or confirm what it knows. */
const DISCARD_PORT = 9;
/** So many are asked at once: each that is not known yet is a broadcast to the whole segment. */
const ASKED_AT_ONCE = 64;
const PAUSE_MS = 100;

/** Why no MAC address is known. */
type Unreached = 'silent' | 'elsewhere';

/**
 * MAC addresses of the gateway and of reals on the segment of one interface, as the kernel has them. XDP looks up no
 * neighbours and confirms none, so the kernel would let its entries go stale under full traffic: somebody has to ask.
 */
export class Neighbours {
  readonly #name: string;
  readonly #gateway: Address;
  readonly #log: Logger;
  #reals: ReadonlySet<Address> = new Set();
  readonly #macs = new Map<Address, string>();
  /** Those that were logged, so that it is done once. */
  readonly #unreached = new Map<Address, Unreached>();
  #closed = false;

  /** @param name of the interface */
  constructor(name: string, gateway: Address, log: Logger) {
    this.#name = name;
    this.#gateway = gateway;
    this.#log = log;
  }

  /** From now on looks after the gateway and these; others are forgotten. False when nothing is new about that. */
  want(reals: ReadonlySet<Address>): boolean {
    if (isDeepStrictEqual(reals, this.#reals)) return false;
    this.#reals = new Set(reals);
    for (const known of [this.#macs, this.#unreached])
      for (const address of known.keys()) if (!this.#wants(address)) known.delete(address);
    return true;
  }

  /** While the gateway is silent its last one stays: it is the best guess there is. Undefined: never known. */
  get gatewayMac(): string | undefined {
    return this.#macs.get(this.#gateway);
  }

  /** Of reals, as far as they are known. While one is silent its last one stays. */
  get macs(): ReadonlyMap<Address, string> {
    return new Map([...this.#macs].filter(([address]) => this.#reals.has(address)));
  }

  /** Reals of which nothing is known yet. */
  get pending(): Address[] {
    return [...this.#reals].filter((address) => !this.#macs.has(address) && !this.#unreached.has(address));
  }

  /** Reals that were looked for in vain; sorted by text. */
  get missing(): Address[] {
    return [...this.#unreached.keys()].filter((address) => this.#reals.has(address) && !this.#macs.has(address)).sort();
  }

  /** Makes the kernel ask all of them, some at a time; what comes of it is in its table later. */
  async ask(): Promise<void> {
    const reals = [...this.#reals].filter((address) => address !== this.#gateway);
    const elsewhere = await this.#elsewhere(reals.filter((address) => !this.#macs.has(address)));
    const asked = [this.#gateway, ...reals.filter((address) => !elsewhere.has(address))];
    for (let at = 0; at < asked.length && !this.#closed; at += ASKED_AT_ONCE) {
      if (at > 0) await sleep(PAUSE_MS);
      await poke(this.#name, asked.slice(at, at + ASKED_AT_ONCE));
    }
  }

  /** Takes over what the kernel knows. */
  take(rows: readonly NeighbourRow[]): void {
    for (const { dst, lladdr, state = [] } of rows) {
      const address = canonicalAddress(dst);
      if (address === null || !this.#wants(address)) continue;
      if (state.includes('FAILED')) this.#tell(address, 'silent');
      else if (lladdr !== undefined) this.#found(address, lladdr);
    }
  }

  /** Ends `ask` early. */
  close(): void {
    this.#closed = true;
  }

  #wants(address: Address): boolean {
    return address === this.#gateway || this.#reals.has(address);
  }

  #found(address: Address, mac: string): void {
    this.#macs.set(address, mac);
    if (this.#unreached.delete(address))
      this.#log.info({ address, mac, interface: this.#name }, 'the MAC address of a neighbour is known again');
  }

  #tell(address: Address, why: Unreached): void {
    if (this.#unreached.get(address) === why) return;
    this.#unreached.set(address, why);
    const fields = { address, mac: this.#macs.get(address) ?? null, interface: this.#name };
    if (address === this.#gateway) this.#log.warn(fields, 'the gateway does not answer; its last MAC address stays');
    else if (why === 'silent')
      this.#log.warn(fields, 'a real with encap l2 does not answer; its last MAC address stays, if there is one');
    else
      this.#log.warn(
        fields,
        'a real with encap l2 is not on the segment of the interface; use ipip or gue for its pool',
      );
  }

  /** Which of these lead to a router, to another interface, or nowhere. */
  async #elsewhere(addresses: readonly Address[]): Promise<Set<Address>> {
    if (addresses.length === 0) return new Set();
    const routes = await readRoutesTo(addresses);
    const byAddress = new Map(routes.map((route) => [canonicalAddress(route.dst), route]));
    const found = new Set<Address>();
    for (const address of addresses) {
      const route = byAddress.get(address);
      if (route?.dev === this.#name && route.gateway === undefined && route.via === undefined) continue;
      found.add(address);
      // A real that is this host needs no MAC address.
      if (route?.type !== 'local') this.#tell(address, 'elsewhere');
    }
    return found;
  }
}

/** Sends each an empty datagram. What the kernel refuses to send shows in its table of neighbours. */
async function poke(name: string, addresses: readonly Address[]): Promise<void> {
  for (const type of ['udp4', 'udp6'] as const) {
    const targets = addresses.filter((address) => isIPv6Address(address) === (type === 'udp6'));
    if (targets.length === 0) continue;
    const socket = createSocket(type);
    try {
      // Where there are no descriptors left, `send` would tell nobody but the process.
      await once(socket.bind(), 'listening');
      await Promise.all(targets.map((address) => send(socket, name, address)));
    } finally {
      socket.close();
    }
  }
}

function send(socket: Socket, name: string, address: Address): Promise<void> {
  // A router’s IPv6 address is often link-local, and means something on one interface only.
  const target = address.startsWith('fe80:') ? `${address}%${name}` : address;
  return new Promise((resolve) => socket.send('', DISCARD_PORT, target, () => resolve()));
}
