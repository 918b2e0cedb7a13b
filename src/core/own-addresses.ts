import type { Address, Vip } from './model.ts';
import { PrefixMap } from './prefix-map.ts';

/**
 * Which of these addresses no VIP has by itself, but only by a prefix, in their order; each with the name of the VIP
 * whose prefix is the longest. Packets for them are passed.
 *
 * @param own of this host and its gateway
 */
export function ownInPrefixes(
  vips: Iterable<Pick<Vip, 'name' | 'address'>>,
  own: readonly Address[],
): ReadonlyMap<Address, string> {
  const prefixes = new PrefixMap();
  const addresses = new Set<Address>();
  for (const { name, address } of own.length === 0 ? [] : vips)
    if (address.includes('/')) prefixes.set(address, name);
    else addresses.add(address);
  const found = new Map<Address, string>();
  for (const address of own) {
    const vip = addresses.has(address) ? undefined : prefixes.containing(address);
    if (vip !== undefined) found.set(address, vip);
  }
  return found;
}
