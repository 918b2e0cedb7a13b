import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../../src/core/admission.ts';
import { type ParsedState, parseState } from '../../src/core/parse-state.ts';
import { good, keySet, parse, revision, type Values, web } from '../support/desired.ts';

/** The states of a store one after the other; what is in force after the last. */
function after(...states: readonly Values[]): ParsedState {
  return states.reduce<ParsedState | null>((previous, values) => parse(values, previous), null)!;
}

function refused({ snapshot }: ParsedState): [string, boolean][] {
  return snapshot.rejected.map(({ path, keptLastGood }) => [path, keptLastGood]);
}

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

describe('limits', () => {
  const limits = { vips: 2, pools: 1, reals: 2, clients: 3, serverIds: 3 };
  const states = (...of: Values[]): ParsedState =>
    of.reduce<ParsedState | null>((previous, values) => parseState(keySet(values), revision, previous, limits), null)!;

  it('refuse what is too much and keep what is in force', () => {
    const full: Values = {
      ...good,
      'vips/udp': { ...web, protocol: 'udp' },
      'pools/web/reals/r2': { address: '10.0.0.12' },
    };
    const state = states(full, {
      ...full,
      'pools/a': {},
      'pools/web/reals/a': { address: '10.0.0.13' },
      'vips/a': { ...web, address: '192.0.2.11' },
    });
    expect([...state.snapshot.vips.keys()]).toEqual(['udp', 'web']);
    expect(state.snapshot.rejected.map(({ path, message, fix }) => [path, message, fix])).toEqual([
      ['desired/pools/a', 'exceeds the 1 pools that one LB takes', 'remove pools that are not used'],
      ['desired/pools/web/reals/a', 'exceeds the 2 reals that one LB takes', 'remove reals that are not used'],
      ['desired/vips/a', 'exceeds the 2 vips that one LB takes', 'remove vips that are not used'],
    ]);
  });

  it('count the client prefixes of all VIPs together', () => {
    const clients = (of: number, count: number) =>
      Array.from({ length: count }, (_, n) => ({ prefix: `198.51.${of}.${n}/32`, pool: 'web' }));
    const full: Values = {
      ...good,
      'vips/dns': { ...web, protocol: 'udp', clients: clients(1, 2) },
      'vips/web': { ...web, clients: clients(2, 1) },
    };
    const state = states(full, { ...full, 'vips/dns': { ...web, protocol: 'udp', clients: clients(1, 3) } });
    expect(state.snapshot.vips.get('dns')?.clients).toHaveLength(2);
    expect(state.snapshot.rejected).toEqual([
      {
        path: 'desired/vips/dns: clients',
        value: '4',
        message: 'exceeds the 3 client prefixes that one LB takes',
        fix: 'remove client prefixes that are not used',
        keptLastGood: true,
      },
    ]);
  });

  it('count entries of the directory: an address has all that it inherits', () => {
    const few = { ...limits, vips: 40 };
    const vip = (name: string, address: string, port = 443, protocol = 'tcp') =>
      [`vips/${name}`, { address, port, protocol, pool: 'web' }] as const;
    const base = { 'pools/web': { checks: [{ type: 'tcp', port: 80 }] } };
    const ports = Array.from({ length: 20 }, (_, i) => vip(`port-${i}`, '192.0.2.0/24', i + 1));
    const at = (count: number) => Array.from({ length: count }, (_, i) => vip(`vip-${i}`, `192.0.2.${i + 1}`));
    const limited = (values: Values, previous: ParsedState | null = null) =>
      parseState(keySet(values), revision, previous, few);
    // 22 for the prefix, 24 for each address: 6 a VIP are there.
    const full = limited({ ...base, ...Object.fromEntries([...ports, ...at(9)]) });
    expect(full.snapshot.rejected).toEqual([]);
    const more = limited({ ...base, ...Object.fromEntries([...ports, ...at(10)]) }, full);
    expect(more.snapshot.rejected).toEqual([
      {
        path: 'desired/vips/vip-9: address',
        value: '"192.0.2.10"',
        message:
          'takes the directory to 262 entries, and one LB has room for 240: an address also has every port of the prefixes that contain it',
        fix: 'use fewer ports on prefixes, or have fewer VIPs inside of them, or raise limits.vips in agent.yaml',
        keptLastGood: false,
      },
    ]);
    const port = limited({ ...base, ...Object.fromEntries([...ports, ...at(9), vip('x', '192.0.2.0/24', 99)]) }, full);
    expect(port.snapshot.rejected.map(({ path, message }) => [path, message.slice(0, 36)])).toEqual(
      [['desired/vips/x: address', 'takes the directory to 248 entries, a']].map(([path, message]) => [
        path,
        message?.slice(0, 36),
      ]),
    );
    expect(more.snapshot.vips.size).toBe(29);
  });

  it('let no prefix of many ports with many addresses in it freeze everything else', () => {
    const of = (count: number, one: (i: number) => object) =>
      Array.from(
        { length: count },
        (_, i) => [`vips/${count}-${i}`, { protocol: 'tcp', pool: 'web', ...one(i) }] as const,
      );
    const ports = of(300, (i) => ({ address: '192.0.2.0/24', port: i + 1 }));
    const inside = of(250, (i) => ({ address: `192.0.2.${i}`, port: 443 }));
    const pools = { 'pools/web': { checks: [{ type: 'tcp', port: 80 }] } };
    const { snapshot } = parse({ ...pools, ...Object.fromEntries([...ports, ...inside]) });
    // 250 come first, with 3 each. Each port adds one to each of them, and one to the prefix itself.
    expect(snapshot.vips.size).toBe(250 + Math.floor((24_576 - 3 * 250 - 1 - 251) / 251));
    const [first] = snapshot.rejected;
    expect(first?.message).toContain('one LB has room for 24576');
    expect(snapshot.rejected.every(({ path }) => path.startsWith('desired/vips/300-'))).toBe(true);
  });

  it('count server ids, once for every pool whose VIPs find them', () => {
    const few = { ...limits, pools: 2, reals: 9, vips: 4, serverIds: 4 };
    const limited = (values: Values, previous: ParsedState | null = null) =>
      parseState(keySet(values), revision, previous, few);
    const refusedBy = (values: Values) => limited(values, limited(ids)).snapshot.rejected;
    const ids: Values = {
      'pools/web': { checks: [{ type: 'tcp', port: 80 }], reals: { a: { address: '10.0.0.1', serverIds: [1, 2] } } },
      'pools/near': { checks: [{ type: 'tcp', port: 80 }] },
      'pools/near/reals/b': { address: '10.0.0.2', serverIds: [3, 4] },
      'vips/web': { ...web, tcpServerId: true },
    };
    expect(limited(ids).snapshot.rejected).toEqual([]);
    expect(refusedBy({ ...ids, 'pools/near/reals/c': { address: '10.0.0.3', serverIds: [5] } })).toEqual([
      {
        path: 'desired/pools/near/reals/c: serverIds',
        value: '5',
        message: 'exceeds the 4 server ids that one LB takes',
        fix: 'remove server ids that are not used',
        keptLastGood: false,
      },
    ]);
    const inline = { checks: [{ type: 'tcp', port: 80 }], reals: { c: { address: '10.0.0.3', serverIds: [5] } } };
    expect(refusedBy({ ...ids, 'pools/near': inline }).map(({ path, keptLastGood }) => [path, keptLastGood])).toEqual([
      ['desired/pools/near: reals.c.serverIds', true],
    ]);
    const clients = [{ prefix: '198.51.100.0/24', pool: 'near' }];
    // Only VIPs of web find them, however they come to it.
    expect(refusedBy({ ...ids, 'vips/web': { ...web, tcpServerId: true, clients } })).toEqual([]);
    const other = { ...web, address: '192.0.2.11', tcpServerId: true, clients: [{ ...clients[0], pool: 'web' }] };
    expect(refusedBy({ ...ids, 'vips/other': { ...other, pool: 'near' } })).toEqual([
      {
        path: 'desired/vips/other: pool',
        value: '"near"',
        message:
          'takes the server ids to 6, and one LB has room for 4: an id counts once for every pool whose VIPs find it',
        fix: 'have fewer ids, or fewer pools in clients of VIPs that look for ids',
        keptLastGood: false,
      },
    ]);
    expect(refusedBy({ ...ids, 'vips/other': { ...other, pool: 'near', tcpServerId: false } })).toEqual([]);
  });

  it('are those of the design, and such a state is parsed', () => {
    const values: Record<string, unknown> = {};
    const address = (of: number, i: number): string => `${of}.0.${i >> 8}.${i & 255}`;
    for (let i = 0; i < defaultLimits.pools; i++) values[`pools/p${i}`] = { checks: [{ type: 'tcp', port: 80 }] };
    for (let i = 0; i < defaultLimits.reals; i++)
      values[`pools/p${i % 1_024}/reals/r${i}`] = { address: address(10, i) };
    for (let i = 0; i < defaultLimits.vips; i++)
      values[`vips/v${i}`] = { address: address(20, i + 1), port: 80, protocol: 'tcp', pool: `p${i % 1_024}` };
    const { snapshot } = parse(values);
    expect(defaultLimits).toEqual({ vips: 4_096, pools: 1_024, reals: 16_384, clients: 100_000, serverIds: 32_768 });
    expect(snapshot.rejected).toEqual([]);
    expect([snapshot.vips.size, snapshot.pools.size]).toEqual([4_096, 1_024]);
    const more = { ...values, 'vips/one-more': { address: '30.0.0.1', port: 80, protocol: 'tcp', pool: 'p0' } };
    expect(parse(more).snapshot.rejected).toHaveLength(1);
  });
});
