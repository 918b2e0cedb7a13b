import type { Observed } from '../../src/core/data-plane.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import * as records from '../../src/dataplane/records.ts';
import { membersOf } from './planning.ts';

/** Maps in memory that hold this; its rings and tables are ones that the agent of a test did not make. */
export async function writtenMaps(maps: Observed): Promise<MemoryMapStore> {
  const { vips, pools, reals } = maps.limits;
  const store = new MemoryMapStore({ vip_traffic: vips, rings: pools, reals, real_traffic: reals });
  if (maps.settings !== null) store.put('settings', indexKey(0), records.encodeSettings(maps.settings));
  for (const [number, real] of maps.reals) store.put('reals', indexKey(number), records.encodeReal(real));
  for (const [number, generation] of maps.freed)
    store.put('reals', indexKey(number), records.encodeVoidReal(generation));
  await store.swapRings(
    [...maps.rings].map(([pool, signature]) => ({ pool, fill: (slots) => fill(slots, signature) })),
  );
  const other = new MapDataPlane(store, new RingBuilder());
  const { directory, serverIds } = maps;
  if (serverIds !== null) await other.apply({ op: 'swap-server-ids', serverIds });
  if (directory !== null) await other.apply({ op: 'swap-directory', directory, fresh: [] });
  return store;
}

function fill(slots: Uint16Array, signature: string): void {
  const numbers = membersOf(signature).map(({ number }) => number);
  for (let slot = 0; slot < slots.length; slot++) slots[slot] = numbers[slot % Math.max(1, numbers.length)] ?? 0;
}
