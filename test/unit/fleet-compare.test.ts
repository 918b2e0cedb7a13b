import { describe, expect, it } from 'vitest';
import { compareFleet, type FleetComparison } from '../../src/cli/fleet-compare.ts';
import { readFleet } from '../../src/cli/fleet-state.ts';
import { pool, real, snapshot } from '../support/model.ts';

interface LbFields {
  readonly number?: number;
  readonly generation?: string;
  readonly state?: string | null;
  readonly pools?: Readonly<Record<string, string>>;
}

function info({ number = 7, generation = 'a', state = 'aa', pools = { web: '11' } }: LbFields): string {
  return JSON.stringify({
    version: '0.1.0',
    revision: { generation, number },
    digests: { state, pools },
    instance: 'i',
    host: 'h',
    since: '2030-01-01T00:00:00.000Z',
  });
}

function compare(keys: Readonly<Record<string, string>>, expected: readonly string[] = []): FleetComparison {
  const desired = snapshot([pool('web', [real('10.0.0.11', { id: 'r1' }), real('10.0.0.12', { id: 'r2' })])]);
  return compareFleet(readFleet(new Map(Object.entries(keys))), desired, expected);
}

function standings({ agree, lbs }: FleetComparison): unknown[] {
  return [agree, ...lbs.map(({ name, standing }) => `${name} ${standing}`)];
}

const observed = (up: readonly string[], down: readonly string[] = []) => JSON.stringify({ up, down });

describe('LBs side by side', () => {
  it('agree when their digests are equal, whatever their revisions are called', () => {
    const fleet = { 'fleet/lb1/info': info({}), 'fleet/lb2/info': info({ number: 9, generation: 'a.1' }) };
    expect(standings(compare(fleet))).toEqual([true, 'lb1 agrees', 'lb2 agrees']);
  });

  it('differ when their digests do at the same number, also under different generations', () => {
    const fleet = { 'fleet/lb1/info': info({}), 'fleet/lb2/info': info({ state: 'bb', generation: 'a.1' }) };
    expect(standings(compare(fleet))).toEqual([false, 'lb1 differs', 'lb2 differs']);
  });

  it('may only be at different points when the numbers differ', () => {
    const fleet = { 'fleet/lb1/info': info({}), 'fleet/lb2/info': info({ state: 'bb', number: 8 }) };
    expect(standings(compare(fleet))).toEqual([false, 'lb1 elsewhere', 'lb2 elsewhere']);
  });

  it('do not agree while one has nothing in force, has no info, or is expected and not there', () => {
    const lb1 = { 'fleet/lb1/info': info({}) };
    expect(standings(compare({ ...lb1, 'fleet/lb2/info': info({ state: null, pools: {} }) }))).toEqual([
      false,
      'lb1 agrees',
      'lb2 starting',
    ]);
    expect(standings(compare({ ...lb1, 'fleet/lb2/rejected': '[]' }))).toEqual([false, 'lb1 agrees', 'lb2 missing']);
    expect(standings(compare(lb1, ['lb0', 'lb1', 'lb0']))).toEqual([false, 'lb0 missing', 'lb1 agrees']);
    expect(standings(compare({}))).toEqual([false]);
    expect(standings(compare(lb1))).toEqual([true, 'lb1 agrees']);
  });

  it('are compared ring by ring, those that have one', () => {
    const fleet = {
      'fleet/lb1/info': info({ pools: { web: '11', dns: '22' } }),
      'fleet/lb2/info': info({ state: 'bb', pools: { web: '11', dns: '33', new: '44' } }),
      'fleet/lb3/info': info({ state: null, pools: {} }),
    };
    expect(compare(fleet).pools).toEqual([
      { pool: 'dns', equal: false, digests: { lb1: '22', lb2: '33' } },
      { pool: 'new', equal: false, digests: { lb1: null, lb2: '44' } },
      { pool: 'web', equal: true, digests: { lb1: '11', lb2: '11' } },
    ]);
  });

  it('are shown with the reals that they differ about, and no others', () => {
    const fleet = {
      'fleet/lb1/info': info({}),
      'fleet/lb1/observations/web': observed(['10.0.0.11', '10.0.0.12'], ['10.0.0.13']),
      'fleet/lb2/info': info({}),
      'fleet/lb2/observations/web': observed(['10.0.0.11'], ['10.0.0.12']),
      'fleet/lb3/observations/web': observed([], ['10.0.0.11']),
    };
    expect(compare(fleet).observations).toEqual([
      { pool: 'web', real: 'r2', address: '10.0.0.12', observations: { lb1: 'up', lb2: 'down' } },
      { pool: 'web', real: null, address: '10.0.0.13', observations: { lb1: 'down', lb2: 'unknown' } },
    ]);
  });
});
