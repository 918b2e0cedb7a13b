import { describe, expect, it, vi } from 'vitest';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { RingImage } from '../../src/dataplane/ring-image.ts';
import { Settling } from '../../src/dataplane/settling.ts';

const POOL = 3;
const LAST = RING_SLOTS - 1;

/** A ring of one real, but for these slots, and for the last of the first thousand where there are others too. */
function ring(real: number, others: Readonly<Record<number, number>> = {}, reals = 1): RingImage {
  const image = RingImage.blank();
  image.fill((slots) => {
    slots.fill(real);
    for (let i = 1; i < reals; i++) slots[1_000 - i] = 100 + i;
    for (const [slot, other] of Object.entries(others)) slots[Number(slot)] = other;
  });
  return image;
}

function put(settling: Settling, image: RingImage, pool = POOL): RingImage {
  settling.add(pool, image);
  settling.placed(pool, image);
  return image;
}

/** Slots that the program takes for unsettled. */
function unsettled({ memory }: RingImage): number[] {
  const { unsettled: words, unsettled_mask: mask } = structs.pf_ring.fields;
  const view = new DataView(memory.buffer, memory.byteOffset);
  const isSet = (slot: number): boolean => {
    const word = BigInt((slot >> 6) + 1) & view.getBigUint64(mask.offset, true);
    return ((view.getBigUint64(words.offset + Number(word) * 8, true) >> BigInt(slot & 63)) & 1n) === 1n;
  };
  return Array.from({ length: RING_SLOTS }, (_, slot) => slot).filter(isSet);
}

/** As the program does. */
function stray(image: RingImage, slot: number): void {
  image.strays[slot >> 5] = (image.strays[slot >> 5] ?? 0) | (1 << (slot & 31));
}

describe('a slot', () => {
  it('is settled in the first ring of a pool', () => {
    expect(unsettled(put(new Settling(), ring(1)))).toEqual([]);
  });

  describe.each([2, 9, 200])('of a ring of %i reals', (reals) => {
    it.each([0, 31, 32, 63, 64, 40_000, LAST - 1, LAST])('is unsettled when its real changes: %i', (slot) => {
      const settling = new Settling();
      put(settling, ring(1, {}, reals));
      expect(unsettled(put(settling, ring(1, { [slot]: 2 }, reals)))).toEqual([slot]);
    });
  });

  it('is so before packets can see the ring, and stays so when it gets its real back', () => {
    const settling = new Settling();
    put(settling, ring(1));
    const next = ring(1, { 7: 2, [LAST]: 2 });
    settling.add(POOL, next);
    expect(unsettled(next)).toEqual([7, LAST]);
    settling.placed(POOL, next);
    expect(unsettled(put(settling, ring(1)))).toEqual([7, LAST]);
    expect(unsettled(put(settling, ring(1, { 9: 2 })))).toEqual([7, 9, LAST]);
  });

  it('is settled after a whole time in which none of its flows was met elsewhere', () => {
    const settling = new Settling();
    put(settling, ring(1));
    const image = put(settling, ring(1, { 7: 2, 8: 2 }));
    // It may have changed just before.
    settling.settle();
    expect(unsettled(image)).toEqual([7, 8]);
    stray(image, 8);
    settling.settle();
    expect(unsettled(image)).toEqual([8]);
    expect(image.strays.every((bits) => bits === 0)).toBe(true);
    settling.settle();
    expect(unsettled(image)).toEqual([]);
  });

  it('stays unsettled in the ring that comes meanwhile', () => {
    const settling = new Settling();
    put(settling, ring(1));
    const second = put(settling, ring(1, { 7: 2, 8: 2, 31: 2 }));
    settling.settle();
    stray(second, 8);
    stray(second, 31);
    const third = put(settling, ring(1, { 7: 2, 8: 2, 9: 2, 31: 2 }));
    expect(unsettled(third)).toEqual([7, 8, 9, 31]);
    settling.settle();
    expect(unsettled(third)).toEqual([8, 9, 31]);
    settling.settle();
    expect(unsettled(third)).toEqual([]);
  });
});

describe('what is met while a ring is on its way', () => {
  it.each([
    ['afterwards', ['placed', 'settle']],
    ['meanwhile', ['settle', 'placed']],
  ] as const)('is known in the new ring when marks are taken %s', (_when, steps) => {
    const settling = new Settling();
    put(settling, ring(1));
    const old = put(settling, ring(1, { 7: 2, 8: 2 }));
    settling.settle();
    const next = ring(1, { 7: 2, 8: 2 });
    settling.add(POOL, next);
    stray(old, 8);
    for (const step of steps) step === 'settle' ? settling.settle() : settling.placed(POOL, next);
    expect(unsettled(next)).toEqual([8]);
  });
});

describe('all slots of a pool', () => {
  const all = RING_SLOTS;

  it('are unsettled when the pool is removed and its number comes back', () => {
    const settling = new Settling();
    put(settling, ring(1));
    settling.removed(POOL);
    expect(unsettled(put(settling, ring(1)))).toHaveLength(all);
    expect(unsettled(put(settling, ring(1), POOL + 1))).toEqual([]);
  });

  it('are unsettled when flows come from elsewhere, and in the same way settled', () => {
    const settling = new Settling();
    const image = put(settling, ring(1));
    const other = put(settling, ring(1), POOL + 1);
    settling.unsettle([POOL]);
    expect([unsettled(image).length, unsettled(other).length]).toEqual([all, 0]);
    settling.settle();
    const next = put(settling, ring(2));
    expect(unsettled(next)).toHaveLength(all);
    settling.settle();
    settling.settle();
    expect(unsettled(next)).toEqual([]);
  });

  it('are unsettled when flows come from elsewhere before there is a ring', () => {
    const settling = new Settling();
    settling.unsettle([POOL]);
    expect(unsettled(put(settling, ring(1)))).toHaveLength(all);
  });
});

describe('a ring that the program never got', () => {
  it('leaves nothing behind', () => {
    const released = vi.fn();
    const settling = new Settling(released);
    put(settling, ring(1));
    const dropped = ring(1, { 7: 2 });
    settling.add(POOL, dropped);
    settling.dropped(POOL, dropped);
    expect(released.mock.calls.map(([image]) => image === dropped)).toEqual([true]);
    expect(unsettled(put(settling, ring(1, { 9: 2 })))).toEqual([9]);
  });
});

describe('a ring of which it is not known whether the program has it', () => {
  it('counts as one that the program has, and so does the one before', () => {
    const released = vi.fn();
    const settling = new Settling(released);
    const first = put(settling, ring(1));
    const failed = ring(1, { 7: 2 });
    settling.add(POOL, failed);
    settling.unsettle([POOL]);
    expect([unsettled(first).length, unsettled(failed).length]).toEqual([RING_SLOTS, RING_SLOTS]);
    settling.settle();
    settling.settle();
    expect([unsettled(first), unsettled(failed)]).toEqual([[], []]);
    // Slot 7 may have had either real.
    expect(released).not.toHaveBeenCalled();
    for (const real of [1, 2]) {
      const next = ring(1, { 7: real });
      settling.add(POOL, next);
      expect(unsettled(next)).toEqual([7]);
    }
    const last = put(settling, ring(1));
    expect(unsettled(last)).toEqual([7]);
    expect(released).toHaveBeenCalledTimes(4);
    expect(released.mock.calls.filter(([image]) => image === last)).toEqual([]);
  });
});
