import { RING_SLOTS } from '../core/data-plane.ts';
import { enums, structs } from './layout.gen.ts';

const { size, fields } = structs.pf_ring;
const { PF_RING_FEW, PF_RING_MEMBERS } = enums.pf_ring_members;
const { PF_FEW_BITS } = enums.pf_few;

const ALL = 2n ** 64n - 1n;

/** Bytes of a ring: the whole value of an inner map of rings. */
export const RING_BYTES = size;

/** 32-bit words with a bit for each slot, slot 0 the lowest of the first, as struct pf_ring has strays in pairs. */
export const SLOT_WORDS = fields.strays.count * 2;

/** A ring in memory that the program reads, field by field as struct pf_ring has it. */
export class RingImage {
  /** Begins with the ring; whoever made it gives it back. */
  readonly memory: Uint8Array;
  /** Slots of which the program met flows at other reals. Both write here: the program sets bits, the agent takes them back. */
  readonly strays: Uint32Array;
  readonly #unsettled: Uint32Array;
  /** How many words of it are not 0. */
  #unsettledWords = 0;
  readonly #near: Uint8Array;
  readonly #far: Uint8Array;
  readonly #few: Uint16Array;
  readonly #members: Uint16Array;
  readonly #isSmall: BigUint64Array;
  readonly #farMask: BigUint64Array;
  readonly #unsettledMask: BigUint64Array;

  /** @param memory begins with the ring, of which all slots are settled */
  constructor(memory: Uint8Array) {
    const { buffer, byteOffset } = memory;
    const at = ({ offset }: { readonly offset: number }): number => byteOffset + offset;
    this.memory = memory;
    this.strays = new Uint32Array(buffer, at(fields.strays), SLOT_WORDS);
    // Behind the word that is always 0.
    this.#unsettled = new Uint32Array(buffer, at(fields.unsettled) + BigUint64Array.BYTES_PER_ELEMENT, SLOT_WORDS);
    this.#near = new Uint8Array(buffer, at(fields.near), RING_SLOTS);
    this.#far = new Uint8Array(buffer, at(fields.far), RING_SLOTS);
    this.#few = new Uint16Array(buffer, at(fields.few), PF_RING_FEW);
    this.#members = new Uint16Array(buffer, at(fields.members), PF_RING_MEMBERS);
    this.#isSmall = new BigUint64Array(buffer, at(fields.is_small), 1);
    this.#farMask = new BigUint64Array(buffer, at(fields.far_mask), 1);
    this.#unsettledMask = new BigUint64Array(buffer, at(fields.unsettled_mask), 1);
  }

  static blank(): RingImage {
    return new RingImage(new Uint8Array(RING_BYTES));
  }

  /**
   * Fills the ring while no packet can see it.
   * @param fill writes the number of a real, below PF_REAL_NUMBERS, or 0 into every slot
   * @throws RangeError for another number
   */
  fill(fill: (slots: Uint16Array) => void): void {
    const reals = new Uint16Array(RING_SLOTS);
    fill(reals);
    const members: number[] = [];
    /** By number of a real, plus 1: 0 where it is none of the ring’s. */
    const places = new Uint16Array(enums.pf_numbers.PF_REAL_NUMBERS);
    for (let slot = 0; slot < RING_SLOTS; slot++) {
      const real = reals[slot]!;
      if (real >= places.length) throw new RangeError(`${real} in slot ${slot} of a ring is no number of a real`);
      if (places[real] === 0) places[real] = members.push(real);
      reals[slot] = places[real]! - 1;
    }
    if (members.length > PF_RING_MEMBERS) this.#fillWide(reals, members);
    else if (members.length > PF_RING_FEW) this.#fillNarrow(reals, members);
    else this.#fillSmall(reals, members);
  }

  #fillSmall(places: Uint16Array, members: readonly number[]): void {
    const near = this.#near;
    this.#isSmall[0] = 1n;
    this.#farMask[0] = 0n;
    this.#few.set(members);
    let waiting = 0;
    let bits = 0;
    let at = 0;
    for (let slot = 0; slot < RING_SLOTS; slot++) {
      waiting |= places[slot]! << bits;
      bits += PF_FEW_BITS;
      if (bits < 8) continue;
      near[at++] = waiting;
      waiting >>= 8;
      bits -= 8;
    }
    near[at] = waiting;
  }

  #fillNarrow(places: Uint16Array, members: readonly number[]): void {
    this.#isSmall[0] = 0n;
    this.#farMask[0] = 0n;
    this.#far[0] = 0;
    this.#members.set(members);
    this.#near.set(places);
  }

  #fillWide(places: Uint16Array, members: readonly number[]): void {
    const near = this.#near;
    const far = this.#far;
    this.#isSmall[0] = 0n;
    this.#farMask[0] = ALL;
    this.#members.set(this.#members.keys().toArray());
    for (let slot = 0; slot < RING_SLOTS; slot++) {
      const real = members[places[slot]!]!;
      near[slot] = real % PF_RING_MEMBERS;
      far[slot] = real / PF_RING_MEMBERS;
    }
  }

  /** Numbers of reals by slot, 0 for none. */
  reals(): Uint16Array {
    const reals = new Uint16Array(RING_SLOTS);
    const near = this.#near;
    const far = this.#far;
    const few = this.#few;
    const members = this.#members;
    if (this.#isSmall[0] !== 0n) {
      for (let slot = 0, bit = 0; slot < RING_SLOTS; slot++, bit += PF_FEW_BITS) {
        const both = near[bit >> 3]! | (near[(bit >> 3) + 1]! << 8);
        reals[slot] = few[(both >> (bit & 7)) % PF_RING_FEW]!;
      }
      return reals;
    }
    const isWide = this.#farMask[0] !== 0n;
    for (let slot = 0; slot < RING_SLOTS; slot++)
      reals[slot] = members[near[slot]!]! + (isWide ? far[slot]! * PF_RING_MEMBERS : 0);
    return reals;
  }

  /** Of the 32 slots of a word, those that are unsettled. */
  unsettled(word: number): number {
    return this.#unsettled[word]!;
  }

  /** Says which they are: the flow cache is asked for those. */
  setUnsettled(word: number, bits: number): void {
    const before = Atomics.exchange(this.#unsettled, word, bits);
    this.#unsettledWords += (bits === 0 ? 0 : 1) - (before === 0 ? 0 : 1);
    // After the bits, or a packet might not see them.
    Atomics.store(this.#unsettledMask, 0, this.#unsettledWords === 0 ? 0n : ALL);
  }
}
