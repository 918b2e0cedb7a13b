import type { Protocol, Vip } from './model.ts';
import { addressBits } from './prefix-map.ts';

/**
 * How many keys the directory needs for VIPs (docs/decisions/0005-directory.md), without making any: an address, and a
 * prefix, has keys of its own for all that it inherits from the prefixes that contain it.
 */

/** Keys that the largest table surely holds: half of its places. */
export const MOST_DIRECTORY_KEYS = 32_768;
/** What tunnels that end at an LB, and its own addresses, may add: no state knows of them. */
export const HOST_DIRECTORY_KEYS = 2_048;
/** Of a VIP that shares its address with none: itself, its protocol and ICMP. */
const KEYS_PER_VIP = 3;
/** Room for ports that are inherited. */
const HEADROOM = 2;

const MOST_STATE_KEYS = MOST_DIRECTORY_KEYS - HOST_DIRECTORY_KEYS;

/** A state may have no more: each of them may have an address of its own. */
export const MOST_VIPS = MOST_STATE_KEYS / KEYS_PER_VIP;

/** Keys that the VIPs of a state may need where one LB takes so many VIPs. */
export function directoryKeyLimit(vips: number): number {
  return Math.min(MOST_STATE_KEYS, vips * KEYS_PER_VIP * HEADROOM);
}

/** True when more VIPs in `limits` would make no more room for keys. */
export function isLargestDirectory(vips: number): boolean {
  return directoryKeyLimit(vips) === MOST_STATE_KEYS;
}

export type VipPlace = Pick<Vip, 'address' | 'port' | 'protocol'>;

interface Place {
  readonly protocols: Set<Protocol>;
  /** Keys that the place, and each one within it, has by the VIPs that stand here. */
  weight: number;
}

/** What a VIP adds. */
interface Addition {
  readonly bits: string;
  /** By the VIP at each place within its address. */
  readonly weight: number;
  readonly keys: number;
}

/**
 * An upper bound that fewer VIPs never raise: ports count also where a longer prefix takes them away, and twice where
 * two prefixes have them. Without prefixes it is exact.
 */
export class DirectoryKeyCount {
  #keys = 0;
  /** By the bits of an address or a prefix of VIPs. */
  readonly #places = new Map<string, Place>();
  /** Lengths of the bits of all prefixes, each once. */
  readonly #lengths = new Set<number>();
  /** By bits of one of those lengths: the places within. */
  readonly #within = new Map<string, number>();
  /** What was asked last: most VIPs are added right after that. */
  #asked: { readonly vip: VipPlace; readonly addition: Addition } | null = null;

  get keys(): number {
    return this.#keys;
  }

  /** The count that there would be with this VIP, which is not there yet. */
  with(vip: VipPlace): number {
    const addition = this.#addition(vip);
    this.#asked = { vip, addition };
    return this.#keys + addition.keys;
  }

  add(vip: VipPlace): void {
    const { bits, weight, keys } = this.#asked?.vip === vip ? this.#asked.addition : this.#addition(vip);
    this.#asked = null;
    this.#keys += keys;
    let place = this.#places.get(bits);
    if (place === undefined) {
      place = { protocols: new Set(), weight: 0 };
      this.#places.set(bits, place);
      for (const length of this.#lengths) this.#countIn(bits, length);
    }
    place.weight += weight;
    place.protocols.add(vip.protocol);
  }

  #addition({ address, port, protocol }: VipPlace): Addition {
    const bits = addressBits(address);
    const place = this.#places.get(bits);
    const weight = (port === 0 ? 0 : 1) + (place?.protocols.has(protocol) ? 0 : 1);
    let keys = weight;
    if (address.includes('/')) {
      if (!this.#lengths.has(bits.length)) this.#countAll(bits.length);
      keys = weight * ((this.#within.get(bits) ?? 0) + (place === undefined ? 1 : 0));
    }
    // A new place has its key for ICMP, and what it inherits.
    if (place === undefined) keys += 1 + this.#weightAround(bits);
    return { bits, weight, keys };
  }

  /** Of all places that contain this one, itself left out. */
  #weightAround(bits: string): number {
    let weight = 0;
    for (const length of this.#lengths)
      if (length < bits.length) weight += this.#places.get(bits.slice(0, length))?.weight ?? 0;
    return weight;
  }

  #countAll(length: number): void {
    this.#lengths.add(length);
    for (const bits of this.#places.keys()) this.#countIn(bits, length);
  }

  #countIn(bits: string, length: number): void {
    if (length > bits.length) return;
    const prefix = bits.slice(0, length);
    this.#within.set(prefix, (this.#within.get(prefix) ?? 0) + 1);
  }
}
