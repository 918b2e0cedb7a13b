import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import { buildRing } from '../../src/core/maglev.ts';
import { murmur3, preferencesOf } from '../../src/core/ring-preferences.ts';
import { slotQuotas } from '../../src/core/ring-shares.ts';
import { DEFAULT_SEED } from '../../src/core/seed.ts';
import { fullRing, ringReals, slotCounts } from '../support/ring.ts';

const NOBODY = 0xffff;

/** By slot the address, which unlike an index means the same in every list. */
function addresses(reals: readonly { address: string; weight: number }[], seed = DEFAULT_SEED): string[] {
  return Array.from(fullRing(reals, seed), (index) => reals[index]!.address);
}

/** docs/reference/ring.md word for word, without a thought for speed; takes reals sorted by address. */
function plainRing(reals: readonly { address: string; weight: number }[], seed: string): number[] {
  const preferences = preferencesOf(reals, seed);
  const weights = reals.map(({ weight }) => weight);
  const quotas = slotQuotas(
    weights,
    preferences.map(({ dither }) => dither),
  );
  const turns = weights.flatMap((weight, i) => Array.from({ length: quotas[i]! }, (_, k) => ({ i, time: k / weight })));
  turns.sort((a, b) => a.time - b.time || a.i - b.i);
  const asked = weights.map(() => 0n);
  const ring = new Array<number>(RING_SLOTS).fill(-1);
  for (const { i } of turns) {
    const { offset, skip } = preferences[i]!;
    const wish = () => Number((BigInt(offset) + BigInt(skip) * (asked[i]!++) ** 3n) % BigInt(RING_SLOTS));
    let slot = wish();
    while (ring[slot] !== -1) slot = wish();
    ring[slot] = i;
  }
  return ring;
}

describe('murmur3', () => {
  it.each([
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['abcd', 0x9747b28c, 0xf0478627],
    ['', 1, 0x514e28b7],
  ])('gives the published value of "%s" with seed %i', (text, seed, expected) => {
    expect(murmur3(Buffer.from(text), seed)).toBe(expected);
  });
});

describe('buildRing', () => {
  it('follows its definition', () => {
    for (const reals of [ringReals(1), ringReals(5), ringReals(100, (i) => 1 + ((i * 37) % 100)), ringReals(700)])
      expect(Array.from(fullRing(reals, DEFAULT_SEED))).toEqual(plainRing(reals, DEFAULT_SEED));
  });

  it('has no ring when nobody has a weight, and then leaves the memory alone', () => {
    const out = new Uint16Array(RING_SLOTS).fill(7);
    expect(buildRing([], DEFAULT_SEED, out)).toBeNull();
    expect(
      buildRing(
        ringReals(3, () => 0),
        DEFAULT_SEED,
        out,
      ),
    ).toBeNull();
    expect(out.every((slot) => slot === 7)).toBe(true);
  });

  it('fills the memory it is given, every slot of it', () => {
    const out = new Uint16Array(RING_SLOTS).fill(NOBODY);
    expect(buildRing(ringReals(9), DEFAULT_SEED, out)).toBe(out);
    expect(out.every((index) => index < 9)).toBe(true);
  });

  it('gives a single real every slot, the last wish included', () => {
    expect(slotCounts(fullRing(ringReals(1), DEFAULT_SEED), 1)).toEqual([RING_SLOTS]);
  });

  it('gives a real of weight 0 nothing, and the others what they would have without it', () => {
    const reals = ringReals(12);
    const drained = reals.map((real, i) => (i === 4 ? { ...real, weight: 0 } : real));
    expect(addresses(drained)).toEqual(addresses(reals.toSpliced(4, 1)));
  });

  it('does not depend on the order of the list', () => {
    const weight = fc.integer({ min: 0, max: 1000 });
    const real = fc.record({
      address: fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', '::a', 'fd00::1:0')),
      weight,
    });
    const list = fc
      .uniqueArray(real, { minLength: 2, maxLength: 40, selector: ({ address }) => address })
      .filter((reals) => reals.some(({ weight }) => weight > 0));
    const twice = list.chain((reals) =>
      fc.tuple(fc.constant(reals), fc.shuffledSubarray(reals, { minLength: reals.length })),
    );
    fc.assert(
      fc.property(twice, ([reals, shuffled]) => {
        expect(addresses(shuffled)).toEqual(addresses(reals));
      }),
      { numRuns: 25 },
    );
  });

  it('depends on ratios of weights only', () => {
    const ring = (factor: number) => addresses(ringReals(20, (i) => factor * (1 + (i % 4))));
    expect(ring(250)).toEqual(ring(1));
  });

  it('depends on the seed, however it is written, and remembers nothing of an earlier one', () => {
    const reals = ringReals(10);
    const first = addresses(reals, 'ab');
    const other = addresses(reals, 'ac');
    const same = first.filter((address, slot) => address === other[slot]).length;
    expect(same / RING_SLOTS).toBeGreaterThan(0.05);
    expect(same / RING_SLOTS).toBeLessThan(0.15);
    expect(addresses(reals, 'AB')).toEqual(first);
  });

  it('refuses what it cannot build', () => {
    expect(() => buildRing(ringReals(2), 'xyz')).toThrow(expect.objectContaining({ code: 'PF_STATE' }));
    expect(() => buildRing(ringReals(65_536), DEFAULT_SEED)).toThrow(expect.objectContaining({ code: 'PF_STATE' }));
    for (const weight of [-1, 1.5, Number.NaN, 2 ** 21])
      expect(() =>
        buildRing(
          ringReals(2, () => weight),
          DEFAULT_SEED,
        ),
      ).toThrow(RangeError);
  });
});
