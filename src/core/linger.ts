import type { Limits } from './data-plane.ts';
import type { Address, RealKey, Snapshot } from './model.ts';
import { realKey } from './model.ts';
import type { PoolEncap } from './real-encap.ts';
import { ServerIdCount } from './server-id-count.ts';

interface LingeringReal {
  readonly pool: string;
  readonly address: Address;
  /** As its pool had it when the real’s key vanished: what the pool says later is about its other reals. */
  readonly encap: PoolEncap;
  readonly serverIds: readonly number[];
  /** Milliseconds of the clock that `now` is of. */
  readonly until: number;
}

/** Reals whose keys vanished: they take no new flows and keep their old ones until `until`. */
export type Lingering = ReadonlyMap<RealKey, LingeringReal>;

/**
 * The lingering reals after the desired state changed from `before` to `after`, or merely time passed
 * (`before === after`). Reals of a pool that is gone linger too: its VIPs may lead to another pool now, and flows from
 * before that are still remembered. A real that came back is an ordinary one again and keeps its flows.
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
            encap: { encap: pool.encap, guePort: pool.guePort, gueChecksum: pool.gueChecksum },
            serverIds: real.serverIds,
            until: now + (after.pools.get(pool.name) ?? pool).removeAfterMs,
          });
  }
  for (const pool of after.pools.values()) for (const real of pool.reals) next.delete(realKey(pool.name, real.address));
  for (const [key, entry] of next) if (entry.until <= now) next.delete(key);
  return next;
}

function countServerIds(snapshot: Snapshot): ServerIdCount {
  const count = new ServerIdCount();
  for (const vip of snapshot.vips.values()) count.addVip(vip);
  for (const { name, reals } of snapshot.pools.values())
    for (const { serverIds } of reals) count.addIds(name, serverIds.length);
  return count;
}

/** Those that the maps have room for beside the reals of the snapshot; the ones that end first give way. */
export function lingeringWithin(lingering: Lingering, snapshot: Snapshot, limits: Limits): Lingering {
  let reals = limits.reals - 1;
  for (const pool of snapshot.pools.values()) reals -= pool.reals.length;
  const pools = new Set(snapshot.pools.keys());
  const ids = countServerIds(snapshot);
  const kept = new Map<RealKey, LingeringReal>();
  for (const [key, entry] of [...lingering].sort(([, a], [, b]) => b.until - a.until)) {
    if (kept.size >= reals) break;
    if (pools.size >= limits.pools && !pools.has(entry.pool)) continue;
    if (entry.serverIds.length > 0 && ids.withIds(entry.pool, entry.serverIds.length) > limits.serverIds) continue;
    ids.addIds(entry.pool, entry.serverIds.length);
    pools.add(entry.pool);
    kept.set(key, entry);
  }
  return kept;
}

/** When the next lingering real runs out, or null. */
export function nextLingerEnd(lingering: Lingering): number | null {
  let end: number | null = null;
  for (const { until } of lingering.values()) if (end === null || until < end) end = until;
  return end;
}
