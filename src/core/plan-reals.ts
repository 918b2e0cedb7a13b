import { isDeepStrictEqual } from 'node:util';
import type { MapOp, Observed } from './data-plane.ts';
import type { Address, RealKey } from './model.ts';
import { realKey } from './model.ts';
import { lookup, Numbers, nextGeneration } from './numbers.ts';
import { poolsOf } from './plan-pools.ts';
import type { Target } from './target.ts';

/** A slot of 0 says that there is no real. */
const FIRST_REAL = 1;

/** What a real is known by in the maps. */
export function placeOf(pool: number, address: Address): string {
  return `${pool}|${address}`;
}

/** The number of each real, and numbers that no real should have: second ones of the same real, and 0. */
export function heldReals(observed: Observed) {
  const held = new Map<string, number>();
  const surplus: number[] = [];
  for (const [number, { pool, address }] of observed.reals) {
    const place = placeOf(pool, address);
    if (number < FIRST_REAL || held.has(place)) surplus.push(number);
    else held.set(place, number);
  }
  return { held, surplus };
}

/** Those that packets can reach without the ring. */
function namedById({ serverIds }: Target): Set<RealKey> {
  return new Set([...serverIds.values()].flatMap((ids) => [...ids.values()]));
}

/** @returns the number of each real that has one, operations that put reals in place, and those that give numbers up */
export function planReals(target: Target, observed: Observed, poolNumber: ReadonlyMap<string, number>) {
  const { held, surplus } = heldReals(observed);
  const named = namedById(target);
  const taken = new Set(observed.reals.keys());
  const numbers = new Numbers('reals', observed.limits.reals, FIRST_REAL, taken, observed.freed);
  const numberOf = new Map<RealKey, number>();
  const puts: MapOp[] = [];
  for (const { name, ring, reals } of poolsOf(target, observed)) {
    const pool = lookup(poolNumber, name);
    const members = new Set(ring.map(({ address }) => address));
    for (const { address, encap, lingers } of reals) {
      const key = realKey(name, address);
      const place = placeOf(pool, address);
      let number = held.get(place);
      if (number === undefined) {
        // Who takes no new flows and has no number has no flows to keep either.
        if (!members.has(address) && (lingers || !named.has(key))) continue;
        number = numbers.take(`real ${address} of pool ${name}`);
        const generation = observed.freed.get(number) ?? 0;
        puts.push({ op: 'put-real', number, real: { address, pool, generation, encap }, fresh: true });
      } else {
        const now = lookup(observed.reals, number);
        if (!isDeepStrictEqual(now.encap, encap))
          puts.push({ op: 'put-real', number, real: { ...now, encap }, fresh: false });
      }
      held.delete(place);
      numberOf.set(key, number);
    }
  }
  const voids: MapOp[] = [...held.values(), ...surplus].map((number) => ({
    op: 'void-real',
    number,
    generation: nextGeneration(lookup(observed.reals, number).generation),
  }));
  return { numberOf, puts, voids };
}
