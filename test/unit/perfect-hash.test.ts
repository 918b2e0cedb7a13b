import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MIX_1, MIX_2, MIX_3, mix } from '../../src/dataplane/mix64.ts';
import { densestHash, homeOf, perfectHash, placeOf, tablePlaces } from '../../src/dataplane/perfect-hash.ts';

const half = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const wordArb = fc.record({ high: half, low: half });

describe('mixing in halves', () => {
  it.each([MIX_1, MIX_2, MIX_3])('is multiplication and a shift of 64 bits: %o', (by) => {
    fc.assert(
      fc.property(wordArb, (word) => {
        const whole = ({ high, low }: typeof word): bigint => (BigInt(high) << 32n) | BigInt(low);
        const product = BigInt.asUintN(64, whole(word) * whole(by));
        const mixed = { ...word };
        mix(mixed, by);
        expect(whole(mixed)).toBe(product ^ (product >> 32n));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a perfect hash', () => {
  const hashesArb = (maxLength: number) =>
    fc.uniqueArray(wordArb, { maxLength, selector: ({ high, low }) => `${high},${low}` });

  it('gives each key a place of its own, by the displacement of its home', () => {
    fc.assert(
      fc.property(hashesArb(512), (hashes) => {
        const found = perfectHash(hashes, 1_024);
        if (found === null) throw new Error('they do not fit');
        expect(new Set(found.places).size).toBe(hashes.length);
        for (const [key, hash] of hashes.entries())
          expect(placeOf(hash.low, found.displacements[homeOf(hash, 1_024)] ?? 0, 1_024)).toBe(found.places[key]);
      }),
      { numRuns: 100 },
    );
  });

  it('takes the smallest displacement, and none where no key has its home', () => {
    const alone = [{ high: 7 << 8, low: 123 }];
    expect([...(perfectHash(alone, 1_024)?.displacements ?? [])].every((displacement) => displacement === 0)).toBe(
      true,
    );
    const clash = [...alone, { high: 9 << 8, low: 123 }];
    const displacements = perfectHash(clash, 1_024)?.displacements ?? new Uint16Array();
    expect([...displacements].filter((displacement) => displacement > 0)).toEqual([1]);
  });

  it('lets homes with most keys choose first', () => {
    // Alone, the later home would take the place that the earlier one’s first key wants.
    const hashes = [
      { high: 1 << 8, low: 5 },
      { high: 2 << 8, low: 5 },
      { high: 2 << 8, low: 6 },
    ];
    const found = perfectHash(hashes, 1_024);
    expect(found?.displacements[2]).toBe(0);
    expect(found?.displacements[1]).toBe(1);
  });

  const mixed = (count: number) =>
    Array.from({ length: count }, (_, i) => {
      const word = { high: 1, low: i };
      mix(word, MIX_1);
      mix(word, MIX_2);
      return word;
    });

  it.each([
    [0, 8],
    [6, 8],
    [7, 16],
    [12, 16],
    [1_536, 2_048],
    [1_537, 4_096],
    [12_288, 16_384],
    [30_720, 65_536],
  ])('of %i keys takes up %i places, three quarters of them at most', (keys, size) => {
    expect(densestHash(mixed(keys), 65_536)?.size).toBe(size);
  });

  it('takes more places where fewer do not part its keys, up to what there is room for', () => {
    // In 8 places the two low halves have the same one whatever the displacement: it has to take part in all homes alike.
    // One home with 8 places, two with 16: there they may have different displacements.
    const parted = [
      { high: 0 << 8, low: 4 },
      { high: 1 << 8, low: 4 },
    ];
    expect(densestHash(parted, 1_024)?.size).toBe(16);
    const never = [
      { high: 0, low: 4 },
      { high: 1, low: 4 },
    ];
    expect(densestHash(never, 1_024)).toBeNull();
    expect(densestHash(mixed(1_025), 1_024)).toBeNull();
    expect(densestHash(mixed(900), 1_024)?.size).toBe(1_024);
  });

  it('holds half of the largest size', () => {
    const hashes = mixed(32_768);
    expect(new Set(perfectHash(hashes, 65_536)?.places).size).toBe(32_768);
  });

  it.each([
    ['more keys than places', Array.from({ length: 3 }, (_, i) => ({ high: i << 8, low: i * 1_000_003 })), 2],
    [
      'keys that no displacement parts',
      [
        { high: 0, low: 4 },
        { high: 1, low: 4 },
      ],
      1_024,
    ],
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
