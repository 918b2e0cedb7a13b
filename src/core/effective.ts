import type { Address, Pool } from './model.ts';
import { realKey } from './model.ts';
import type { Verdicts } from './verdicts.ts';

export interface EffectiveReal {
  readonly address: Address;
  /** 1 to 1000. */
  readonly weight: number;
}

/** Who takes new flows in a pool once people and health have had their say. */
export interface EffectivePool {
  /** In the pool’s order; empty when nobody takes new flows. */
  readonly reals: readonly EffectiveReal[];
  /** True when so little weight is up that health is ignored: an alarm. */
  readonly floor: boolean;
  /** Weight of the active reals whose verdict is up. */
  readonly upWeight: number;
  /** Weight of the active reals whose verdict is up or down. */
  readonly observedWeight: number;
}

/**
 * Percentages are not exact in binary (0.55 x 100 is a little more than 55), and a pool exactly at its floor must
 * not raise the alarm. Far above the rounding error of the largest pool, far below any step of weight.
 */
const ROUNDING = 1e-7;

/**
 * Drained reals, reals in maintenance and of weight 0 are people’s word: they take no flows and count on neither
 * side of `minHealthy`. The same goes for reals without a verdict: nobody has ever seen them answer. What is left
 * takes flows when it is up, or, below the floor, whether it is up or down.
 */
export function effectiveReals(pool: Pool, verdicts: Verdicts): EffectivePool {
  const up: EffectiveReal[] = [];
  const observed: EffectiveReal[] = [];
  let upWeight = 0;
  let observedWeight = 0;
  for (const { address, weight, state } of pool.reals) {
    const verdict = verdicts.get(realKey(pool.name, address)) ?? 'unknown';
    if (state !== 'active' || weight === 0 || verdict === 'unknown') continue;
    observed.push({ address, weight });
    observedWeight += weight;
    if (verdict === 'down') continue;
    up.push({ address, weight });
    upWeight += weight;
  }
  const floor = upWeight + ROUNDING < pool.minHealthy * observedWeight;
  return { reals: floor ? observed : up, floor, upWeight, observedWeight };
}
