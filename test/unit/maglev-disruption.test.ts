import { describe, expect, it } from 'vitest';
import { DEFAULT_SEED } from '../../src/core/seed.ts';
import { ringReals, worstMove } from '../support/ring.ts';

const LIMIT = 0.015;
const seeds = [DEFAULT_SEED, '00', '5eed', 'ffffffffffffffff'];

const mixes: Record<string, (index: number) => number> = {
  equal: () => 100,
  '50:100:200': (i) => [50, 100, 200][i % 3]!,
  '1:10': (i) => (i % 2 === 0 ? 1 : 10),
  '1:1000': (i) => (i % 2 === 0 ? 1 : 1000),
  '1 to 1000': (i) => 1 + ((i * 7919) % 1000),
};

describe.each(Object.entries(mixes))('removing one real, weights %s', (_name, weightOf) => {
  it.each([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])('of %i moves little of what the others have', (count) => {
    const reals = ringReals(count, weightOf);
    for (const seed of seeds) expect(worstMove(reals, reals.keys(), seed)).toBeLessThanOrEqual(LIMIT);
  });

  it.each([100, 1_000])('of %i moves little of what the others have', (count) => {
    const reals = ringReals(count, weightOf);
    const heaviest = reals.reduce((best, { weight }, i) => (weight > reals[best]!.weight ? i : best), 0);
    const removals = new Set([heaviest, 0, 1, 2, count >> 1, count - 1]);
    for (const seed of seeds) expect(worstMove(reals, removals, seed)).toBeLessThanOrEqual(LIMIT);
  });
});

describe('removing one real', () => {
  it('moves little with any seed, as no two reals have wishes that run in step', () => {
    for (let n = 0; n < 44; n++) {
      const reals = ringReals(2 + (n % 11));
      const seed = (n * 2_654_435_761).toString(16).padStart(12, '0');
      expect(worstMove(reals, reals.keys(), seed)).toBeLessThan(LIMIT / 2);
    }
  });

  it('stays within 6 percent even when it held half of a ring of 1,000', () => {
    const reals = ringReals(1_000, (i) => (i === 0 ? 1000 : 1));
    expect(worstMove(reals, [0], DEFAULT_SEED)).toBeLessThan(0.06);
  });
});
