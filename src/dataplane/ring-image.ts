import { RING_SLOTS } from '../core/data-plane.ts';
import { enums, structs } from './layout.gen.ts';

const { size, fields } = structs.pf_ring;
const { PF_RING_FEW, PF_RING_MEMBERS } = enums.pf_ring_members;
const { PF_UNSETTLED, PF_UNSETTLED_HALF } = enums.pf_near;
/** Bits of half a byte. */
const HALF = 4;

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
  readonly #near: Uint8Array;
  readonly #far: Uint8Array;
  readonly #members: Uint16Array;
  readonly #isSmall: BigUint64Array;
  readonly #farMask: BigUint64Array;

  /** @param memory begins with the ring */
  constructor(memory: Uint8Array) {
    const { buffer, byteOffset } = memory;
    this.memory = memory;
    this.strays = new Uint32Array(buffer, byteOffset + fields.strays.offset, SLOT_WORDS);
    this.#near = new Uint8Array(buffer, byteOffset + fields.near.offset, RING_SLOTS);
    this.#far = new Uint8Array(buffer, byteOffset + fields.far.offset, RING_SLOTS);
    this.#members = new Uint16Array(buffer, byteOffset + fields.members.offset, PF_RING_MEMBERS);
    this.#isSmall = new BigUint64Array(buffer, byteOffset + fields.is_small.offset, 1);
    this.#farMask = new BigUint64Array(buffer, byteOffset + fields.far_mask.offset, 1);
  }

  static blank(): RingImage {
    return new RingImage(new Uint8Array(RING_BYTES));
  }

  /**
   * Fills the ring, all slots settled, while no packet can see it.
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
    this.#members.set(members);
    for (let slot = 0; slot < RING_SLOTS; slot += 2)
      near[slot >> 1] = places[slot]! | ((places[slot + 1] ?? 0) << HALF);
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
    const members = this.#members;
    if (this.#isSmall[0] !== 0n) {
      for (let slot = 0; slot < RING_SLOTS; slot++)
        reals[slot] = members[(near[slot >> 1]! >> ((slot & 1) * HALF)) % PF_RING_FEW]!;
      return reals;
    }
    const isWide = this.#farMask[0] !== 0n;
    for (let slot = 0; slot < RING_SLOTS; slot++)
      reals[slot] = members[near[slot]! % PF_RING_MEMBERS]! + (isWide ? far[slot]! * PF_RING_MEMBERS : 0);
    return reals;
  }

  /** Says of the 32 slots of a word which are unsettled: the flow cache is asked for those. */
  setUnsettled(word: number, bits: number): void {
    const near = this.#near;
    const first = word * 32;
    const end = Math.min(first + 32, RING_SLOTS);
    const bitOf = (slot: number, bit: number): number => ((bits >>> (slot - first)) & 1 ? bit : 0);
    if (this.#isSmall[0] === 0n) {
      for (let slot = first; slot < end; slot++)
        near[slot] = (near[slot]! % PF_RING_MEMBERS) | bitOf(slot, PF_UNSETTLED);
      return;
    }
    const set = PF_UNSETTLED_HALF | (PF_UNSETTLED_HALF << HALF);
    for (let slot = first; slot < end; slot += 2)
      near[slot >> 1] =
        (near[slot >> 1]! & ~set) | bitOf(slot, PF_UNSETTLED_HALF) | bitOf(slot + 1, PF_UNSETTLED_HALF << HALF);
  }
}
