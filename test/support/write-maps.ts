import type { Observed } from '../../src/core/data-plane.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import * as records from '../../src/dataplane/records.ts';
import { membersOf } from './planning.ts';

/** Maps in memory that hold this; its rings are ones that no agent of this run made. */
export async function writtenMaps(maps: Observed): Promise<MemoryMapStore> {
  const { vips, pools, reals } = maps.limits;
  const store = new MemoryMapStore({
    vips,
    vip_addresses: vips,
    vip_traffic: vips,
    rings: pools,
    reals,
    real_traffic: reals,
  });
  if (maps.settings !== null) store.put('settings', indexKey(0), records.encodeSettings(maps.settings));
  for (const [address, protocols] of maps.addresses)
    store.put('vip_addresses', records.encodeAddressKey(address), records.encodeServed(protocols));
  for (const [id, vip] of maps.vips) store.put('vips', records.encodeVipKey(id), records.encodeVip(vip));
  for (const [number, real] of maps.reals) store.put('reals', indexKey(number), records.encodeReal(real));
  for (const [number, generation] of maps.freed)
    store.put('reals', indexKey(number), records.encodeVoidReal(generation));
  await store.swapRings(
    [...maps.rings].map(([pool, signature]) => ({ pool, fill: (slots) => fill(slots, signature) })),
  );
  return store;
}

function fill(slots: Uint16Array, signature: string): void {
  const numbers = membersOf(signature).map(({ number }) => number);
  for (let slot = 0; slot < slots.length; slot++) slots[slot] = numbers[slot % Math.max(1, numbers.length)] ?? 0;
}
