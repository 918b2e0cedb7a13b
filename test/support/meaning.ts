import { createHash } from 'node:crypto';
import type { Observed } from '../../src/core/data-plane.ts';
import type { MemoryMapStore } from '../../src/dataplane/memory-store.ts';

/**
 * Where the maps send packets, without this host’s own numbers: for each VIP a digest over the real’s address in every
 * slot of its ring. Equal texts forward alike.
 */
export function forwardingOf(store: MemoryMapStore, observed: Observed): string[] {
  const digests = new Map<number, string>();
  const digest = (pool: number): string => {
    const addresses = Array.from(store.slots(pool) ?? [], (number) => observed.reals.get(number)?.address ?? 'none');
    return createHash('sha256').update(addresses.join()).digest('hex');
  };
  const lines = [...observed.vips].map(([id, { pool }]) => {
    const known = digests.get(pool) ?? digest(pool);
    digests.set(pool, known);
    return `${id} ${known}`;
  });
  const served = [...observed.addresses].map(([address, protocols]) => `${address} ${[...protocols].sort().join()}`);
  return [JSON.stringify(observed.settings), ...served.sort(), ...lines.sort()];
}
