import { describe, expect, it } from 'vitest';
import type { Explanation, Remembered } from '../../src/core/explain.ts';
import { explainFlow } from '../../src/core/explain.ts';
import { flowHash, flowKeys } from '../../src/core/flow-hash.ts';
import type { Lingering } from '../../src/core/linger.ts';
import { readFlow, readInquiry } from '../../src/core/packet-words.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { HostImage } from '../../src/core/target.ts';
import { buildTarget } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { flow, hash } from '../support/explain.ts';
import { snapshotOf } from '../support/in-force.ts';

/** Each step of an explanation by itself; test/kernel/explain.test.ts compares them with what the program does. */

const host: HostImage = {
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  local: new Set(['10.0.0.66']),
  neighbours: new Map([['10.0.0.41', '02:00:00:00:00:41']]),
  tunnels: [],
  own: new Set(),
};
const checks = [{ type: 'tcp', port: 80 }];
const pool = (reals: object, fields: object = {}): object => ({ checks, reals, ...fields });
const one = (address: string, fields: object = {}): object => pool({ r: { address } }, fields);
const vip = (address: string, port: number, to: string, fields: object = {}): object => ({
  address,
  port,
  protocol: 'tcp',
  pool: to,
  ...fields,
});
const udp = { protocol: 'udp' };

interface World {
  readonly host?: Partial<HostImage>;
  readonly lingering?: Lingering;
  readonly remembered?: (hash: bigint) => readonly Remembered[];
}

function explain(tree: object, text: string, world: World = {}): Explanation {
  const snapshot = snapshotOf(tree);
  const target = buildTarget(snapshot, { ...host, ...world.host }, allUp(snapshot), world.lingering ?? new Map());
  const rings = new RingBuilder(4);
  const remembered = world.remembered ?? null;
  return explainFlow(readInquiry(text), { snapshot, target, linkKnown: true, rings, health: null, remembered });
}

describe('the VIP', () => {
  const state = {
    vips: {
      'ten-every': vip('192.0.2.10', 0, 'a'),
      'ten-443': vip('192.0.2.10', 443, 'a'),
      'net-443': vip('192.0.2.0/24', 443, 'a'),
      'net-80': vip('192.0.2.0/24', 80, 'a'),
      'half-every': vip('192.0.2.128/25', 0, 'a'),
      'six-net': vip('2001:db8:ffff::/48', 443, 'a'),
    },
    pools: { a: one('10.0.0.1') },
  };

  it.each([
    ['its own address and port', '192.0.2.10:443', 'ten-443', 'exact port'],
    ['the address before a prefix that has the port', '192.0.2.10:80', 'ten-every', 'every port'],
    ['a prefix', '192.0.2.11:443', 'net-443', 'exact port'],
    ['a longer prefix before the port', '192.0.2.200:443', 'half-every', 'every port'],
    ['an IPv6 prefix', '[2001:db8:ffff:1::]:443', 'six-net', 'exact port'],
  ])('is %s', (_what, to, name, match) => {
    const from = to.startsWith('[') ? '[2001:db8::7]:5' : '1.2.3.4:5';
    expect(explain(state, `tcp ${from} > ${to}`).vip).toMatchObject({ name, match });
  });

  it.each([
    ['a port of a prefix', '192.0.2.11:81', { name: 'net-80', address: '192.0.2.0/24' }],
    ['an address beside the prefixes', '192.0.3.11:443', null],
  ])('is not there for %s', (_what, to, nearest) => {
    const explained = explain(state, `tcp 1.2.3.4:5 > ${to}`);
    if (nearest === null) expect(explained.nearest).toBeNull();
    else expect(explained.nearest).toMatchObject(nearest);
    expect(explained.newConnection).toEqual({ reason: 'not_vip', real: null, pool: null, path: null, sending: null });
  });
});

describe('a fragment', () => {
  const fragments = { fragments: 'hash' };
  const pools = { a: one('10.0.0.1') };
  const frag = (vips: object, words = 'frag 0'): Explanation =>
    explain({ vips, pools }, `tcp 1.2.3.4:5 > 192.0.2.10:9999 ${words}`);

  it.each(['frag 0', 'frag 1480'])('goes to the only VIP of its address: %s', (words) => {
    const explained = frag({ v: vip('192.0.2.10', 443, 'a', fragments) }, words);
    expect(explained.vip).toMatchObject({ name: 'v', match: 'only one' });
    expect(explained.newConnection).toMatchObject({ reason: 'forwarded', path: 'ring' });
  });

  it('is of no port, and so of no VIP where it is whole', () =>
    expect(frag({ v: vip('192.0.2.10', 443, 'a', fragments) }, '').newConnection.reason).toBe('not_vip'));

  it.each([
    ['that takes none', { v: vip('192.0.2.10', 443, 'a') }, 'fragment'],
    ['beside another one', { v: vip('192.0.2.10', 443, 'a', fragments), w: vip('192.0.2.0/24', 80, 'a') }, 'fragment'],
    ['of another protocol', { v: vip('192.0.2.10', 443, 'a', { ...fragments, ...udp }) }, 'not_vip'],
  ])('does not go to a VIP %s', (_what, vips, reason) => {
    const explained = frag(vips);
    expect(explained).toMatchObject({ vip: null, nearest: { name: 'v' }, newConnection: { reason } });
  });

  it('finds the slot of the whole packets of its pair of addresses', () => {
    const pools = {
      a: pool(Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`r${i}`, { address: `10.0.0.${i + 1}` }]))),
    };
    const state = { vips: { v: vip('192.0.2.10', 0, 'a', fragments) }, pools };
    const slots = ['', ' frag 0', ' frag 8'].map(
      (words) => explain(state, `tcp 1.2.3.4:5 > 192.0.2.10:9${words}`).slot,
    );
    expect(new Set([...slots, explain(state, 'tcp 1.2.3.4:6 > 192.0.2.10:8').slot]).size).toBe(1);
    expect(explain(state, 'tcp 1.2.3.5:5 > 192.0.2.10:9').slot).not.toBe(slots[0]);
    expect(explain(state, 'tcp 1.2.3.4:5 > 192.0.2.10:9')).toMatchObject({ mode: 'pair', cacheMode: 'pair' });
  });
});

describe('ids', () => {
  const named = (address: string, ...serverIds: number[]): object => ({ address, serverIds });
  const pools = {
    a: pool({
      r1: named('10.0.0.1', 0x04d2),
      r2: named('10.0.0.2', 0x010203),
      r3: { ...named('10.0.0.3', 0x0a0b0c0d), state: 'drain' },
      r4: { ...named('10.0.0.4', 44), state: 'maintenance' },
      r5: { ...named('10.0.0.5', 55), weight: 0 },
    }),
    near: pool({ n: named('10.0.1.1', 0x77) }),
    other: pool({ o: named('10.0.2.1', 0x99) }),
  };
  const quic = (mode: string, fields: object = {}): object => ({
    vips: { v: vip('192.0.2.10', 443, 'a', { ...udp, quic: mode, ...fields }) },
    pools,
  });
  const datagram = 'udp 198.51.100.7:40000 > 192.0.2.10:443';

  // 0x4134... is 01, then the 16 bits of 1,234, which is 0x04d2.
  it.each([
    ['16 bits', '4134800000000000', 0x04d2, '10.0.0.1'],
    ['24 bits', '8001020300000000', 0x010203, '10.0.0.2'],
    ['32 bits', 'c00a0b0c0d000000', 0x0a0b0c0d, '10.0.0.3'],
  ])('of katran in %s', (_what, cid, id, real) => {
    const explained = explain(quic('katran'), `${datagram} cid ${cid}`);
    expect(explained.ids).toEqual([{ setting: 'quic', path: 'quic', id, real: { address: real, pool: 'a' } }]);
    const outcome = { reason: 'forwarded', real, pool: 'a', path: 'quic' };
    expect(explained.newConnection).toMatchObject(outcome);
    expect(explained.nextPacket).toMatchObject([{ ...outcome, cpu: null }]);
  });

  const long = (first: string, length: string, id: string): string => `payload ${first}00000001${length}${id}`;
  it.each<[string, string, string, number | null]>([
    ['katran', 'cid 0134800000000000', 'two bits that say there is none', null],
    ['katran', long('e0', '08', '8001020300000000'), 'a long header', 0x010203],
    ['katran', long('c0', '08', '8001020300000000'), 'an Initial', null],
    ['katran', long('d0', '08', '8001020300000000'), '0-RTT', null],
    ['katran', long('e0', '07', '8001020300000000'), 'a short connection id', null],
    ['katran', long('e0', '08', '80010203000000'), 'a cut connection id', null],
    ['katran', 'payload 4080010203000000', 'a cut short header', null],
    ['katran', '', 'nothing', null],
    ['quic-lb', 'cid 4000010203000000', 'the plaintext form', 0x010203],
    ['quic-lb', 'cid e000010203000000', 'three bits that say there is none', null],
    ['off', 'cid 8001020300000000', 'a VIP that does not look', null],
  ])('%s in %s: %s', (mode, words, _what, id) => {
    const explained = explain(quic(mode), `${datagram} ${words}`);
    expect(explained.ids.map((one) => one.id)).toEqual(mode === 'off' ? [] : [id]);
    expect(explained.newConnection.path).toBe(id === null ? 'ring' : 'quic');
  });

  it.each([
    ['in maintenance', 44, null],
    ['of weight 0', 55, '10.0.0.5'],
    ['nobody’s', 12_345, null],
    ['in a pool of the VIP’s clients', 0x77, '10.0.1.1'],
    ['in another pool', 0x99, null],
  ])('of a real %s', (_what, id, real) => {
    const state = quic('off', { udpStableRouting: true, clients: [{ prefix: '203.0.113.0/24', pool: 'near' }] });
    const explained = explain(state, `${datagram} stable ${id}`);
    expect(explained.ids).toMatchObject([
      { setting: 'udpStableRouting', id, real: real === null ? null : { address: real } },
    ]);
    expect(explained.newConnection.path).toBe(real === null ? 'ring' : 'stable');
  });

  it('are tried in order, and the first that is somebody’s counts', () => {
    const both = quic('katran', { udpStableRouting: true });
    // The short header’s first byte is 0x52: what follows is both a connection id and a stable routing id.
    const explained = explain(both, `${datagram} payload 52c00a0b0c0d000000`);
    expect(explained.ids.map(({ setting, id }) => [setting, id])).toEqual([
      ['quic', 0x0a0b0c0d],
      ['udpStableRouting', 0xc00a0b],
    ]);
    expect(explained.newConnection).toMatchObject({ path: 'quic', real: '10.0.0.3' });
  });

  it('of TCP is in packets that open no connection', () => {
    const state = { vips: { v: vip('192.0.2.10', 443, 'a', { tcpServerId: true }) }, pools };
    const explained = explain(state, `${flow} server-id ${0x0a0b0c0d}`);
    expect(explained.nextPacket).toMatchObject([{ path: 'option', real: '10.0.0.3', cpu: null }]);
    expect(explained.newConnection.path).toBe('ring');
    expect(explain(state, flow).ids).toMatchObject([{ setting: 'tcpServerId', id: null, real: null }]);
  });

  it('go before the flow cache', () => {
    const remembered = () => [{ cpu: 1, real: { address: '10.0.0.1', pool: 'a' } }];
    const explained = explain(quic('katran'), `${datagram} cid 8001020300000000`, { remembered });
    expect(explained.nextPacket).toMatchObject([{ path: 'quic', real: '10.0.0.2', cpu: null }]);
  });

  it('go on naming a real that was removed', () => {
    const entry = {
      pool: 'a',
      address: '10.0.0.9',
      encap: { encap: 'ipip', guePort: 6080, gueChecksum: true },
    } as const;
    const lingering: Lingering = new Map([['a|10.0.0.9', { ...entry, serverIds: [99], until: 1 }]]);
    const explained = explain(quic('off', { udpStableRouting: true }), `${datagram} stable 99`, { lingering });
    expect(explained.newConnection).toMatchObject({ reason: 'forwarded', real: '10.0.0.9', path: 'stable' });
  });
});

describe('clients', () => {
  const clients = [
    { prefix: '198.51.100.0/24', pool: 'near' },
    { prefix: '198.51.0.0/16', pool: 'region' },
    { prefix: '203.0.113.0/24', pool: 'none' },
  ];
  const pools = { a: one('10.0.0.1'), near: one('10.0.1.1'), region: one('10.0.2.1'), none: {} };
  const state = { vips: { v: vip('192.0.2.10', 443, 'a', { clients }) }, pools };
  const from = (source: string) => explain(state, `tcp ${source}:5 > 192.0.2.10:443`);

  it.each([
    ['198.51.100.7', clients[0], '10.0.1.1'],
    ['198.51.7.7', clients[1], '10.0.2.1'],
  ])('of a prefix go to its pool, the longest first: %s', (source, client, real) => {
    const explained = from(source);
    expect(explained).toMatchObject({ client, pool: client?.pool });
    expect(explained.newConnection).toMatchObject({ reason: 'forwarded', real, pool: client?.pool, path: 'prefix' });
  });

  it('of none go to the VIP’s pool', () =>
    expect(from('192.0.2.1')).toMatchObject({ client: null, pool: 'a', newConnection: { path: 'ring' } }));

  it('of an empty pool go nowhere', () =>
    expect(from('203.0.113.7')).toMatchObject({ pool: 'none', newConnection: { reason: 'no_real', path: null } }));
});

describe('the slot and the flow cache', () => {
  const state = (fields: object): object => ({
    vips: { v: vip('192.0.2.10', 0, 'a', fields) },
    pools: { a: one('10.0.0.1') },
  });

  it.each([
    ['5-tuple', ['1.2.3.4:6', '192.0.2.10:9'], ['1.2.3.5:5', '192.0.2.10:9'], ['1.2.3.4:5', '192.0.2.10:8']],
    ['source', ['1.2.3.5:5', '192.0.2.10:9']],
    ['dest-port', ['1.2.3.4:5', '192.0.2.10:8']],
  ])('of hash %s changes with what it is over', (mode, ...others) => {
    const at = (from = '', to = '') => explain(state({ hash: mode }), `tcp ${from} > ${to}`);
    const first = at('1.2.3.4:5', '192.0.2.10:9');
    expect(first).toMatchObject({ mode, cacheMode: '5-tuple' });
    for (const [from, to] of others) expect(at(from, to).slot).not.toBe(first.slot);
    const changed = [
      ['1.2.3.4:6', '192.0.2.10:9'],
      ['1.2.3.5:5', '192.0.2.10:9'],
      ['1.2.3.4:5', '192.0.2.10:8'],
    ].filter(([from, to]) => at(from, to).slot !== first.slot);
    expect(changed.length).toBe(others.length);
  });

  it('know the flow by its own hash, whatever chooses the slot', () => {
    const asked: bigint[] = [];
    const remembered = (hash: bigint) => {
      asked.push(hash);
      return [{ cpu: 2, real: { address: '10.0.0.1', pool: 'a' } }];
    };
    const explained = explain(state({ hash: 'source' }), flow, { remembered });
    expect(asked.map((value) => value.toString(16))).toEqual([hash]);
    expect(explained.nextPacket).toMatchObject([
      { cpu: 2, path: 'cache' },
      { cpu: null, path: 'ring' },
    ]);
    const pair = explain(state({ fragments: 'hash' }), flow, { remembered });
    expect(pair.nextPacket.length).toBe(2);
    expect(asked[1]).toBe(flowHash(flowKeys('70696c6f7466697368'), readFlow(flow), 'pair'));
  });

  it('are not asked with flowCache: false', () => {
    const remembered = () => [{ cpu: 2, real: { address: '10.0.0.1', pool: 'a' } }];
    const explained = explain(state({ flowCache: false }), flow, { remembered });
    expect(explained).toMatchObject({ cacheMode: null, cache: null });
    expect(explained.nextPacket).toMatchObject([{ cpu: null, path: 'ring' }]);
  });
});

describe('sending', () => {
  const sent = (real: object, world: World = {}, text = flow) => {
    const state = { vips: { v: vip('192.0.2.10', 443, 'a'), w: vip('198.51.100.7', 40_000, 'a') }, pools: { a: real } };
    const { reason, sending } = explain(state, text, world).newConnection;
    return { reason, ...sending };
  };
  const mac = host.gatewayMac;

  // The outer sources hold what the published hashes of the two flows say: docs/reference/flow-hash.md.
  it('by ipip over IPv4', () =>
    expect(sent(one('10.0.0.1'))).toEqual({
      reason: 'forwarded',
      encap: 'ipip',
      outer: { source: '172.16.235.11', destination: '10.0.0.1', sourcePort: null, destinationPort: null },
      mac,
      overhead: 20,
      largest: 1480,
    }));

  it('by ipip over IPv6', () =>
    expect(sent(one('2001:db8:1::1'), {}, 'tcp 192.0.2.10:443 > 198.51.100.7:40000')).toMatchObject({
      outer: { source: '100::47e1:19e7:b39b:dfac', destination: '2001:db8:1::1' },
      overhead: 40,
      largest: 1460,
    }));

  it('by gue', () =>
    expect(sent(one('10.0.0.1', { encap: 'gue', guePort: 7777 }))).toMatchObject({
      encap: 'gue',
      outer: { source: '172.16.235.11', sourcePort: 49_152 + 0x310c, destinationPort: 7777 },
      overhead: 28,
      largest: 1472,
    }));

  it('as it is, on the same segment', () =>
    expect(sent(one('10.0.0.41', { encap: 'l2' }))).toEqual({
      reason: 'forwarded',
      encap: 'l2',
      outer: null,
      mac: '02:00:00:00:00:41',
      overhead: 0,
      largest: 1500,
    }));

  it('to nobody, where the MAC address of the real is not known', () =>
    expect(sent(one('10.0.0.42', { encap: 'l2' }))).toMatchObject({ reason: 'no_neighbour', encap: 'l2' }));

  it('to nobody, where that of the gateway is not known, unless the real is on the same segment', () => {
    const world = { host: { gatewayMac: '00:00:00:00:00:00' } };
    expect(sent(one('10.0.0.1'), world)).toMatchObject({ reason: 'no_gateway' });
    expect(sent(one('10.0.0.41', { encap: 'l2' }), world)).toMatchObject({ reason: 'forwarded' });
  });

  it('not at all, where the real is this host', () => {
    const world = { host: { gatewayMac: '00:00:00:00:00:00' } };
    for (const encap of ['ipip', 'gue', 'l2'])
      expect(sent(one('10.0.0.66', { encap }), world)).toMatchObject({
        reason: 'local_real',
        encap: 'local',
        outer: null,
      });
  });

  it.each([
    ['203.0.113.200/32', '203.0.113.200'],
    ['172.16.224.0/19', '172.16.235.11'],
    ['0.0.0.0/0', '8.62.235.11'],
  ])('fills the host bits of %s', (v4, source) => {
    const state = {
      settings: { outerSource: { v4, v6: '100::/64' } },
      vips: { v: vip('192.0.2.10', 443, 'a') },
      pools: { a: one('10.0.0.1') },
    };
    expect(explain(state, flow).newConnection.sending?.outer?.source).toBe(source);
  });
});
