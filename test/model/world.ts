import { addressBytes } from '../../src/core/address.ts';
import { buildRing } from '../../src/core/maglev.ts';
import type { Pool, Snapshot, Vip } from '../../src/core/model.ts';
import type { HostImage } from '../../src/core/target.ts';
import { ModelHash } from './flow-hash.ts';

/** A desired state and a host, as the model asks them. Every real is up. */

export interface ModelHost extends HostImage {
  /** Forwarded packets leave by another interface; `ownMac` is that one’s then. */
  readonly egress: boolean;
}

export interface ModelReal {
  readonly address: string;
  readonly bytes: Uint8Array;
  readonly pool: Pool;
}

interface Range {
  readonly bytes: Uint8Array;
  /** Leading bits that count. */
  readonly length: number;
}

interface Entry {
  readonly vip: Vip;
  readonly range: Range;
  /** IANA number. */
  readonly protocol: number;
}

/** @param text an address, or a prefix */
function range(text: string): Range {
  const [address = '', length] = text.split('/');
  const bytes = addressBytes(address);
  return { bytes, length: length === undefined ? bytes.length * 8 : Number(length) };
}

function contains({ bytes, length }: Range, address: Uint8Array): boolean {
  if (bytes.length !== address.length) return false;
  const whole = length >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== address[i]) return false;
  const mask = 0xff00 >> (length & 7);
  return (length & 7) === 0 || ((bytes[whole]! ^ address[whole]!) & mask & 0xff) === 0;
}

function looksForIds({ quic, tcpServerId, udpStableRouting }: Vip): boolean {
  return quic !== 'off' || tcpServerId || udpStableRouting;
}

const protocolNumbers = { tcp: 6, udp: 17 } as const;

/** What new flows of a pool are spread over. */
interface Ring {
  readonly reals: readonly ModelReal[];
  readonly slots: Uint16Array | null;
}

export class World {
  readonly snapshot: Snapshot;
  readonly host: ModelHost;
  readonly hash: ModelHash;
  readonly outerSource: { readonly v4: Range; readonly v6: Range };
  readonly #vips: readonly Entry[];
  readonly #clients = new Map<Vip, readonly { readonly range: Range; readonly pool: string }[]>();
  readonly #rings = new Map<string, Ring>();
  readonly #own: readonly Uint8Array[];
  readonly #tunnels: readonly { readonly bytes: Uint8Array; readonly guePort: number }[];

  constructor(snapshot: Snapshot, host: ModelHost) {
    const { settings, vips, pools } = snapshot;
    this.snapshot = snapshot;
    this.host = host;
    this.hash = new ModelHash(settings.seed);
    this.outerSource = { v4: range(settings.outerSource.v4), v6: range(settings.outerSource.v6) };
    this.#vips = [...vips.values()].map((vip) => ({
      vip,
      range: range(vip.address),
      protocol: protocolNumbers[vip.protocol],
    }));
    for (const vip of vips.values())
      this.#clients.set(
        vip,
        vip.clients.map(({ prefix, pool }) => ({ range: range(prefix), pool })),
      );
    for (const pool of pools.values()) this.#rings.set(pool.name, this.#ring(pool));
    this.#own = [...host.own].map(addressBytes);
    this.#tunnels = host.tunnels.map(({ address, guePort }) => ({ bytes: addressBytes(address), guePort }));
  }

  #ring(pool: Pool): Ring {
    const takers = pool.reals.filter(({ state, weight }) => state === 'active' && weight > 0);
    const reals = takers.map(({ address }) => ({ address, bytes: addressBytes(address), pool }));
    return { reals, slots: buildRing(takers, this.snapshot.settings.seed) };
  }

  /** A prefix takes no address of the host itself. */
  #matching(address: Uint8Array): readonly Entry[] {
    const found = this.#vips.filter(({ range: place }) => contains(place, address));
    const exact = found.some(({ range: { length } }) => length === 8 * address.length);
    return exact || !this.#own.some((own) => Buffer.compare(own, address) === 0) ? found : [];
  }

  /** All VIPs that have this address, of every protocol. */
  vipsAt(address: Uint8Array): readonly Vip[] {
    return this.#matching(address).map(({ vip }) => vip);
  }

  /** All VIPs that have this address and protocol. */
  vipsOf(address: Uint8Array, protocol: number): readonly Vip[] {
    return this.#matching(address).flatMap((entry) => (entry.protocol === protocol ? [entry.vip] : []));
  }

  /** The longest prefix goes before the exact port. */
  findVip(address: Uint8Array, protocol: number, port: number): Vip | null {
    const candidates = this.#matching(address)
      .filter((entry) => entry.protocol === protocol && (entry.vip.port === port || entry.vip.port === 0))
      .sort((a, b) => b.range.length - a.range.length || b.vip.port - a.vip.port);
    return candidates[0]?.vip ?? null;
  }

  /** GUE port of the tunnel that ends at this address; null: none does. */
  tunnelAt(address: Uint8Array): number | null {
    return this.#tunnels.find(({ bytes }) => Buffer.compare(bytes, address) === 0)?.guePort ?? null;
  }

  /** The pool that `clients` names for this source; null when no prefix has it. */
  clientPool(vip: Vip, source: Uint8Array): string | null {
    let best: { readonly length: number; readonly pool: string } | null = null;
    for (const client of this.#clients.get(vip) ?? [])
      if (contains(client.range, source) && client.range.length > (best?.length ?? -1))
        best = { length: client.range.length, pool: client.pool };
    return best?.pool ?? null;
  }

  /** The real in a slot; null when the ring is empty. */
  ringReal(pool: string, slot: number): ModelReal | null {
    const { reals, slots } = this.#rings.get(pool)!;
    return slots === null ? null : reals[slots[slot]!]!;
  }

  /** Who carries this id as VIPs of this pool understand it; null: nobody. */
  realById(vipPool: string, id: number): ModelReal | null {
    const vips = [...this.snapshot.vips.values()].filter((vip) => vip.pool === vipPool && looksForIds(vip));
    for (const name of [vipPool, ...vips.flatMap(({ clients }) => clients.map(({ pool }) => pool))]) {
      const pool = this.snapshot.pools.get(name)!;
      const real = pool.reals.find(({ serverIds, state }) => state !== 'maintenance' && serverIds.includes(id));
      if (real !== undefined) return { address: real.address, bytes: addressBytes(real.address), pool };
    }
    return null;
  }
}
