import type { Address, RealKey, Snapshot } from './model.ts';
import { realKey } from './model.ts';

/** Reals whose keys vanished: they take no new flows and keep their old ones until `until`. */
export type Lingering = ReadonlyMap<
  RealKey,
  { readonly pool: string; readonly address: Address /** Clock milliseconds. */; readonly until: number }
>;

/**
 * The lingering reals after the desired state changed from `before` to `after`, or merely time passed
 * (`before === after`). A real whose pool is gone does not linger: nothing leads to it any more. One that came back
 * is an ordinary real again and keeps its flows.
 */
export function nextLingering(lingering: Lingering, before: Snapshot | null, after: Snapshot, now: number): Lingering {
  const next = new Map(lingering);
  if (before !== null && before !== after) {
    // Its flows were void already, so there is nothing to keep.
    for (const pool of before.pools.values())
      for (const real of pool.reals)
        if (real.state !== 'maintenance')
          next.set(realKey(pool.name, real.address), {
            pool: pool.name,
            address: real.address,
            until: now + (after.pools.get(pool.name)?.removeAfterMs ?? 0),
          });
    for (const [key, entry] of lingering) next.set(key, entry);
  }
  for (const pool of after.pools.values()) for (const real of pool.reals) next.delete(realKey(pool.name, real.address));
  for (const [key, entry] of next) if (entry.until <= now || !after.pools.has(entry.pool)) next.delete(key);
  return next;
}

/** When the next lingering real runs out, or null. */
export function nextLingerEnd(lingering: Lingering): number | null {
  let end: number | null = null;
  for (const { until } of lingering.values()) if (end === null || until < end) end = until;
  return end;
}
