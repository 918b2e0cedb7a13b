import { describe, expect, it } from 'vitest';
import type { Lingering } from '../../src/core/linger.ts';
import { lingeringWithin, nextLingerEnd, nextLingering } from '../../src/core/linger.ts';
import type { Real } from '../../src/core/model.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';

const none: Lingering = new Map();
/** What else is remembered of a real of `web`. */
const asItWas = { encap: { encap: 'ipip', guePort: 6080, gueChecksum: true }, serverIds: [] };
const web = (...addresses: string[]) => snapshot([pool('web', addresses, { removeAfterMs: 1_000 })]);

describe('lingering reals', () => {
  it('has nobody at the first snapshot', () => {
    expect(nextLingering(none, null, web('10.0.0.1'), 0).size).toBe(0);
  });

  it('keeps a removed real for removeAfter', () => {
    const after = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.1'), 500);
    expect([...after.values()]).toEqual([{ pool: 'web', address: '10.0.0.2', ...asItWas, until: 1_500 }]);
    expect(nextLingerEnd(after)).toBe(1_500);
  });

  it('ends when the time is over, and not before', () => {
    const now = web('10.0.0.1');
    const after = nextLingering(none, web('10.0.0.1', '10.0.0.2'), now, 0);
    expect(nextLingering(after, now, now, 999).size).toBe(1);
    expect(nextLingering(after, now, now, 1_000).size).toBe(0);
  });

  it('does not start again with every later snapshot', () => {
    const first = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.1'), 0);
    const later = nextLingering(first, web('10.0.0.1'), web('10.0.0.1', '10.0.0.3'), 900);
    expect([...later.values()]).toEqual([{ pool: 'web', address: '10.0.0.2', ...asItWas, until: 1_000 }]);
  });

  it('forgets a real that came back', () => {
    const gone = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.1'), 0);
    expect(nextLingering(gone, web('10.0.0.1'), web('10.0.0.1', '10.0.0.2'), 10).size).toBe(0);
  });

  it('outlives its pool, for as long as the pool said', () => {
    const gone = nextLingering(none, web('10.0.0.1', '10.0.0.2'), snapshot([]), 10);
    expect([...gone.values()]).toEqual([
      { pool: 'web', address: '10.0.0.1', ...asItWas, until: 1_010 },
      { pool: 'web', address: '10.0.0.2', ...asItWas, until: 1_010 },
    ]);
    expect(nextLingering(gone, snapshot([]), web('10.0.0.2'), 20).size).toBe(1);
  });

  it('remembers how a real is reached and its ids, whatever becomes of its pool', () => {
    const gue = { encap: 'gue', guePort: 6_081, gueChecksum: false } as const;
    const before = snapshot([pool('web', [real('10.0.0.1', { serverIds: [7] })], gue)]);
    const [gone] = nextLingering(none, before, web('10.0.0.2'), 0).values();
    expect(gone).toMatchObject({ encap: gue, serverIds: [7] });
  });

  it('leaves out a real that was in maintenance, whose flows are void already', () => {
    const before = snapshot([pool('web', [real('10.0.0.1', { state: 'maintenance' })])]);
    expect(nextLingering(none, before, snapshot([pool('web', [])]), 0).size).toBe(0);
  });

  it('runs out at once with removeAfter 0', () => {
    const after = snapshot([pool('web', [], { removeAfterMs: 0 })]);
    expect(nextLingering(none, web('10.0.0.1'), after, 7).size).toBe(0);
  });

  describe('where the maps are small', () => {
    const gone = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.2'), 0);
    const both = nextLingering(gone, web('10.0.0.2'), web('10.0.0.3'), 500);
    const limits = { vips: 8, pools: 8, reals: 8, serverIds: 8 };
    const addresses = (lingering: Lingering): string[] => [...lingering.values()].map(({ address }) => address).sort();

    it('leaves out nobody while there is room', () => {
      expect(addresses(lingeringWithin(both, web('10.0.0.3'), limits))).toEqual(['10.0.0.1', '10.0.0.2']);
    });

    it('makes room for the desired reals, and the one that ends first gives way', () => {
      expect(addresses(lingeringWithin(both, web('10.0.0.3'), { ...limits, reals: 3 }))).toEqual(['10.0.0.2']);
      expect(addresses(lingeringWithin(both, web('10.0.0.3'), { ...limits, reals: 2 }))).toEqual([]);
    });

    it('makes room for the desired pools', () => {
      const other = snapshot([pool('other', [])]);
      expect(addresses(lingeringWithin(both, other, { ...limits, pools: 2 }))).toEqual(['10.0.0.1', '10.0.0.2']);
      expect(addresses(lingeringWithin(both, other, { ...limits, pools: 1 }))).toEqual([]);
    });

    it('makes room for the desired ids, and who has none to find room for gives no way', () => {
      const pools = (...reals: Real[]) => [pool('web', reals), pool('near', [])];
      const finders = ['web', 'near'].map((name) =>
        vip(name, { pool: name, quic: 'katran', clients: [{ prefix: '198.51.100.0/24', pool: 'web' }] }),
      );
      const many = real('10.0.0.1', { serverIds: [1, 2, 3] });
      const before = snapshot(pools(many, real('10.0.0.2', { serverIds: [4] }), real('10.0.0.3')), finders);
      const after = snapshot(pools(real('10.0.0.4', { serverIds: [5] })), finders);
      const lingering = nextLingering(none, before, after, 0);
      const kept = (serverIds: number) => addresses(lingeringWithin(lingering, after, { ...limits, serverIds }));
      // Each id counts twice: VIPs of both pools find it.
      expect(kept(10)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
      expect(kept(9)).toEqual(['10.0.0.1', '10.0.0.3']);
      expect(kept(7)).toEqual(['10.0.0.2', '10.0.0.3']);
      expect(kept(3)).toEqual(['10.0.0.3']);
      expect(kept(2)).toEqual(['10.0.0.3']);
    });
  });
});
