import { RING_SLOTS } from '../core/data-plane.ts';
import { structs } from './layout.gen.ts';

const { size, fields } = structs.pf_ring;

/** Bytes of a ring: the whole value of an inner map of rings. */
export const RING_BYTES = size;

/** 32-bit words with a bit for each slot, slot 0 the lowest of the first, as struct pf_ring has them in pairs. */
export const SLOT_WORDS = fields.unsettled.count * 2;

/** A ring in memory that the program reads, field by field as struct pf_ring has it. */
export class RingImage {
  /** Numbers of reals, 0 for none. */
  readonly slots: Uint16Array;
  /** Slots of which the flow cache may have flows at other reals: it is asked for those. */
  readonly unsettled: Uint32Array;
  /** Slots of which the program met such a flow. Both write here: the program sets bits, the agent takes them back. */
  readonly strays: Uint32Array;

  /** @param memory begins with the ring */
  constructor(memory: Uint8Array) {
    const { buffer, byteOffset } = memory;
    this.slots = new Uint16Array(buffer, byteOffset + fields.slot.offset, RING_SLOTS);
    this.unsettled = new Uint32Array(buffer, byteOffset + fields.unsettled.offset, SLOT_WORDS);
    this.strays = new Uint32Array(buffer, byteOffset + fields.strays.offset, SLOT_WORDS);
  }

  static blank(): RingImage {
    return new RingImage(new Uint8Array(RING_BYTES));
  }
}
