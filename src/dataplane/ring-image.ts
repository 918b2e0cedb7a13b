import { RING_SLOTS } from '../core/data-plane.ts';
import { enums, structs } from './layout.gen.ts';

const { size, fields } = structs.pf_ring;
const { PF_RING_MEMBERS } = enums.pf_ring_members;
const { PF_UNSETTLED } = enums.pf_near;

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
  readonly #farMask: BigUint64Array;

  /** @param memory begins with the ring */
  constructor(memory: Uint8Array) {
    const { buffer, byteOffset } = memory;
    this.memory = memory;
    this.strays = new Uint32Array(buffer, byteOffset + fields.strays.offset, SLOT_WORDS);
    this.#near = new Uint8Array(buffer, byteOffset + fields.near.offset, RING_SLOTS);
    this.#far = new Uint8Array(buffer, byteOffset + fields.far.offset, RING_SLOTS);
    this.#members = new Uint16Array(buffer, byteOffset + fields.members.offset, PF_RING_MEMBERS);
    this.#farMask = new BigUint64Array(buffer, byteOffset + fields.far_mask.offset, 1);
  }

  static blank(): RingImage {
    return new RingImage(new Uint8Array(RING_BYTES));
  }

  /**
   * Fills the ring, all slots settled, while no packet can see it.
   * @param fill writes the number of a real, below PF_REAL_NUMBERS, or 0 into every slot
   */
  fill(fill: (slots: Uint16Array) => void): void {
    const reals = new Uint16Array(RING_SLOTS);
    fill(reals);
    const members = [0];
    const places = new Uint16Array(enums.pf_numbers.PF_REAL_NUMBERS);
    for (let slot = 0; slot < RING_SLOTS; slot++) {
      const real = reals[slot]!;
      if (real !== 0 && places[real] === 0) places[real] = members.push(real) - 1;
    }
    if (members.length > PF_RING_MEMBERS) this.#fillWide(reals);
    else this.#fillNarrow(reals, members, places);
  }

  #fillNarrow(reals: Uint16Array, members: readonly number[], places: Uint16Array): void {
    const near = this.#near;
    this.#members.set(members);
    for (let slot = 0; slot < RING_SLOTS; slot++) near[slot] = places[reals[slot]!]!;
  }

  #fillWide(reals: Uint16Array): void {
    const near = this.#near;
    const far = this.#far;
    this.#farMask[0] = ALL;
    this.#members.set(this.#members.keys().toArray());
    for (let slot = 0; slot < RING_SLOTS; slot++) {
      near[slot] = reals[slot]! % PF_RING_MEMBERS;
      far[slot] = reals[slot]! / PF_RING_MEMBERS;
    }
  }

  /** Numbers of reals by slot, 0 for none. */
  reals(): Uint16Array {
    const reals = new Uint16Array(RING_SLOTS);
    const near = this.#near;
    const far = this.#far;
    const members = this.#members;
    const isWide = this.#farMask[0] !== 0n;
    for (let slot = 0; slot < RING_SLOTS; slot++)
      reals[slot] = members[near[slot]! % PF_RING_MEMBERS]! + (isWide ? far[slot]! * PF_RING_MEMBERS : 0);
    return reals;
  }

  /** Says of the 32 slots of a word which are unsettled: the flow cache is asked for those. */
  setUnsettled(word: number, bits: number): void {
    const first = word * 32;
    for (let slot = first; slot < Math.min(first + 32, RING_SLOTS); slot++)
      this.#near[slot] = (this.#near[slot]! % PF_RING_MEMBERS) | ((bits >>> (slot - first)) & 1 ? PF_UNSETTLED : 0);
  }
}
