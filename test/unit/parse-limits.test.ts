import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../../src/core/admission.ts';
import { type ParsedState, parseState } from '../../src/core/parse-state.ts';
import { good, keySet, parse, revision, type Values, web } from '../support/desired.ts';

/** What one LB takes, and whom it refuses. */

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
