import type { Observed, RealEncap, ServerIdKey, VipId, VipRecord } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import { changedOptions } from '../../src/core/vip-fields.ts';
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

function encapText(encap: RealEncap): string {
  switch (encap.kind) {
    case 'gue':
      return `, gue to port ${encap.port}${encap.checksum ? '' : ' without checksum'}`;
    case 'l2':
      return `, l2 to ${encap.mac}`;
    case 'local':
      return ', this host';
    default:
      return '';
  }
}

/** What the maps hold, one line a thing, in an order that does not depend on how it came there. */
export function dumpMaps(store: MemoryMapStore, observed: Observed): string[] {
  const names = new Map([...observed.pools].map(([name, number]) => [number, name]));
  const nameOf = (pool: number): string => names.get(pool) ?? `number ${pool}, whose name is not known`;
  const { settings, directory, serverIds } = observed;
  const vipLines = ([id, vip]: [VipId, VipRecord]): string[] => {
    const options = changedOptions(vip);
    return [
      `vip ${vip.number} ${vipText(id)} -> pool ${nameOf(vip.pool)}${options === '' ? '' : `, ${options}`}`,
      ...vip.clients.map(({ prefix, pool }) => `vip ${vip.number} clients of ${prefix} -> pool ${nameOf(pool)}`),
    ];
  };
  const idLine = ([key, real]: [ServerIdKey, number]): string => {
    const [pool, id] = key.split('|');
    return `id ${id} for VIPs of pool ${nameOf(Number(pool))}: real ${real}`;
  };
  return [
    settings === null
      ? 'settings none'
      : `settings hash ${settings.hashKeys.slice(0, 16)}, sources ${settings.outerV4} ${settings.outerV6}, mtu ${settings.mtu}, gateway ${settings.gatewayMac}`,
    ...(directory === null ? ['directory not known'] : sorted(directory.vips).flatMap(vipLines)),
    ...(directory?.tunnels ?? []).map(({ address, guePort }) => `tunnel ends at ${address}, gue at port ${guePort}`),
    ...(directory?.own ?? []).map((address) => `${address} is this host’s own, or its gateway’s: passed`),
    ...sorted(observed.rings).map(
      ([pool]) => `pool ${pool} ${nameOf(pool)}: ${shares(store.slots(pool) ?? new Uint16Array(), observed)}`,
    ),
    ...sorted(observed.reals).map(
      ([number, { address, pool, generation, encap }]) =>
        `real ${number} ${address} of pool ${nameOf(pool)}, generation ${generation}${encapText(encap)}`,
    ),
    ...(serverIds === null ? ['ids not known'] : sorted(serverIds).map(idLine)),
    ...sorted(observed.freed).map(([number, generation]) => `real ${number} free, next generation ${generation}`),
  ];
}
