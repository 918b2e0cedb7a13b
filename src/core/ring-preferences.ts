import { addressBytes } from './address.ts';
import { RING_SLOTS } from './data-plane.ts';
import type { Address } from './model.ts';
import { deriveKeys } from './seed.ts';

/** What a ring needs to know about a real besides its weight: a function of its address and the seed alone. */
export interface Preference {
  /** Sorts as addresses do: IPv4 before IPv6, then by bytes. */
  readonly rank: string;
  /** The slot it likes best, 0 to 65,536. */
  readonly offset: number;
  /** Stretches the sequence of its further wishes, 1 to 65,535: times 65,536 it still fits 32 bits. */
  readonly skip: number;
  /** 0 to below 1: which fractions of a slot are rounded up for it. */
  readonly dither: number;
}

/** Four times the reals that one LB plans for; about 10 MB when full. */
const CACHE_LIMIT = 65_536;

const cache = new Map<Address, Preference>();
let cachedSeed: string | null = null;
let hashSeeds: readonly number[] = [];

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/**
 * MurmurHash3_x86_32 (Austin Appleby, public domain) of 4 or 16 bytes; a length that is a multiple of four has no
 * tail to mix in.
 * @returns 0 to 2^32 - 1
 */
export function murmur3(bytes: Uint8Array, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let hash = seed;
  for (let at = 0; at < bytes.length; at += 4) {
    const block = rotate(Math.imul(view.getInt32(at, true), 0xcc9e2d51), 15);
    hash = Math.imul(rotate(hash ^ Math.imul(block, 0x1b873593), 13), 5) + 0xe6546b64;
  }
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function compute(address: Address): Preference {
  const bytes = addressBytes(address);
  return {
    rank: String.fromCharCode(bytes.length, ...bytes),
    offset: murmur3(bytes, hashSeeds[0]!) % RING_SLOTS,
    skip: (murmur3(bytes, hashSeeds[1]!) % (RING_SLOTS - 2)) + 1,
    dither: murmur3(bytes, hashSeeds[2]!) / 2 ** 32,
  };
}

/** Forgets everything on another seed or when full: the next ring then costs what the first one did. */
function prepare(seed: string): void {
  if (cachedSeed !== seed) {
    hashSeeds = Array.from(deriveKeys(seed, 'ring'), (word) => Number(word & 0xffffffffn));
    cachedSeed = seed;
    cache.clear();
  } else if (cache.size > CACHE_LIMIT) {
    cache.clear();
  }
}

/**
 * The preference of each address, in the order given.
 * @throws PilotfishError PF_STATE when the seed or an address is none
 */
export function preferencesOf(reals: readonly { readonly address: Address }[], seed: string): Preference[] {
  prepare(seed);
  return reals.map(({ address }) => {
    let preference = cache.get(address);
    if (preference === undefined) {
      preference = compute(address);
      cache.set(address, preference);
    }
    return preference;
  });
}
