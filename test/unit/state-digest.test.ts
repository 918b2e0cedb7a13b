import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Lingering } from '../../src/core/linger.ts';
import { type Pool, type Real, realKey, type Snapshot, type Vip } from '../../src/core/model.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { type Digests, digestState } from '../../src/core/state-digest.ts';
import { buildTarget, type HostImage } from '../../src/core/target.ts';
import type { Verdicts } from '../../src/core/verdicts.ts';
import { host } from '../support/in-force.ts';
import { pool, real, snapshot, verdicts, vip } from '../support/model.ts';

const up = verdicts('web', { '10.0.0.11': 'up', '10.0.0.12': 'up' });
const base = () => snapshot([pool('web', ['10.0.0.11', '10.0.0.12']), pool('dns', [])], [vip('web')]);

function digest(
  of: Snapshot,
  { health = up, image = host, lingering = new Map() as Lingering }: Partial<Options> = {},
): Digests {
  return digestState(of, buildTarget(of, image, health, lingering), new RingBuilder());
}

interface Options {
  readonly health: Verdicts;
  readonly image: HostImage;
  readonly lingering: Lingering;
}

describe('the digest of a state', () => {
  it('is SHA-256 over the lines that the reference defines', () => {
    const { state, pools } = digest(base());
    const lines = [
      'pilotfish state v1',
      'seed 70696c6f7466697368',
      'outer 172.16.0.0/16 100::/64',
      `pool dns ${pools.dns} ipip`,
      `pool web ${pools.web} ipip`,
      'vip 192.0.2.10 80 tcp 5-tuple drop off false false true web',
      '',
    ];
    expect(state).toBe(createHash('sha256').update(lines.join('\n')).digest('hex'));
    expect(Object.keys(pools)).toEqual(['dns', 'web']);
  });

  it('has the ways of packets, ids and clients as the reference defines them', () => {
    const clients = [
      { prefix: '198.51.100.0/24', pool: 'dns' },
      { prefix: '198.51.100.0/25', pool: 'web' },
    ];
    const { state, pools } = digest(
      snapshot(
        [
          pool('dns', [real('10.0.0.53', { serverIds: [3, 20] })], {
            encap: 'gue',
            guePort: 6_081,
            gueChecksum: false,
          }),
          pool('web', [real('10.0.0.11', { serverIds: [100] }), '10.0.0.12'], { encap: 'l2' }),
        ],
        [
          vip('quic', {
            protocol: 'udp',
            hash: 'source',
            quic: 'quic-lb',
            fragments: 'hash',
            icmpEcho: false,
            clients,
          }),
        ],
      ),
    );
    const lines = [
      'pilotfish state v1',
      'seed 70696c6f7466697368',
      'outer 172.16.0.0/16 100::/64',
      `pool dns ${pools.dns} gue 6081 false`,
      `pool web ${pools.web} l2`,
      'id web 3 dns 10.0.0.53',
      'id web 20 dns 10.0.0.53',
      'id web 100 web 10.0.0.11',
      'vip 192.0.2.10 80 udp source hash quic-lb false false false web',
      'clients 198.51.100.0/24 dns',
      'clients 198.51.100.0/25 web',
      '',
    ];
    expect(state).toBe(createHash('sha256').update(lines.join('\n')).digest('hex'));
  });

  it('is the same whatever is an LB’s own: revision, MTU, MACs, names of VIPs, order, what lingers', () => {
    const options = { flowCache: false, udpTimeoutMs: 5_000 };
    const other = snapshot([pool('dns', []), pool('web', ['10.0.0.11', '10.0.0.12'])], [vip('another name', options)]);
    const image = {
      mtu: 9_000,
      gatewayMac: '02:00:00:00:00:03',
      ownMac: '02:00:00:00:00:04',
      local: new Set(['10.0.0.11']),
      neighbours: new Map([['10.0.0.12', '02:00:00:00:00:12']]),
      tunnels: [{ address: '203.0.113.1', guePort: 6_080 }],
      own: new Set(['10.0.0.2']),
    };
    const encap = pool('web', []);
    const lingering: Lingering = new Map([
      [realKey('web', '10.0.0.99'), { pool: 'web', address: '10.0.0.99', encap, serverIds: [9], until: 1 }],
    ]);
    expect(digest(other, { image, lingering })).toEqual(digest(base()));
    const withIds = (name: string) => snapshot([...base().pools.values()], [vip(name, { tcpServerId: true })]);
    expect(digest(withIds('a'), { lingering })).toEqual(digest(withIds('b')));
  });

  const withVip = (fields: Partial<Vip>) => snapshot([...base().pools.values()], [vip('web', fields)]);
  const withPool = (fields: Partial<Pool>, first: Partial<Real> = {}, of: Partial<Vip> = {}) =>
    snapshot([pool('web', [real('10.0.0.11', first), '10.0.0.12'], fields), pool('dns', [])], [vip('web', of)]);

  it.each<[string, Snapshot, Snapshot]>([
    ['encap', withPool({}), withPool({ encap: 'gue' })],
    ['guePort', withPool({ encap: 'gue' }), withPool({ encap: 'gue', guePort: 6_081 })],
    ['gueChecksum', withPool({ encap: 'gue' }), withPool({ encap: 'gue', gueChecksum: false })],
    ['hash', base(), withVip({ hash: 'source' })],
    ['fragments', base(), withVip({ fragments: 'hash' })],
    ['quic', base(), withVip({ quic: 'katran' })],
    ['the kind of quic', withVip({ quic: 'katran' }), withVip({ quic: 'quic-lb' })],
    ['tcpServerId', base(), withVip({ tcpServerId: true })],
    ['udpStableRouting', base(), withVip({ udpStableRouting: true })],
    ['icmpEcho', base(), withVip({ icmpEcho: false })],
    ['clients', base(), withVip({ clients: [{ prefix: '198.51.100.0/24', pool: 'dns' }] })],
    [
      'a client’s prefix',
      withVip({ clients: [{ prefix: '198.51.100.0/24', pool: 'dns' }] }),
      withVip({ clients: [{ prefix: '198.51.100.0/25', pool: 'dns' }] }),
    ],
    [
      'a client’s pool',
      withVip({ clients: [{ prefix: '198.51.100.0/24', pool: 'dns' }] }),
      withVip({ clients: [{ prefix: '198.51.100.0/24', pool: 'web' }] }),
    ],
    ['an id', withPool({}, {}, { tcpServerId: true }), withPool({}, { serverIds: [7] }, { tcpServerId: true })],
    [
      'maintenance, by ids alone',
      withPool({}, { weight: 0, serverIds: [7] }, { tcpServerId: true }),
      withPool({}, { weight: 0, serverIds: [7], state: 'maintenance' }, { tcpServerId: true }),
    ],
  ])('differs by %s', (_what, one, other) => {
    expect(digest(other).state).not.toBe(digest(one).state);
  });

  it.each<[string, Snapshot, Verdicts]>([
    ['the seed', { ...base(), settings: { ...base().settings, seed: '00' } }, up],
    [
      'outer sources',
      { ...base(), settings: { ...base().settings, outerSource: { v4: '172.17.0.0/16', v6: '100::/64' } } },
      up,
    ],
    [
      'a weight',
      snapshot([pool('web', ['10.0.0.11', real('10.0.0.12', { weight: 99 })]), pool('dns', [])], [vip('web')]),
      up,
    ],
    [
      'a drain',
      snapshot([pool('web', ['10.0.0.11', real('10.0.0.12', { state: 'drain' })]), pool('dns', [])], [vip('web')]),
      up,
    ],
    ['the health of a real', base(), verdicts('web', { '10.0.0.11': 'up', '10.0.0.12': 'down' })],
    ['the pool of a VIP', snapshot([...base().pools.values()], [vip('web', { pool: 'dns' })]), up],
    ['the port of a VIP', snapshot([...base().pools.values()], [vip('web', { port: 81 })]), up],
    ['the protocol of a VIP', snapshot([...base().pools.values()], [vip('web', { protocol: 'udp' })]), up],
    ['one VIP more', snapshot([...base().pools.values()], [vip('web'), vip('more', { port: 81 })]), up],
    ['a pool more, though empty', snapshot([...base().pools.values(), pool('new', [])], [vip('web')]), up],
  ])('changes with %s', (_what, changed, health) => {
    expect(digest(changed, { health }).state).not.toBe(digest(base()).state);
  });
});
