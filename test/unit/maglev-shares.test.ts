import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import type { RingReal } from '../../src/core/maglev.ts';
import { DEFAULT_SEED } from '../../src/core/seed.ts';
import { fullRing, ringReals, slotCounts } from '../support/ring.ts';

interface Shares {
  /** Largest distance from an exact share, in slots. */
  readonly deviation: number;
  readonly least: number;
  readonly filled: number;
}

function sharesOf(reals: readonly RingReal[], seed = DEFAULT_SEED): Shares {
  const counts = slotCounts(fullRing(reals, seed), reals.length);
  const total = reals.reduce((sum, { weight }) => sum + weight, 0);
  return {
    deviation: Math.max(...reals.map(({ weight }, i) => Math.abs(counts[i]! - (weight * RING_SLOTS) / total))),
    least: Math.min(...counts),
    filled: counts.reduce((sum, count) => sum + count, 0),
  };
}

const mixes: Record<string, (index: number) => number> = {
  equal: () => 100,
  '1:10': (i) => (i % 2 === 0 ? 1 : 10),
  '1:1000': (i) => (i % 2 === 0 ? 1 : 1000),
  'one heavy': (i) => (i === 0 ? 1000 : 1),
  'one light': (i) => (i === 0 ? 1 : 1000),
  '1 to 1000': (i) => 1 + ((i * 7919) % 1000),
};

describe.each(Object.entries(mixes))('shares of weights %s', (_name, weightOf) => {
  it.each([2, 3, 5, 8, 12, 100, 1_000, 4_000])(
    'are within two slots for %i reals, and nobody goes without',
    (count) => {
      const { deviation, least, filled } = sharesOf(ringReals(count, weightOf));
      expect(filled).toBe(RING_SLOTS);
      expect(least).toBeGreaterThanOrEqual(1);
      expect(deviation).toBeLessThanOrEqual(2);
    },
  );
});

describe('shares', () => {
  it('are within two slots whatever the weights, while small ones need no help', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 60 });
    const seed = fc.uint8Array({ minLength: 1, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex'));
    fc.assert(
      fc.property(weights, seed, (list, text) => {
        const { deviation, filled } = sharesOf(
          ringReals(list.length, (i) => list[i]!),
          text,
        );
        expect(filled).toBe(RING_SLOTS);
        expect(deviation).toBeLessThan(1);
      }),
      { numRuns: 40 },
    );
  });

  it('still are where every heavy one must give up more than one slot for the small', () => {
    const { deviation, least } = sharesOf(ringReals(3_960, (i) => (i < 1_900 ? 1000 : 1)));
    expect(least).toBe(1);
    expect(deviation).toBeGreaterThan(1);
    expect(deviation).toBeLessThanOrEqual(2);
  });

  it('yield to the minimum of one slot where both cannot hold, and then nobody gives up much more than another', () => {
    const heavies = 200;
    const reals = ringReals(4_000, (i) => (i < heavies ? 1000 : 1));
    const counts = slotCounts(fullRing(reals, DEFAULT_SEED), reals.length);
    expect(Math.min(...counts)).toBe(1);
    expect(new Set(counts.slice(heavies))).toEqual(new Set([1]));
    expect(Math.max(...counts) - Math.min(...counts.slice(0, heavies))).toBeLessThanOrEqual(1);
  });

  it('are one slot each at least when there are as many reals as numbers for them', () => {
    const { least, filled } = sharesOf(ringReals(65_535, (i) => (i === 9 ? 1000 : 1)));
    expect(filled).toBe(RING_SLOTS);
    expect(least).toBe(1);
  });

  it('favour no place in the list', () => {
    // 65,537 = 96 x 682 + 65: 65 of 96 get one slot more, by the seed and not by position.
    const first = Array.from({ length: 40 }, (_, seed) => {
      const counts = slotCounts(fullRing(ringReals(96), seed.toString(16).padStart(2, '0')), 96);
      return counts.slice(0, 10).filter((count) => count === 683).length;
    }).reduce((sum, count) => sum + count, 0);
    expect(first / 400).toBeGreaterThan(0.55);
    expect(first / 400).toBeLessThan(0.8);
  });
});
