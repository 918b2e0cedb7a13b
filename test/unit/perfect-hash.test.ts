import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fold, MIX_1, MIX_2, product, type Word64, xor } from '../../src/dataplane/mix64.ts';
import {
  densestHash,
  firstPlaceOf,
  homeOf,
  perfectHash,
  placeOf,
  tablePlaces,
} from '../../src/dataplane/perfect-hash.ts';

const half = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const wordArb = fc.record({ high: half, low: half });

describe('64 bits in halves', () => {
  const whole = ({ high, low }: Readonly<Word64>): bigint => (BigInt(high) << 32n) | BigInt(low);

  it('multiply, xor and fold as whole ones do', () => {
    fc.assert(
      fc.property(wordArb, wordArb, (a, b) => {
        expect(whole(product(a, b))).toBe(BigInt.asUintN(64, whole(a) * whole(b)));
        expect(whole(xor(a, b))).toBe(whole(a) ^ whole(b));
        expect(whole(fold(a))).toBe(whole(a) ^ (whole(a) >> 32n));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a perfect hash', () => {
  const hashesArb = (maxLength: number) =>
    fc.uniqueArray(wordArb, { maxLength, selector: ({ high, low }) => `${high},${low}` });

  const mixed = (count: number) =>
    Array.from({ length: count }, (_, i) => fold(product(fold(product({ high: 1, low: i }, MIX_1)), MIX_2)));

  it('gives each key a place of its own: its first one, or that of the displacement of its home', () => {
    fc.assert(
      fc.property(hashesArb(512), (hashes) => {
        const found = perfectHash(hashes, 1_024);
        if (found === null) throw new Error('they do not fit');
        expect(new Set(found.places).size).toBe(hashes.length);
        for (const [key, hash] of hashes.entries()) {
          const other = placeOf(hash, found.displacements[homeOf(hash, 1_024)] ?? 0, 1_024);
          expect([firstPlaceOf(hash, 1_024), other]).toContain(found.places[key]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('leaves no key elsewhere whose first place is free or a later key’s', () => {
    fc.assert(
      fc.property(hashesArb(700), (hashes) => {
        const { places } = perfectHash(hashes, 1_024) ?? { places: new Uint32Array() };
        for (const [key, hash] of hashes.entries()) {
          const first = firstPlaceOf(hash, 1_024);
          if (places[key] !== first) expect(places.indexOf(first)).toBeLessThan(key);
          if (places[key] !== first) expect(places.indexOf(first)).not.toBe(-1);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('has nine of ten at their first places where a fifth of the places is taken', () => {
    const hashes = mixed(1_638);
    const { places } = perfectHash(hashes, 8_192) ?? { places: [] };
    expect(hashes.filter((hash, key) => places[key] === firstPlaceOf(hash, 8_192)).length).toBeGreaterThan(1_450);
  });

  /** A key in a home that wants a place, and with a displacement the one as many further on as the home’s number, times that. */
  const key = (home: number, place: number): Word64 => ({ high: (home << 16) | (home << 8), low: place << 16 });
  /** Takes the first place of all keys of homes below 64. */
  const taker = key(0, 999);

  it('takes the smallest displacement, and none where no key needs one', () => {
    const alone = [taker, key(7, 123)];
    expect([...(perfectHash(alone, 1_024)?.displacements ?? [])].every((displacement) => displacement === 0)).toBe(
      true,
    );
    const displacements = perfectHash([...alone, key(9, 123)], 1_024)?.displacements ?? new Uint16Array();
    expect([...displacements].filter((displacement) => displacement > 0)).toEqual([1]);
  });

  it('lets homes with most keys choose first', () => {
    // Alone, the later home would take the place that the earlier one’s first key wants.
    const found = perfectHash([taker, key(1, 5), key(2, 5), key(2, 6)], 1_024);
    expect(found?.displacements[2]).toBe(0);
    expect(found?.displacements[1]).toBe(2);
  });

  /** Two keys of one home that no displacement parts in so many places, but some do in twice as many, and before them two who take their first places. */
  const inseparable = (places: number): Word64[] => [
    { high: 0, low: 7 << 16 },
    { high: places << 16, low: 9 << 16 },
    { high: 0, low: 4 << 16 },
    { high: places << 16, low: 4 << 16 },
  ];

  it.each([
    [0, 64],
    [48, 64],
    [49, 128],
    [1_536, 2_048],
    [1_537, 4_096],
    [12_288, 16_384],
    [30_720, 65_536],
  ])('of %i keys takes up %i places, a few, or three quarters of them at most', (keys, size) => {
    expect(densestHash(mixed(keys), 65_536)?.size).toBe(size);
  });

  it('takes more places where fewer do not part its keys, up to what there is room for', () => {
    expect(densestHash(inseparable(64), 1_024)?.size).toBe(128);
    expect(densestHash(inseparable(512), 1_024)?.size).toBe(1_024);
    expect(densestHash(inseparable(1_024), 1_024)).toBeNull();
    expect(densestHash(mixed(1_025), 1_024)).toBeNull();
    expect(densestHash(mixed(900), 1_024)?.size).toBe(1_024);
  });

  it('holds half of the largest size', () => {
    const hashes = mixed(32_768);
    expect(new Set(perfectHash(hashes, 65_536)?.places).size).toBe(32_768);
  });

  it.each([
    ['more keys than places', Array.from({ length: 3 }, (_, i) => ({ high: i << 8, low: i * 1_000_003 })), 2],
    ['keys that no displacement parts', inseparable(1_024), 1_024],
  ])('is refused for %s', (_what, hashes, size) => {
    expect(perfectHash(hashes, size)).toBeNull();
  });

  it.each([
    [0, 1_024],
    [512, 1_024],
    [513, 2_048],
    [12_288, 32_768],
    [1_000_000, 65_536],
  ])('for %i keys has a table of %i', (keys, size) => {
    expect(tablePlaces(keys)).toBe(size);
  });
});
