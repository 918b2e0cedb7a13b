import { RING_SLOTS } from './data-plane.ts';

/** A deviation from the exact share that nobody exceeds unless the minimum of one slot forces it. */
const MAX_DEVIATION = 2;

/**
 * What the others give up so that small ones get their one slot: the same number of slots (a fraction, as a rule) for
 * each, which keeps the largest deviation as small as can be. Who would fall below one slot gives less.
 */
function contribution(shares: Float64Array): number {
  let cut = 0;
  for (let givers = -1; ; ) {
    let count = 0;
    let held = 0;
    for (const share of shares) {
      if (share - cut <= 1) continue;
      count++;
      held += share;
    }
    if (count === givers || count === 0) return cut;
    givers = count;
    cut = (held - (RING_SLOTS - (shares.length - count))) / count;
  }
}

/** Indexes of the `count` highest priorities; among equal ones the first. Priorities are above -2 and below 2. */
function highest(priorities: Float64Array, count: number): number[] {
  const indexBits = 2 ** 16;
  const sortable = priorities.map((priority, i) => Math.floor((2 - priority) * 2 ** 34) * indexBits + i).sort();
  return [...sortable.subarray(0, count)].map((key) => key % indexBits);
}

function unassigned(quotas: Float64Array): number {
  return quotas.reduce((rest, quota) => rest - quota, RING_SLOTS);
}

/**
 * How many slots each real gets; all 65,537 together. Each gets its target rounded down or up, where the target is
 * the exact share unless small ones need more. Who is rounded up is decided by fraction plus dither: the dither
 * belongs to the address, so a share that shifts a little, because some real came or went, changes few quotas.
 * Nobody is favoured for their place in the list.
 * @param weights positive integers, 1 to 65,535 of them
 * @param dithers one for each, 0 to below 1
 */
export function slotQuotas(weights: readonly number[], dithers: readonly number[]): Float64Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const shares = Float64Array.from(weights, (weight) => (weight * RING_SLOTS) / total);
  const cut = shares.some((share) => share < 1) ? contribution(shares) : 0;

  const least = (share: number): number => Math.max(1, Math.floor(share - cut));
  let quotas = shares.map((share) => Math.max(least(share), Math.ceil(share - MAX_DEVIATION)));
  let spare = unassigned(quotas);
  if (spare < 0) {
    quotas = shares.map(least);
    spare = unassigned(quotas);
  }
  const priorities = shares.map((share, i) => (share - cut > 1 ? share - cut - quotas[i]! + dithers[i]! : -1.5));
  for (const i of highest(priorities, spare)) quotas[i]!++;
  return quotas;
}
