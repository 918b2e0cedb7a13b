import type { Observation, RealKey, Snapshot } from './model.ts';
import { realKey } from './model.ts';

/** What is known of each real now. It may change at any time: it is asked when a target is built, and never kept. */
export type Verdicts = Pick<ReadonlyMap<RealKey, Observation>, 'get'>;

/** Verdicts for where nobody checks anything: every real is taken as up. */
export function allUp(snapshot: Snapshot): Map<RealKey, Observation> {
  const verdicts = new Map<RealKey, Observation>();
  for (const pool of snapshot.pools.values())
    for (const { address } of pool.reals) verdicts.set(realKey(pool.name, address), 'up');
  return verdicts;
}
