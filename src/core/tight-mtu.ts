import { isIPv6Address } from './address.ts';
import { poolsLedTo } from './plan-pools.ts';
import { outerBytes } from './real-encap.ts';
import type { Target } from './target.ts';

/** RFC 8200, section 5: every link takes IPv6 packets of so many bytes, and no sender makes smaller ones for being told to (RFC 8201). */
const IPV6_LEAST_MTU = 1_280;

/**
 * Pools of IPv6 VIPs that packets of 1,280 bytes do not fit to, each with the MTU that would do: senders are told that they
 * are too big, and cannot make them smaller.
 */
export function tooTightForIpv6({ vips, pools, settings }: Pick<Target, 'vips' | 'pools' | 'settings'>) {
  const led = poolsLedTo([...vips.values()].filter(({ address }) => isIPv6Address(address)));
  const tight = new Map<string, number>();
  for (const { name, reals } of pools.values()) {
    const needed = IPV6_LEAST_MTU + Math.max(0, ...reals.map(({ address, encap }) => outerBytes(address, encap)));
    if (led.has(name) && settings.mtu < needed) tight.set(name, needed);
  }
  return tight;
}
