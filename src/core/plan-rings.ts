import type { MapOp, Observed, RingChange, RingSpec } from './data-plane.ts';
import { ringSignature } from './data-plane.ts';
import type { RealKey } from './model.ts';
import { realKey } from './model.ts';
import { lookup } from './numbers.ts';
import { poolsOf } from './plan-pools.ts';
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

/** All rings that differ, in one operation. */
export function planRings(
  target: Target,
  observed: Observed,
  poolNumber: ReadonlyMap<string, number>,
  realNumber: ReadonlyMap<RealKey, number>,
): MapOp[] {
  const rings: RingChange[] = [];
  for (const pool of poolsOf(target, observed)) {
    const number = lookup(poolNumber, pool.name);
    const spec = ringSpec(target, pool, realNumber);
    if (observed.rings.get(number) !== ringSignature(spec)) rings.push({ pool: number, spec });
  }
  return rings.length > 0 ? [{ op: 'swap-rings', rings }] : [];
}
