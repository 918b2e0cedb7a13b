import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import type { RingReal } from '../../src/core/maglev.ts';
import { buildRing, digestRing } from '../../src/core/maglev.ts';
import { DEFAULT_SEED } from '../../src/core/seed.ts';
import { fullRing, ringReals } from '../support/ring.ts';

/**
 * LBs of different versions share fleets, so none of these values may change within v1: a difference here is a break
 * of the contract, not a value to update.
 */
const GOLDEN = {
  '10 equal reals': '4bca104b6205dd124eb05139df2b298d2fa3fe1bea64f2aef6aa91ccf1f2ead7',
  '100 mixed IPv6 reals': '0f1fade2b788b96197f4788ed23962bdf93214bf212f397aa8ba61833d66767c',
  'no real': '5cebcaa4a35f9a41f42b6af7e08499b1cdc5f40b06b696ee8a34015831cd1f49',
};

/** a: 10.0.0.1 of weight 1000, b: 10.0.0.2 of weight 1; a letter and the number of slots that follow one another. */
const GOLDEN_RUNS = `
    a1470 b1 a55 b1 a767 b1 a1702 b1 a1802 b1 a1446 b1 a21 b1 a2375 b1 a561 b1 a3431 b1 a107 b1 a1907 b1
    a2307 b1 a476 b1 a863 b1 a123 b1 a721 b1 a3577 b1 a3 b1 a770 b1 a683 b1 a1432 b1 a790 b1 a490 b1
    a317 b1 a180 b1 a1835 b1 a314 b1 a653 b1 a471 b1 a1162 b1 a175 b1 a597 b1 a195 b1 a1008 b1 a2295 b1
    a483 b1 a4193 b1 a595 b1 a271 b1 a810 b1 a146 b1 a1269 b1 a1640 b1 a537 b1 a560 b1 a1532 b1 a487 b1
    a1323 b1 a668 b1 a192 b1 a187 b1 a295 b1 a1691 b1 a2507 b1 a292 b1 a1001 b1 a491 b1 a445 b1 a364 b1
    a105 b1 a1560 b1 a5 b1 a2788 b1 a1170 b1 a784
`;

const ten: RingReal[] = Array.from({ length: 10 }, (_, i) => ({ address: `10.0.0.${i + 1}`, weight: 100 }));
const hundred: RingReal[] = Array.from({ length: 100 }, (_, i) => ({
  address: `2001:db8::${(i + 1).toString(16)}`,
  weight: 1 + i * 10,
}));

function digest(reals: readonly RingReal[], seed = DEFAULT_SEED): string {
  return digestRing(reals, buildRing(reals, seed), seed);
}

describe('golden rings', () => {
  it('are what they were', () => {
    expect(digest(ten)).toBe(GOLDEN['10 equal reals']);
    expect(digest(hundred)).toBe(GOLDEN['100 mixed IPv6 reals']);
    expect(digest(ringReals(3, () => 0))).toBe(GOLDEN['no real']);
  });

  it('look as they did', () => {
    const ring = fullRing(
      [
        { address: '10.0.0.1', weight: 1000 },
        { address: '10.0.0.2', weight: 1 },
      ],
      DEFAULT_SEED,
    );
    const text = Array.from(ring, (index) => 'ab'[index]).join('');
    const runs = Array.from(text.matchAll(/a+|b+/g), ([run]) => `${run[0]}${run.length}`);
    expect(runs).toEqual(GOLDEN_RUNS.trim().split(/\s+/));
  });
});

describe('digestRing', () => {
  it('hashes the bytes that docs/reference/ring.md names', () => {
    const ring = fullRing(hundred, DEFAULT_SEED);
    const places = Buffer.alloc(RING_SLOTS * 2);
    ring.forEach((index, slot) => {
      places.writeUInt16LE(index, slot * 2);
    });
    const header = `pilotfish ring v1\n${DEFAULT_SEED}\n${hundred.map(({ address }) => `${address}\n`).join('')}`;
    const expected = createHash('sha256').update(header).update(places).digest('hex');
    expect(digestRing(hundred, ring, DEFAULT_SEED)).toBe(expected);
  });

  it('does not depend on the order of the list or on who takes no part', () => {
    const drained = { address: '10.0.0.200', weight: 0 };
    expect(digest([drained, ...ten.toReversed()])).toBe(digest(ten));
  });

  it('differs when one slot leads elsewhere', () => {
    const ring = fullRing(ten, DEFAULT_SEED);
    const before = digestRing(ten, ring, DEFAULT_SEED);
    ring[40_000] = (ring[40_000]! + 1) % 10;
    expect(digestRing(ten, ring, DEFAULT_SEED)).not.toBe(before);
  });

  it('differs by seed and by address, also where no slot tells them apart', () => {
    const one = (address: string, seed: string) => digest([{ address, weight: 1 }], seed);
    expect(new Set([one('10.0.0.1', '00'), one('10.0.0.2', '00'), one('10.0.0.1', '01')]).size).toBe(3);
    expect(digest([], '00')).not.toBe(digest([], '01'));
  });

  it('reads a seed as hex, not as text', () => {
    expect(digest(ten, 'AB')).toBe(digest(ten, 'ab'));
  });
});
