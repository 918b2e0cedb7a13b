import type { Observation, RealKey } from '../core/model.ts';

/** What one LB publishes about a pool: its reals’ addresses by observation. Unknown ones have no vote and are left out. */
export interface PackedObservations {
  readonly up: readonly string[];
  readonly down: readonly string[];
}

/**
 * By pool name, one value for each pool. Equal observations give equal text in whatever order they come, so that
 * nothing is written when nothing changed.
 */
export function packObservations(observations: ReadonlyMap<RealKey, Observation>): Map<string, PackedObservations> {
  const packed = new Map<string, { up: string[]; down: string[] }>();
  for (const [key, observation] of [...observations].sort(([a], [b]) => (a < b ? -1 : 1))) {
    // A pool’s name has no bar in it, and neither has an address.
    const [pool, address] = key.split('|') as [string, string];
    const entry = packed.get(pool) ?? { up: [], down: [] };
    packed.set(pool, entry);
    if (observation !== 'unknown') {
      entry[observation].push(address);
    }
  }
  return packed;
}
