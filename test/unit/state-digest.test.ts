import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Lingering } from '../../src/core/linger.ts';
import { realKey, type Snapshot } from '../../src/core/model.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { type Digests, digestState } from '../../src/core/state-digest.ts';
import { buildTarget, type HostImage, type Verdicts } from '../../src/core/target.ts';
import { pool, real, snapshot, verdicts, vip } from '../support/model.ts';

const host: HostImage = { mtu: 1_500, gatewayMac: '02:00:00:00:00:01', ownMac: '02:00:00:00:00:02' };
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
      `pool dns ipip ${pools.dns}`,
      `pool web ipip ${pools.web}`,
      'vip 192.0.2.10 80 tcp 5-tuple web',
      '',
    ];
    expect(state).toBe(createHash('sha256').update(lines.join('\n')).digest('hex'));
    expect(Object.keys(pools)).toEqual(['dns', 'web']);
  });

  it('is the same whatever is an LB’s own: revision, MTU, MACs, names of VIPs, order, what lingers', () => {
    const other = snapshot([pool('dns', []), pool('web', ['10.0.0.11', '10.0.0.12'])], [vip('another name')]);
    const image = { mtu: 9_000, gatewayMac: '02:00:00:00:00:03', ownMac: '02:00:00:00:00:04' };
    const lingering: Lingering = new Map([
      [realKey('web', '10.0.0.99'), { pool: 'web', address: '10.0.0.99', until: 1 }],
    ]);
    expect(digest(other, { image, lingering })).toEqual(digest(base()));
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
