import { describe, expect, it } from 'vitest';
import type { ParsedState } from '../../src/core/parse-state.ts';
import { after, good, refused, type Values, web } from '../support/desired.ts';

describe('a key that is edited badly', () => {
  const bad = { ...good, 'vips/web': { ...web, port: 'http' } };

  it('keeps its last good value and is reported', () => {
    const state = after(good, bad);
    expect(state.snapshot.vips.get('web')?.port).toBe(443);
    expect(refused(state)).toEqual([['desired/vips/web: port', true]]);
  });

  it('keeps it also through later changes of other keys', () => {
    const state = after(
      good,
      bad,
      { ...bad, 'pools/api': {} },
      { ...bad, 'pools/web/reals/r2': { address: '10.0.0.12' } },
    );
    expect(state.snapshot.vips.get('web')?.port).toBe(443);
    expect(state.snapshot.pools.get('web')?.reals).toHaveLength(2);
  });

  it('takes the next good value', () => {
    const state = after(good, bad, { ...good, 'vips/web': { ...web, port: 8443 } });
    expect(state.snapshot.vips.get('web')?.port).toBe(8443);
    expect(refused(state)).toEqual([]);
  });

  it('is gone when it is deleted, and its old value does not come back', () => {
    const { 'vips/web': _, ...without } = good;
    expect(after(good, bad, without).snapshot.vips.size).toBe(0);
    const state = after(good, bad, without, bad);
    expect(state.snapshot.vips.size).toBe(0);
    expect(refused(state)).toEqual([['desired/vips/web: port', false]]);
  });

  it.each<[string, Values, (state: ParsedState) => unknown, unknown]>([
    ['pool', { 'pools/web': { encap: 'gre' } }, (s) => s.snapshot.pools.get('web')?.encap, 'ipip'],
    [
      'real',
      { 'pools/web/reals/r1': { address: 'x' } },
      (s) => s.snapshot.pools.get('web')?.reals[0]?.address,
      '10.0.0.11',
    ],
    ['settings', { settings: '{' }, (s) => s.snapshot.settings.seed, 'aa'],
    [
      'override',
      { 'overrides/web/r1': { state: 'off' } },
      (s) => s.snapshot.pools.get('web')?.reals[0]?.state,
      'drain',
    ],
  ])('keeps its last good value: %s', (_what, change, read, expected) => {
    const before = { ...good, settings: { seed: 'aa' }, 'overrides/web/r1': { state: 'drain' } };
    const state = after(before, { ...before, ...change });
    expect(read(state)).toBe(expected);
    expect(refused(state).map(([, kept]) => kept)).toEqual([true]);
  });
});

describe('a pool', () => {
  it('takes its VIPs and reals with it when it is deleted', () => {
    const { 'pools/web': _, ...without } = good;
    const state = after(good, without);
    expect([state.snapshot.pools.size, state.snapshot.vips.size]).toEqual([0, 0]);
    expect(refused(state)).toEqual([
      ['desired/pools/web/reals/r1', false],
      ['desired/vips/web: pool', false],
    ]);
  });

  it('brings them back with it', () => {
    const { 'pools/web': _, ...without } = good;
    expect(after(good, without, good).snapshot).toEqual(after(good).snapshot);
  });

  it('keeps its last good value where a VIP cannot be moved', () => {
    const state = after(good, { ...good, 'vips/web': { ...web, pool: 'none' } });
    expect(state.snapshot.vips.get('web')?.pool).toBe('web');
    expect(refused(state)).toEqual([['desired/vips/web: pool', true]]);
  });

  it('cannot take the port of its check away from VIPs that differ', () => {
    const two: Values = {
      ...good,
      'pools/web': { checks: [{ type: 'tcp', port: 80 }] },
      'vips/web-80': { ...web, port: 80 },
    };
    const state = after(two, { ...two, 'pools/web': {} });
    expect(state.snapshot.pools.get('web')?.checks[0]?.port).toBe(80);
    expect(state.snapshot.vips.size).toBe(2);
    expect(state.snapshot.rejected).toEqual([
      {
        path: 'desired/pools/web: checks[0].port',
        value: 'nothing',
        message: 'cannot be the VIP’s port, since the VIPs are "web" (443), "web-80" (80)',
        fix: 'write the port to check',
        keptLastGood: true,
      },
    ]);
  });
});

describe('a pool of some clients', () => {
  const split: Values = {
    ...good,
    'pools/near': {},
    'vips/web': { ...web, clients: [{ prefix: '198.51.100.0/24', pool: 'near' }] },
  };

  it('takes the VIP with it when it is deleted, and brings it back', () => {
    const { 'pools/near': _, ...without } = split;
    const state = after(split, without);
    expect(refused(state)).toEqual([['desired/vips/web: clients[0].pool', false]]);
    expect(state.snapshot.vips.size).toBe(0);
    expect(after(split, without, split).snapshot).toEqual(after(split).snapshot);
  });

  it('keeps its last good value with the VIP, whose clients stay', () => {
    const state = after(split, { ...split, 'pools/near': '{' });
    expect(refused(state)).toEqual([['desired/pools/near', true]]);
    expect(state.snapshot.vips.get('web')?.clients).toEqual([{ prefix: '198.51.100.0/24', pool: 'near' }]);
  });

  it('that does not exist leaves the VIP as it was', () => {
    const state = after(good, split, { ...split, 'vips/web': { ...web, clients: [{ prefix: '::/0', pool: 'x' }] } });
    expect(state.snapshot.vips.get('web')?.clients).toHaveLength(1);
    expect(refused(state)).toEqual([['desired/vips/web: clients[0].prefix', true]]);
    const missing = after(good, { ...good, 'vips/web': { ...web, clients: [{ prefix: '10.0.0.0/8', pool: 'x' }] } });
    expect(missing.snapshot.vips.get('web')?.clients).toEqual([]);
    expect(refused(missing)).toEqual([['desired/vips/web: clients[0].pool', true]]);
  });

  it('that is new and loses takes its VIP back to the last good value', () => {
    const taken = { r9: { address: '192.0.2.10' } };
    const state = after(good, { ...split, 'pools/near': { reals: taken } });
    expect(refused(state)).toEqual([
      ['desired/pools/near: reals.r9.address', false],
      ['desired/vips/web: clients[0].pool', true],
    ]);
    expect(state.snapshot.vips.get('web')?.clients).toEqual([]);
  });
});

describe('of two keys that contradict one another', () => {
  const rival: Values = { 'vips/aaa': web };

  it('the one in force stays, whatever their names', () => {
    const state = after(good, { ...good, ...rival });
    expect([...state.snapshot.vips.keys()]).toEqual(['web']);
    expect(refused(state)).toEqual([['desired/vips/aaa: address', false]]);
  });

  it('the first by name wins where neither is in force', () => {
    const state = after({ ...good, ...rival });
    expect([...state.snapshot.vips.keys()]).toEqual(['aaa']);
    expect(refused(state)).toEqual([['desired/vips/web: address', false]]);
  });

  it('the other comes into force when the one in force goes', () => {
    const { 'vips/web': _, ...without } = { ...good, ...rival };
    const state = after(good, { ...good, ...rival }, without);
    expect([...state.snapshot.vips.keys()]).toEqual(['aaa']);
    expect(refused(state)).toEqual([]);
  });

  it('a changed one wins over a new one', () => {
    const state = after(good, { ...good, 'vips/web': { ...web, port: 8443 }, 'vips/aaa': { ...web, port: 8443 } });
    expect([...state.snapshot.vips.values()]).toEqual([expect.objectContaining({ name: 'web', ...web, port: 8443 })]);
  });

  it('a last good value that has to come back wins over what counted on its going', () => {
    const state = after(good, { ...good, 'vips/web': { ...web, address: 'x' }, 'vips/aaa': web });
    expect([...state.snapshot.vips.keys()]).toEqual(['web']);
    expect(refused(state)).toEqual([
      ['desired/vips/aaa: address', false],
      ['desired/vips/web: address', true],
    ]);
  });

  it('two can change places', () => {
    const before: Values = { ...good, 'vips/b': { ...web, address: '192.0.2.11' } };
    const state = after(before, { ...before, 'vips/web': { ...web, address: '192.0.2.11' }, 'vips/b': web });
    expect(refused(state)).toEqual([]);
    expect(state.snapshot.vips.get('b')?.address).toBe('192.0.2.10');
  });

  it('a server id stays with the real in force, and goes over when that gives it up', () => {
    const r1 = (...serverIds: number[]) => ({ address: '10.0.0.11', serverIds });
    const r0 = (...serverIds: number[]) => ({ address: '10.0.0.10', serverIds });
    const before = { ...good, 'pools/web/reals/r1': r1(7, 8) };
    const clash = after(before, { ...before, 'pools/web/reals/r0': r0(8) });
    expect(refused(clash)).toEqual([['desired/pools/web/reals/r0: serverIds', false]]);
    expect(clash.snapshot.pools.get('web')?.reals.map(({ id }) => id)).toEqual(['r1']);
    const handed = after(before, { ...before, 'pools/web/reals/r0': r0(8), 'pools/web/reals/r1': r1(7) });
    expect(refused(handed)).toEqual([]);
  });

  it('a changed real that takes an id of another keeps its own ones', () => {
    const before = {
      ...good,
      'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [1] },
      'pools/web/reals/r2': { address: '10.0.0.12', serverIds: [2] },
    };
    const state = after(before, { ...before, 'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [1, 2] } });
    expect(refused(state)).toEqual([['desired/pools/web/reals/r1: serverIds', true]]);
    expect(state.snapshot.pools.get('web')?.reals.map(({ serverIds }) => serverIds)).toEqual([[1], [2]]);
  });

  it('a VIP whose fragments are taken stays alone', () => {
    const alone: Values = { ...good, 'vips/web': { ...web, fragments: 'hash' } };
    const state = after(alone, { ...alone, 'vips/all': { ...web, port: 0 } });
    expect(refused(state)).toEqual([['desired/vips/all: address', false]]);
    const both: Values = {
      ...good,
      'pools/web': { checks: [{ type: 'tcp', port: 80 }] },
      'vips/all': { ...web, port: 0 },
    };
    const late = after(both, { ...both, 'vips/web': { ...web, fragments: 'hash' } });
    expect(refused(late)).toEqual([['desired/vips/web: fragments', true]]);
    expect(late.snapshot.vips.get('web')?.fragments).toBe('drop');
  });

  it('a prefix in force keeps reals out, and a real in force keeps prefixes away', () => {
    const net: Values = { ...good, 'vips/net': { ...web, address: '192.0.2.128/25' } };
    const real = after(net, { ...net, 'pools/web/reals/r2': { address: '192.0.2.200' } });
    expect(real.snapshot.rejected).toEqual([
      expect.objectContaining({
        path: 'desired/pools/web/reals/r2: address',
        message: 'lies in the prefix of VIP "net"',
      }),
    ]);
    const prefix = after(good, { ...good, 'vips/web': { ...web, address: '10.0.0.8/29' } });
    expect(refused(prefix)).toEqual([['desired/vips/web: address', true]]);
  });

  it('a real in force keeps its address against a VIP and against its pool’s inline reals', () => {
    const withVip = after(good, { ...good, 'vips/api': { ...web, address: '10.0.0.11' } });
    expect(refused(withVip)).toEqual([['desired/vips/api: address', false]]);
    const withInline = after(good, { ...good, 'pools/web': { reals: { r9: { address: '10.0.0.11' } } } });
    expect(refused(withInline)).toEqual([['desired/pools/web: reals.r9.address', true]]);
    expect(withInline.snapshot.pools.get('web')?.reals.map(({ id }) => id)).toEqual(['r1']);
  });
});
