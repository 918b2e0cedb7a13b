import type { Lingering } from './linger.ts';
import type { RealKey, Snapshot } from './model.ts';
import { realKey } from './model.ts';
import { readsIds } from './server-id-count.ts';

/** By the name of a VIP’s pool: which real each id names in packets for the VIPs of that pool. */
export type NamedServerIds = ReadonlyMap<string, ReadonlyMap<number, RealKey>>;

/** By pool: those whose reals its VIPs find by id, the pool itself first. Two VIPs of one pool share what both name. */
function scopesOf(snapshot: Snapshot): Map<string, Set<string>> {
  const scopes = new Map<string, Set<string>>();
  for (const vip of snapshot.vips.values()) {
    if (!readsIds(vip)) continue;
    const scope = scopes.get(vip.pool) ?? new Set([vip.pool]);
    for (const { pool } of vip.clients) scope.add(pool);
    scopes.set(vip.pool, scope);
  }
  return scopes;
}

/**
 * Which real each id names. A removed real answers to its ids until `removeAfter` is over, unless a real of the desired
 * state has taken one over: then the id is that one’s alone, even when it takes no flows at all.
 *
 * @param lingering in order of precedence
 * @param keepsFlows of a real of the snapshot
 */
export function serverIdsOf(
  snapshot: Snapshot,
  lingering: Lingering,
  keepsFlows: (key: RealKey) => boolean,
): NamedServerIds {
  const table = new Map<string, Map<number, RealKey>>();
  for (const [name, scope] of scopesOf(snapshot)) {
    const ids = new Map<number, RealKey>();
    const taken = new Set<number>();
    const take = (id: number, key: RealKey, answers: boolean): void => {
      if (!taken.has(id) && answers) ids.set(id, key);
      taken.add(id);
    };
    for (const pool of scope)
      for (const { address, serverIds } of snapshot.pools.get(pool)?.reals ?? []) {
        const key = realKey(pool, address);
        for (const id of serverIds) take(id, key, keepsFlows(key));
      }
    for (const [key, { pool, serverIds }] of lingering)
      if (scope.has(pool)) for (const id of serverIds) take(id, key, true);
    table.set(name, ids);
  }
  return table;
}
