import { describe, expect, it } from 'vitest';
import type { Lingering } from '../../src/core/linger.ts';
import { nextLingering } from '../../src/core/linger.ts';
import type { Pool, Snapshot, Vip } from '../../src/core/model.ts';
import type { Target } from '../../src/core/target.ts';
import { buildTarget, type HostImage } from '../../src/core/target.ts';
import { pool, real, snapshot, verdicts, vip } from '../support/model.ts';

const host: HostImage = {
  mtu: 1_500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  local: new Set(['10.0.0.5']),
  neighbours: new Map([['10.0.0.1', '02:00:00:00:00:11']]),
  tunnels: [{ address: '203.0.113.1', guePort: 6_080 }],
  own: new Set(['2001:db8::2', '10.0.0.2']),
};
const up = verdicts('web', { '10.0.0.1': 'up', '10.0.0.2': 'up', '10.0.0.5': 'up' });
const nobody: Lingering = new Map();

function target(of: Snapshot, lingering = nobody, health = up): Target {
  return buildTarget(of, host, health, lingering);
}

/** What each real of `web` is reached by. */
function encaps(of: Target): Record<string, unknown> {
  return Object.fromEntries((of.pools.get('web')?.reals ?? []).map(({ address, encap }) => [address, encap]));
}

/** Which real each id names for VIPs of `web`. */
function ids(of: Target): Record<number, string> {
  return Object.fromEntries(of.serverIds.get('web') ?? []);
}

describe('a target', () => {
  it('has settings and tunnels of the host, and of the settings nothing but what is a setting', () => {
    const { settings, tunnels, own } = target(snapshot([]));
    expect(settings).toEqual({
      hashKeys: expect.stringMatching(/^([0-9a-f]{16},){7}[0-9a-f]{16}$/),
      outerV4: '172.16.0.0/16',
      outerV6: '100::/64',
      mtu: 1_500,
      gatewayMac: '02:00:00:00:00:01',
      ownMac: '02:00:00:00:00:02',
    });
    expect(tunnels).toEqual(host.tunnels);
    expect(own).toEqual(['10.0.0.2', '2001:db8::2']);
  });

  it.each<[Partial<Pool>, unknown]>([
    [{ encap: 'ipip' }, { kind: 'ipip' }],
    [{ encap: 'gue' }, { kind: 'gue', port: 6_080, checksum: true }],
    [
      { encap: 'gue', guePort: 6_081, gueChecksum: false },
      { kind: 'gue', port: 6_081, checksum: false },
    ],
    [{ encap: 'l2' }, { kind: 'l2', mac: '02:00:00:00:00:11' }],
  ])('reaches reals of a pool with %o by %o', (fields, encap) => {
    expect(encaps(target(snapshot([pool('web', ['10.0.0.1'], fields)])))).toEqual({ '10.0.0.1': encap });
  });

  it('reaches this host itself without any encap', () => {
    for (const encap of ['ipip', 'gue', 'l2'] as const) {
      const of = target(snapshot([pool('web', ['10.0.0.5'], { encap })]));
      expect(encaps(of)).toEqual({ '10.0.0.5': { kind: 'local' } });
    }
  });

  it('says of a neighbour that is not known yet that it is not', () => {
    const of = target(snapshot([pool('web', ['10.0.0.2'], { encap: 'l2' })]));
    expect(encaps(of)).toEqual({ '10.0.0.2': { kind: 'l2', mac: '00:00:00:00:00:00' } });
  });

  it('reaches a removed real as its pool said when it had it', () => {
    const before = snapshot([pool('web', ['10.0.0.1', '10.0.0.2'], { encap: 'gue' })]);
    const after = snapshot([pool('web', ['10.0.0.1'], { encap: 'ipip' })]);
    const of = target(after, nextLingering(nobody, before, after, 0));
    expect(encaps(of)).toEqual({
      '10.0.0.1': { kind: 'ipip' },
      '10.0.0.2': { kind: 'gue', port: 6_080, checksum: true },
    });
    expect(of.pools.get('web')?.reals.map(({ lingers }) => lingers)).toEqual([false, true]);
  });
});

describe('ids of reals', () => {
  const one = real('10.0.0.1', { serverIds: [1, 11] });
  const two = real('10.0.0.2', { serverIds: [2] });
  const web = (fields: Partial<Vip> = { quic: 'katran' }, ...reals: Pool['reals']) =>
    snapshot([pool('web', reals.length > 0 ? reals : [one, two])], [vip('web', fields)]);

  it.each<Partial<Vip>>([{ quic: 'katran' }, { quic: 'quic-lb' }, { tcpServerId: true }, { udpStableRouting: true }])(
    'are there for a VIP with %o',
    (fields) => {
      expect(ids(target(web(fields)))).toEqual({ 1: 'web|10.0.0.1', 11: 'web|10.0.0.1', 2: 'web|10.0.0.2' });
    },
  );

  it('are not there when no VIP reads any', () => {
    expect(target(web({})).serverIds.size).toBe(0);
  });

  it('name draining reals, those of weight 0, unseen ones, and down ones with onDown keep', () => {
    for (const fields of [{ state: 'drain' }, { weight: 0 }] as const)
      expect(ids(target(web({ quic: 'katran' }, { ...two, ...fields })))).toEqual({ 2: 'web|10.0.0.2' });
    for (const health of [verdicts('web', {}), verdicts('web', { '10.0.0.2': 'down' })])
      expect(ids(target(web({ quic: 'katran' }, two), nobody, health))).toEqual({ 2: 'web|10.0.0.2' });
  });

  it('do not name reals in maintenance', () => {
    expect(ids(target(web({ quic: 'katran' }, one, { ...two, state: 'maintenance' })))).toEqual({
      1: 'web|10.0.0.1',
      11: 'web|10.0.0.1',
    });
  });

  it('do not name down reals with onDown rehash, unless so many are down that health is ignored', () => {
    const rehash = snapshot([pool('web', [one, two], { onDown: 'rehash' })], [vip('web', { quic: 'katran' })]);
    const oneDown = verdicts('web', { '10.0.0.1': 'up', '10.0.0.2': 'down' });
    expect(Object.values(ids(target(rehash, nobody, oneDown)))).not.toContain('web|10.0.0.2');
    const allDown = verdicts('web', { '10.0.0.1': 'down', '10.0.0.2': 'down' });
    expect(Object.values(ids(target(rehash, nobody, allDown)))).toContain('web|10.0.0.2');
  });

  it('name reals of the pools of clients too, of all VIPs of the pool that read ids', () => {
    const pools = [pool('web', [one]), pool('near', [two]), pool('far', [real('10.0.0.3', { serverIds: [3] })])];
    const clients = (of: string) => [{ prefix: '198.51.100.0/24', pool: of }];
    const of = target(
      snapshot(pools, [
        vip('a', { quic: 'katran', protocol: 'udp', clients: clients('near') }),
        vip('b', { tcpServerId: true, clients: clients('far') }),
        vip('c', { port: 81, pool: 'near', clients: clients('far') }),
      ]),
    );
    expect([...of.serverIds.keys()]).toEqual(['web']);
    expect(ids(of)).toEqual({ 1: 'web|10.0.0.1', 11: 'web|10.0.0.1', 2: 'near|10.0.0.2', 3: 'far|10.0.0.3' });
  });

  it('name a removed real until it is gone for good', () => {
    const after = web({ quic: 'katran' }, one);
    const gone = nextLingering(nobody, web(), after, 0);
    expect(ids(target(after, gone))).toMatchObject({ 2: 'web|10.0.0.2' });
    expect(ids(target(after, nextLingering(gone, after, after, 300_000)))).not.toHaveProperty('2');
  });

  it('name the desired real that took one over from a removed one, even in maintenance', () => {
    const after = web({ quic: 'katran' }, { ...one, serverIds: [2] });
    const gone = nextLingering(nobody, web(), after, 0);
    expect(ids(target(after, gone))).toEqual({ 2: 'web|10.0.0.1' });
    const inMaintenance = web({ quic: 'katran' }, { ...one, serverIds: [2], state: 'maintenance' });
    expect(ids(target(inMaintenance, gone))).toEqual({});
  });
});
