import type { Observed, VipId } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import type { MemoryMapStore } from '../../src/dataplane/memory-store.ts';

/** As people write a VIP: `192.0.2.10:443/tcp`, with `*` for every port. */
export function vipText(id: VipId): string {
  const { address, port, protocol } = splitVipId(id);
  const host = address.includes(':') ? `[${address}]` : address;
  return `${host}:${port === 0 ? '*' : port}/${protocol}`;
}

function sorted<K, V>(map: ReadonlyMap<K, V>): [K, V][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `10.0.0.11 32768, 10.0.0.12 32769`: how many of the 65,537 slots each address has. */
function shares(slots: Uint16Array, { reals }: Observed): string {
  const counts = new Map<string, number>();
  for (const number of slots) {
    const address = number === 0 ? 'nobody' : (reals.get(number)?.address ?? `number ${number}, which is void`);
    counts.set(address, (counts.get(address) ?? 0) + 1);
  }
  return sorted(counts)
    .map(([address, count]) => `${address} ${count}`)
    .join(', ');
}

/** What the maps hold, one line a thing, in an order that does not depend on how it came there. */
export function dumpMaps(store: MemoryMapStore, observed: Observed): string[] {
  const names = new Map([...observed.pools].map(([name, number]) => [number, name]));
  const nameOf = (pool: number): string => names.get(pool) ?? `number ${pool}, whose name is not known`;
  const { settings } = observed;
  return [
    settings === null
      ? 'settings none'
      : `settings hash ${settings.hashKeys.slice(0, 16)}, sources ${settings.outerV4} ${settings.outerV6}, mtu ${settings.mtu}, gateway ${settings.gatewayMac}`,
    ...sorted(observed.addresses).map(([address, served]) => `address ${address} ${[...served].sort().join(' ')}`),
    ...sorted(observed.vips).map(([id, { number, pool }]) => `vip ${number} ${vipText(id)} -> pool ${nameOf(pool)}`),
    ...sorted(observed.rings).map(
      ([pool]) => `pool ${pool} ${nameOf(pool)}: ${shares(store.slots(pool) ?? new Uint16Array(), observed)}`,
    ),
    ...sorted(observed.reals).map(
      ([number, { address, pool, generation }]) =>
        `real ${number} ${address} of pool ${nameOf(pool)}, generation ${generation}`,
    ),
    ...sorted(observed.freed).map(([number, generation]) => `real ${number} free, next generation ${generation}`),
  ];
}
