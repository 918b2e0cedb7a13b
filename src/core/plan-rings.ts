import type { MapOp, Observed, RingChange, RingSpec } from './data-plane.ts';
import { ringSignature } from './data-plane.ts';
import type { RealKey } from './model.ts';
import { realKey } from './model.ts';
import { lookup } from './numbers.ts';
import { poolsLedTo, poolsOf } from './plan-pools.ts';
import type { Target, TargetPool } from './target.ts';

function ringSpec(target: Target, pool: TargetPool, realNumber: ReadonlyMap<RealKey, number>): RingSpec {
  return {
    seed: target.seed,
    members: pool.ring.map(({ address, weight }) => ({
      address,
      weight,
      number: lookup(realNumber, realKey(pool.name, address)),
    })),
  };
}

/**
 * All rings that differ, in one operation. Apart from them those that lose their last real and that only the VIPs in force lead to: they are for
 * after the directory, or else packets would find nobody until it is there.
 */
export function planRings(
  target: Target,
  observed: Observed,
  poolNumber: ReadonlyMap<string, number>,
  realNumber: ReadonlyMap<RealKey, number>,
): { readonly swaps: MapOp[]; readonly emptied: MapOp[] } {
  const rings: RingChange[] = [];
  const emptied: RingChange[] = [];
  const wanted = poolsLedTo(target.vips.values());
  const inForce = poolsLedTo(observed.directory?.vips.values() ?? []);
  for (const pool of poolsOf(target, observed)) {
    const number = lookup(poolNumber, pool.name);
    const spec = ringSpec(target, pool, realNumber);
    if (observed.rings.get(number) === ringSignature(spec)) continue;
    const isLeft = spec.members.length === 0 && inForce.has(number) && !wanted.has(pool.name);
    (isLeft ? emptied : rings).push({ pool: number, spec });
  }
  return { swaps: swapOf(rings), emptied: swapOf(emptied) };
}

function swapOf(rings: readonly RingChange[]): MapOp[] {
  return rings.length > 0 ? [{ op: 'swap-rings', rings }] : [];
}
