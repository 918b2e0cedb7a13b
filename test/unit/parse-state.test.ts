import { describe, expect, it } from 'vitest';
import { parseState } from '../../src/core/parse-state.ts';
import { good, parse, revision, web } from '../support/desired.ts';

describe('a good state', () => {
  it('gets every default', () => {
    const { snapshot } = parse(good);
    expect(snapshot).toEqual({
      revision,
      settings: { seed: '70696c6f7466697368', outerSource: { v4: '172.16.0.0/16', v6: '100::/64' } },
      vips: new Map([['web', { name: 'web', ...web }]]),
      pools: new Map([
        [
          'web',
          {
            name: 'web',
            encap: 'ipip',
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
            reals: [{ id: 'r1', address: '10.0.0.11', weight: 100, state: 'active' }],
          },
        ],
      ]),
      rejected: [],
    });
  });

  it('takes every field that this version carries', () => {
    const { snapshot } = parse({
      settings: { seed: 'AB12', outerSource: { v4: '10.9.0.0/24' } },
      'vips/dns': { address: '192.0.2.53', port: 0, protocol: 'udp', pool: 'dns' },
      'pools/dns': {
        encap: 'ipip',
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
        reals: { b: { address: '10.0.0.9', weight: 0, state: 'maintenance' } },
      },
      'pools/dns/reals/a': { address: '10.0.0.10', weight: 1_000 },
      'overrides/dns/a': { state: 'drain' },
    });
    expect(snapshot.rejected).toEqual([]);
    expect(snapshot.settings).toEqual({ seed: 'ab12', outerSource: { v4: '10.9.0.0/24', v6: '100::/64' } });
    expect(snapshot.pools.get('dns')).toEqual({
      name: 'dns',
      encap: 'ipip',
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
        { id: 'b', address: '10.0.0.9', weight: 0, state: 'maintenance' },
        { id: 'a', address: '10.0.0.10', weight: 1_000, state: 'drain' },
      ],
    });
  });

  it('takes fields of later versions when they say what this one does anyway', () => {
    const { snapshot } = parse({
      'vips/web': {
        ...web,
        hash: '5-tuple',
        flowCache: true,
        quic: 'off',
        tcpServerId: false,
        fragments: 'drop',
        clients: [],
      },
      'pools/web': { agreement: 'local', checks: [{ type: 'tcp', via: 'direct' }] },
      'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [] },
    });
    expect(snapshot.rejected).toEqual([]);
    expect(snapshot.vips.get('web')).toEqual({ name: 'web', ...web });
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
