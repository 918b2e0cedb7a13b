import { describe, expect, it } from 'vitest';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import { RingImage } from '../../src/dataplane/ring-image.ts';

/** Numbers in turns, the last one 32,767, the highest there is. */
function slotsOf(distinct: number): Uint16Array {
  return Uint16Array.from({ length: RING_SLOTS }, (_, slot) => 32_768 - distinct + (slot % distinct));
}

function imageOf(slots: Uint16Array): RingImage {
  const image = RingImage.blank();
  image.fill((memory) => memory.set(slots));
  return image;
}

describe('an image of a ring', () => {
  it.each([1, 2, 7, 8, 9, 255, 256, 257, 1_000, 32_767])('has what it was filled with: %i reals', (distinct) => {
    expect(imageOf(slotsOf(distinct)).reals()).toEqual(slotsOf(distinct));
  });

  it.each([7, 8, 255, 256])('has slots without a real, beside %i with one', (distinct) => {
    const slots = slotsOf(distinct).fill(0, 9, 20);
    expect(imageOf(slots).reals()).toEqual(slots);
  });

  it.each([8, 9, 256, 257])('keeps them whatever is settled, of %i', (distinct) => {
    const image = imageOf(slotsOf(distinct));
    for (const bits of [0xffff_ffff, 0x8000_0001, 0])
      for (const word of [0, 1, 2_047, 2_048]) {
        image.setUnsettled(word, bits);
        expect(image.reals()).toEqual(slotsOf(distinct));
      }
  });

  it('is refused a number that no real can have', () => {
    expect(() => imageOf(new Uint16Array(RING_SLOTS).fill(32_768, 9))).toThrow('32768 in slot 9 of a ring');
  });

  it('is empty before it is filled, and when it is filled with nothing', () => {
    const nothing = new Uint16Array(RING_SLOTS);
    expect(RingImage.blank().reals()).toEqual(nothing);
    expect(imageOf(nothing).reals()).toEqual(nothing);
  });
});
