import type { MapOp, Observed } from './data-plane.ts';
import { Numbers } from './numbers.ts';
import type { Target, TargetPool } from './target.ts';

/** A pool that is leaving has flows to keep only where the maps know it. */
export function poolsOf({ pools, leaving }: Target, observed: Observed): TargetPool[] {
  return [...pools.values(), ...leaving.filter(({ name }) => observed.pools.has(name))];
}

/** Pools, by name or by number, whose rings packets for these VIPs are sent by. */
export function poolsLedTo<T>(vips: Iterable<{ readonly pool: T; readonly clients: readonly { readonly pool: T }[] }>) {
  const led = new Set<T>();
  for (const { pool, clients } of vips) {
    led.add(pool);
    for (const client of clients) led.add(client.pool);
  }
  return led;
}

/** A number that reals or VIPs still name is not free: its next pool would inherit their flows and packets. */
function takenNumbers({ pools, rings, reals, directory }: Observed): Set<number> {
  const taken = new Set([...pools.values(), ...rings.keys()]);
  for (const { pool } of reals.values()) taken.add(pool);
  return taken.union(poolsLedTo(directory?.vips.values() ?? []));
}

/** @returns the number of each pool, operations that claim new ones, and those that give up what is not needed */
export function planPools(target: Target, observed: Observed) {
  const numbers = new Numbers('pools', observed.limits.pools, 0, takenNumbers(observed));
  const numberOf = new Map<string, number>();
  const names: MapOp[] = [];
  for (const { name } of poolsOf(target, observed)) {
    let pool = observed.pools.get(name);
    if (pool === undefined) {
      pool = numbers.take(`pool ${name}`);
      names.push({ op: 'name-pool', pool, name });
    }
    numberOf.set(name, pool);
  }
  const known = new Set([...observed.pools.values(), ...observed.rings.keys()]);
  const gone = [...known.difference(new Set(numberOf.values()))];
  const removals: MapOp[] = gone.length > 0 ? [{ op: 'remove-pools', pools: gone }] : [];
  return { numberOf, names, removals };
}
