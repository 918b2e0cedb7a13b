import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { effectiveReals } from '../../src/core/effective.ts';
import type { Observation, Real, RealKey } from '../../src/core/model.ts';
import { realKey, realStates } from '../../src/core/model.ts';
import { pool as poolOf, real as realOf } from '../support/model.ts';

type Member = Partial<Real> & { readonly verdict?: Observation };

/** A pool of `10.0.0.<n>` with each real’s verdict beside it; a real without one is in no map. */
function make(minHealthy: number, ...members: readonly Member[]) {
  const verdicts = new Map<RealKey, Observation>();
  const reals = members.map(({ verdict, ...real }, n): Real => {
    const address = `10.0.0.${n + 1}`;
    if (verdict !== undefined) verdicts.set(realKey('web', address), verdict);
    return realOf(address, real);
  });
  return effectiveReals(poolOf('web', reals, { minHealthy }), verdicts);
}

const up: Member = { verdict: 'up' };
const down: Member = { verdict: 'down' };
const unknown: Member = { verdict: 'unknown' };

/** Last octets of who takes flows. */
function takers(effective: ReturnType<typeof effectiveReals>): number[] {
  return effective.reals.map(({ address }) => Number(address.split('.')[3]));
}

describe('effectiveReals', () => {
  it('takes up reals with their weights, in the order of the pool', () => {
    const effective = make(0.5, { ...up, weight: 3 }, down, { ...up, weight: 1000 }, { ...up, weight: 1 });
    expect(effective).toEqual({
      reals: [
        { address: '10.0.0.1', weight: 3 },
        { address: '10.0.0.3', weight: 1000 },
        { address: '10.0.0.4', weight: 1 },
      ],
      floor: false,
      upWeight: 1004,
      observedWeight: 1104,
    });
  });

  it('looks verdicts up by pool and address', () => {
    const pool = poolOf('web', ['10.0.0.1']);
    expect(effectiveReals(pool, new Map([[realKey('other', '10.0.0.1'), 'up']])).reals).toEqual([]);
  });

  it('is empty without an alarm when nobody was ever observed', () => {
    for (const minHealthy of [0, 0.5, 1]) {
      expect(make(minHealthy, unknown, {}, unknown)).toMatchObject({ reals: [], floor: false, observedWeight: 0 });
      expect(make(minHealthy)).toMatchObject({ reals: [], floor: false });
    }
  });

  it('takes all observed reals, with an alarm, when all are down', () => {
    const effective = make(0.5, down, down, unknown, {});
    expect(takers(effective)).toEqual([1, 2]);
    expect(effective.floor).toBe(true);
  });

  it('keeps to health at the floor and ignores it below', () => {
    const at = make(0.5, up, down);
    expect([takers(at), at.floor]).toEqual([[1], false]);
    const below = make(0.5, { ...up, weight: 99 }, { ...down, weight: 100 });
    expect([takers(below), below.floor]).toEqual([[1, 2], true]);
  });

  it.each([1, 10])('hits the floor exactly for every whole percentage, weights times %i', (scale) => {
    for (let percent = 1; percent < 100; percent += 1) {
      const [above, rest] = [percent * scale, (100 - percent) * scale];
      const at = make(percent / 100, { ...up, weight: above }, { ...down, weight: rest });
      expect([percent, at.floor]).toEqual([percent, false]);
      const below = make(percent / 100, { ...up, weight: above - 1 }, { ...down, weight: rest + 1 });
      expect([percent, below.floor]).toEqual([percent, true]);
    }
  });

  it('counts weight, not reals', () => {
    expect(make(0.5, { ...up, weight: 1000 }, down, down, down).floor).toBe(false);
    expect(make(0.5, { ...down, weight: 1000 }, up, up, up).floor).toBe(true);
  });

  it('never meets the floor with minHealthy 0', () => {
    expect(make(0, down, down)).toMatchObject({ reals: [], floor: false });
  });

  it('meets the floor with minHealthy 1 as soon as one is down', () => {
    expect(make(1, up, up)).toMatchObject({ floor: false });
    const one = make(1, up, down, unknown);
    expect([takers(one), one.floor]).toEqual([[1, 2], true]);
  });

  it('leaves never-observed reals out of both sides of the ratio', () => {
    const effective = make(0.5, up, unknown, unknown, {});
    expect([takers(effective), effective.floor]).toEqual([[1], false]);
  });

  it.each<[string, Member]>([
    ['drained', { state: 'drain' }],
    ['in maintenance', { state: 'maintenance' }],
    ['of weight 0', { weight: 0 }],
  ])('gives nothing to a real %s, whatever its health, and does not count it', (_, word) => {
    expect(takers(make(0.5, { ...up, ...word }, up))).toEqual([2]);
    // Two of these up beside one up and one down: still exactly half of what counts.
    expect(make(0.5, { ...up, ...word }, { ...down, ...word }, up, down)).toMatchObject({
      floor: false,
      upWeight: 100,
      observedWeight: 200,
    });
    const floor = make(0.5, { ...up, ...word }, down, { ...down, ...word });
    expect([takers(floor), floor.floor]).toEqual([[2], true]);
    const emptied = make(0.5, { ...up, ...word }, { ...down, ...word });
    expect([takers(emptied), emptied.floor]).toEqual([[], false]);
  });

  it('never takes an unknown, drained or weightless real, and is never empty when an active one was observed', () => {
    const member = fc.record({
      weight: fc.constantFrom(0, 1, 7, 100, 1000),
      state: fc.constantFrom(...realStates),
      verdict: fc.constantFrom<Observation>('up', 'down', 'unknown'),
    });
    fc.assert(
      fc.property(fc.array(member, { maxLength: 12 }), fc.integer({ min: 1, max: 100 }), (members, percent) => {
        const effective = make(percent / 100, ...members);
        const eligible = members.flatMap(({ weight, state, verdict }, n) =>
          state === 'active' && weight > 0 && verdict !== 'unknown' ? [n + 1] : [],
        );
        for (const taker of takers(effective)) expect(eligible).toContain(taker);
        expect(effective.reals.length > 0).toBe(eligible.length > 0);
        expect(takers(effective)).toEqual(
          effective.floor ? eligible : eligible.filter((n) => members[n - 1]!.verdict === 'up'),
        );
      }),
    );
  });
});
