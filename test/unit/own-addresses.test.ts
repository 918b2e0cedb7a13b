import { describe, expect, it } from 'vitest';
import { ownInPrefixes } from '../../src/core/own-addresses.ts';

const vips = [
  { name: 'wide', address: '10.0.0.0/8' },
  { name: 'near', address: '10.1.0.0/16' },
  { name: 'one', address: '10.0.0.5' },
  { name: 'six', address: '2001:db8::/32' },
];

describe('own addresses in prefixes of VIPs', () => {
  it.each([
    ['in a prefix', '10.0.0.2', 'wide'],
    ['in two prefixes, named by the longer', '10.1.0.2', 'near'],
    ['of IPv6', '2001:db8::2', 'six'],
    ['that a VIP has by itself', '10.0.0.5', undefined],
    ['in no prefix', '192.0.2.1', undefined],
    ['of the other family', '::10.0.0.2', undefined],
  ])('%s', (_what, address, vip) => {
    expect(ownInPrefixes(vips, [address]).get(address)).toBe(vip);
  });

  it('keep their order', () => {
    const own = ['10.0.0.1', '10.1.0.2', '192.0.2.1', '2001:db8::2'];
    expect([...ownInPrefixes(vips, own).keys()]).toEqual(['10.0.0.1', '10.1.0.2', '2001:db8::2']);
    expect(ownInPrefixes([], own).size).toBe(0);
  });
});
