import { describe, expect, it } from 'vitest';
import type { RealEncap, VipId } from '../../src/core/data-plane.ts';
import { tooTightForIpv6 } from '../../src/core/tight-mtu.ts';
import { settings, targetOf, targetPool } from '../support/planning.ts';

const V4: VipId = '192.0.2.1|80|tcp';
const V6: VipId = '2001:db8::1|80|tcp';
const gue: RealEncap = { kind: 'gue', port: 6080, checksum: true };

/** Pools that are too tight, with the MTU that they need. */
function tight(mtu: number, vip: VipId, real: string, encap?: RealEncap): Record<string, number> {
  const target = targetOf([targetPool('web', ['10.0.0.1', real], [], encap)], { [vip]: 'web' });
  return Object.fromEntries(tooTightForIpv6({ ...target, settings: { ...settings, mtu } }));
}

describe('an MTU is too small for IPv6', () => {
  it.each<[string, RealEncap | undefined, number]>([
    ['10.0.0.2', undefined, 1_300],
    ['10.0.0.2', gue, 1_308],
    ['fd00::2', undefined, 1_320],
    ['fd00::2', gue, 1_328],
    ['fd00::2', { kind: 'l2', mac: '02:00:00:00:00:01' }, 1_280],
    ['fd00::2', { kind: 'local' }, 1_280],
  ])('with reals such as %s by %o below %i', (real, encap, needed) => {
    expect(tight(needed, V6, real, encap)).toEqual({});
    expect(tight(needed - 1, V6, real, encap)).toEqual({ web: needed });
  });

  it('also where only some clients of an IPv6 VIP, or of a prefix, are sent to the pool', () => {
    const clients = [{ prefix: '2001:db8:1::/48', pool: 'near' }];
    const pools = [targetPool('web', []), targetPool('near', ['10.0.0.1'])];
    const target = targetOf(pools, { '2001:db8::/64|80|tcp': { pool: 'web', clients } });
    const small = { ...target, settings: { ...settings, mtu: 1_299 } };
    expect([...tooTightForIpv6(small).keys()]).toEqual(['near']);
  });

  it('but not for IPv4 VIPs, whose senders can make their packets smaller', () => {
    expect(tight(576, V4, 'fd00::2', gue)).toEqual({});
  });
});
