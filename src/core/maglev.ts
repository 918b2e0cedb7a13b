import { createHash } from 'node:crypto';
import { RING_SLOTS } from './data-plane.ts';
import { PilotfishError } from './errors.ts';
import type { Address } from './model.ts';
import { type Preference, preferencesOf } from './ring-preferences.ts';
import { slotQuotas } from './ring-shares.ts';
import { turnOrder } from './ring-turns.ts';

/** A real as a ring sees it. */
export interface RingReal {
  /** Canonical; no other real of the list has it. */
  readonly address: Address;
  /** A non-negative integer; 0 takes nothing. Only the ratios of weights matter. */
  readonly weight: number;
}

/** Slots hold indexes of 16 bits. */
const MAX_REALS = 65_535;

/** Sums and products with the number of slots stay exact in a double. */
const MAX_WEIGHT = 2 ** 20;

/** Indexes of the reals that take part, in the order of their addresses. */
function participants(reals: readonly RingReal[], rank: (index: number) => string): number[] {
  if (reals.length > MAX_REALS)
    throw new PilotfishError('PF_STATE', `${reals.length} reals in one pool`, {
      fix: `a ring has room for ${MAX_REALS}: split the pool`,
    });
  const indexes: number[] = [];
  for (const [i, { address, weight }] of reals.entries()) {
    if (!Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT)
      throw new RangeError(`weight ${weight} of real ${address} is no integer from 0 to ${MAX_WEIGHT}`);
    if (weight > 0) indexes.push(i);
  }
  const sorted = indexes.every((index, n) => n === 0 || rank(indexes[n - 1]!) < rank(index));
  return sorted ? indexes : indexes.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** Cubing permutes the numbers modulo 65,537, because 3 does not divide 65,536. */
const CUBES = Int32Array.from({ length: RING_SLOTS }, (_, j) => (((j * j) % RING_SLOTS) * j) % RING_SLOTS);

/**
 * Goes through the turns: the j-th wish of a member is slot (offset + skip * j^3) mod 65,537, and it takes the first
 * free one that it has not asked for yet. Plain j, as in the paper, makes the wishes of two members run in step when
 * one skip is a small multiple of the other, and then the removal of a third moved up to 3 % of their slots.
 *
 * The innermost loop, where a build spends its time: no division (2^16 is -1 modulo 65,537), no branch but its end,
 * and all it reads fits in the second-level cache.
 * @param names by member what its slots are to hold
 */
function fill(out: Uint16Array, order: Uint16Array, members: readonly Preference[], names: readonly number[]): void {
  const wishes = new Int32Array(members.length * 4);
  for (let i = 0; i < members.length; i++) {
    wishes[i * 4] = members[i]!.offset - RING_SLOTS;
    wishes[i * 4 + 1] = members[i]!.skip;
    wishes[i * 4 + 3] = names[i]!;
  }
  const taken = new Int32Array((RING_SLOTS >> 5) + 1);
  for (let turn = 0; turn < RING_SLOTS; turn++) {
    const wish = order[turn]! << 2;
    const offset = wishes[wish]!;
    const skip = wishes[wish + 1]!;
    let next = wishes[wish + 2]!;
    let slot: number;
    do {
      const product = Math.imul(skip, CUBES[next++]!);
      slot = (product & 0xffff) - (product >>> 16);
      slot += ((slot >> 31) & RING_SLOTS) + offset;
      slot += (slot >> 31) & RING_SLOTS;
    } while ((taken[slot >>> 5]! & (1 << (slot & 31))) !== 0);
    taken[slot >>> 5]! |= 1 << (slot & 31);
    wishes[wish + 2] = next;
    out[slot] = wishes[wish + 3]!;
  }
}

/**
 * Builds the ring of a pool: Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4) with weights. A pure function
 * of addresses, weights and seed; the order of the list decides nothing. docs/reference/ring.md defines it.
 * @param seed 1 to 16 bytes in hex
 * @param out 65,537 slots to fill, which may be a map's memory; left alone when there is nobody to put there
 * @returns by slot the index of its real in `reals`; null when no weight is positive
 * @throws PilotfishError PF_STATE when the seed or an address is none, or with more than 65,535 reals
 */
export function buildRing(
  reals: readonly RingReal[],
  seed: string,
  out: Uint16Array = new Uint16Array(RING_SLOTS),
): Uint16Array | null {
  const preferences = preferencesOf(reals, seed);
  const members = participants(reals, (index) => preferences[index]!.rank);
  if (members.length === 0) return null;

  const weights = members.map((index) => reals[index]!.weight);
  const wishes = members.map((index) => preferences[index]!);
  const quotas = slotQuotas(
    weights,
    wishes.map(({ dither }) => dither),
  );
  fill(out, turnOrder(weights, quotas), wishes, members);
  return out;
}

/**
 * SHA-256 in hex over the seed and the address that every slot leads to: equal on every LB that has the same ring,
 * however it numbers or lists its reals. docs/reference/ring.md defines the bytes.
 * @param ring what `buildRing` made of the same `reals`
 */
export function digestRing(
  reals: readonly Pick<RingReal, 'address'>[],
  ring: Uint16Array | null,
  seed: string,
): string {
  const present = new Uint8Array(reals.length);
  ring?.forEach((index) => {
    present[index] = 1;
  });
  const preferences = preferencesOf(reals, seed);
  const members = Array.from(reals.keys())
    .filter((index) => present[index] === 1)
    .sort((a, b) => (preferences[a]!.rank < preferences[b]!.rank ? -1 : 1));

  const places = new Uint16Array(reals.length);
  for (const [place, index] of members.entries()) places[index] = place;
  const slots = ring === null ? new Uint16Array() : ring.map((index) => places[index]!);

  const header = ['pilotfish ring v1', seed.toLowerCase(), ...members.map((index) => reals[index]!.address), ''];
  return createHash('sha256').update(header.join('\n')).update(slots).digest('hex');
}
