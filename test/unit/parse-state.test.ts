import { describe, expect, it } from 'vitest';
import { parseState } from '../../src/core/parse-state.ts';
import { good, parse, revision, web } from '../support/desired.ts';

const vipDefaults = {
  hash: '5-tuple',
  flowCache: true,
  udpTimeoutMs: 30_000,
  quic: 'off',
  tcpServerId: false,
  udpStableRouting: false,
  icmpEcho: true,
  fragments: 'drop',
  clients: [],
};

describe('a good state', () => {
  it('gets every default', () => {
    const { snapshot } = parse(good);
    expect(snapshot).toEqual({
      revision,
      settings: { seed: '70696c6f7466697368', outerSource: { v4: '172.16.0.0/16', v6: '100::/64' } },
      vips: new Map([['web', { name: 'web', ...web, ...vipDefaults }]]),
      pools: new Map([
        [
          'web',
          {
            name: 'web',
            encap: 'ipip',
            guePort: 6080,
            gueChecksum: true,
            checks: [
              {
                type: 'tcp',
                port: null,
                intervalMs: 2_000,
                timeoutMs: 1_000,
                fastIntervalMs: 500,
                downIntervalMs: 2_000,
                rise: 2,
                fall: 3,
              },
            ],
            minHealthy: 0.5,
            onDown: 'keep',
            removeAfterMs: 300_000,
            reals: [{ id: 'r1', address: '10.0.0.11', weight: 100, state: 'active', serverIds: [] }],
          },
        ],
      ]),
      rejected: [],
    });
  });

  it('takes every field that this version carries', () => {
    const { snapshot } = parse({
      settings: { seed: 'AB12', outerSource: { v4: '10.9.0.0/24' } },
      'vips/dns': {
        address: '2001:DB8:0::/48',
        port: 0,
        protocol: 'udp',
        pool: 'dns',
        hash: 'source',
        flowCache: false,
        udpTimeout: '2m',
        quic: 'quic-lb',
        udpStableRouting: true,
        icmpEcho: false,
        fragments: 'hash',
        clients: [
          { prefix: '2001:db8:f:0::/64', pool: 'web' },
          { prefix: '2001:DB8:a::/47', pool: 'dns' },
          { prefix: '::/0', pool: 'web' },
        ],
      },
      'vips/ids': { ...web, tcpServerId: true },
      'pools/web': { encap: 'l2', checks: [{ type: 'tcp', port: 80 }] },
      'pools/dns': {
        encap: 'gue',
        guePort: 6081,
        gueChecksum: false,
        checks: [
          {
            type: 'tcp',
            port: 53,
            interval: '1s',
            timeout: '200ms',
            fastInterval: '100ms',
            downInterval: '1m',
            rise: 1,
            fall: 5,
          },
        ],
        minHealthy: '12.5%',
        onDown: 'rehash',
        removeAfter: '1h',
        reals: { b: { address: '10.0.0.9', weight: 0, state: 'maintenance', serverIds: [4_294_967_295, 1, 9] } },
      },
      'pools/dns/reals/a': { address: '10.0.0.10', weight: 1_000 },
      'overrides/dns/a': { state: 'drain' },
    });
    expect(snapshot.rejected).toEqual([]);
    expect(snapshot.settings).toEqual({ seed: 'ab12', outerSource: { v4: '10.9.0.0/24', v6: '100::/64' } });
    expect(snapshot.vips.get('dns')).toEqual({
      name: 'dns',
      address: '2001:db8::/48',
      port: 0,
      protocol: 'udp',
      pool: 'dns',
      hash: 'source',
      flowCache: false,
      udpTimeoutMs: 120_000,
      quic: 'quic-lb',
      tcpServerId: false,
      udpStableRouting: true,
      icmpEcho: false,
      fragments: 'hash',
      clients: [
        { prefix: '2001:db8:a::/47', pool: 'dns' },
        { prefix: '2001:db8:f::/64', pool: 'web' },
        { prefix: '::/0', pool: 'web' },
      ],
    });
    expect(snapshot.vips.get('ids')).toEqual({ name: 'ids', ...web, ...vipDefaults, tcpServerId: true });
    expect(snapshot.pools.get('web')).toMatchObject({ encap: 'l2', guePort: 6080, gueChecksum: true });
    expect(snapshot.pools.get('dns')).toEqual({
      name: 'dns',
      encap: 'gue',
      guePort: 6081,
      gueChecksum: false,
      checks: [
        {
          type: 'tcp',
          port: 53,
          intervalMs: 1_000,
          timeoutMs: 200,
          fastIntervalMs: 100,
          downIntervalMs: 60_000,
          rise: 1,
          fall: 5,
        },
      ],
      minHealthy: 0.125,
      onDown: 'rehash',
      removeAfterMs: 3_600_000,
      reals: [
        { id: 'b', address: '10.0.0.9', weight: 0, state: 'maintenance', serverIds: [1, 9, 4_294_967_295] },
        { id: 'a', address: '10.0.0.10', weight: 1_000, state: 'drain', serverIds: [] },
      ],
    });
  });

  it('takes fields of later versions when they say what this one does anyway', () => {
    const { snapshot } = parse({
      ...good,
      'pools/web': { agreement: 'local', checks: [{ type: 'tcp', via: 'direct' }] },
    });
    expect(snapshot).toEqual(parse(good).snapshot);
  });

  it('takes what belongs to the other protocol when it says what holds anyway', () => {
    const { snapshot } = parse({
      ...good,
      'vips/web': { ...web, quic: 'off', udpStableRouting: false, udpTimeout: '30s' },
      'vips/quic': { ...web, protocol: 'udp', tcpServerId: false },
    });
    expect(snapshot.rejected).toEqual([]);
    expect(snapshot.vips.get('web')).toEqual({ name: 'web', ...web, ...vipDefaults });
  });

  it.each([
    ['192.0.2.10/32', '192.0.2.10'],
    ['2001:DB8::10/128', '2001:db8::10'],
    ['192.0.2.0/31', '192.0.2.0/31'],
    ['2001:0db8::/32', '2001:db8::/32'],
    ['128.0.0.0/1', '128.0.0.0/1'],
    ['0.0.0.0/1', '0.0.0.0/1'],
    ['::/1', '::/1'],
  ])('has the VIP %s as %s', (address, canonical) => {
    const { snapshot } = parse({ 'pools/web': {}, 'vips/web': { ...web, address } });
    expect(snapshot.rejected).toEqual([]);
    expect(snapshot.vips.get('web')?.address).toBe(canonical);
  });

  it('takes addresses within prefixes, and prefixes within one another', () => {
    const at = (address: string) => ({ ...web, address });
    const { snapshot } = parse({
      ...good,
      'vips/host': at('192.0.2.10'),
      'vips/net': at('192.0.2.0/24'),
      'vips/top': at('192.0.0.0/16'),
      'vips/web': { ...web, protocol: 'udp', fragments: 'hash' },
    });
    expect(snapshot.rejected).toEqual([]);
    expect(snapshot.vips.size).toBe(4);
  });

  it('keeps an interval and its timeout together when only the interval is shortened', () => {
    const { snapshot } = parse({ ...good, 'pools/web': { checks: [{ type: 'tcp', interval: '200ms' }] } });
    expect(snapshot.pools.get('web')?.checks[0]).toMatchObject({
      timeoutMs: 200,
      fastIntervalMs: 200,
      downIntervalMs: 200,
    });
  });

  it('takes one address for several ports and protocols, and several VIPs for a pool that is checked at its own port', () => {
    const { snapshot } = parse({
      ...good,
      'pools/web': { checks: [{ type: 'tcp', port: 80 }] },
      'vips/any': { ...web, port: 0 },
      'vips/quic': { ...web, protocol: 'udp' },
    });
    expect(snapshot.rejected).toEqual([]);
    expect([...snapshot.vips.keys()]).toEqual(['any', 'quic', 'web']);
  });

  it('passes over keys that are not desired', () => {
    expect(
      parseState(
        new Map([
          ['fleet/lb1/info', '{'],
          ['desired', '{'],
        ]),
        revision,
        null,
      ).snapshot.rejected,
    ).toEqual([]);
  });
});
