import type { RingReal } from '../../src/core/maglev.ts';
import { buildRing } from '../../src/core/maglev.ts';

/** `count` reals from 10.0.0.0 on. */
export function ringReals(count: number, weightOf: (index: number) => number = () => 100): RingReal[] {
  return Array.from({ length: count }, (_, i) => ({
    address: `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`,
    weight: weightOf(i),
  }));
}

/** Slots of each real. */
export function slotCounts(ring: Uint16Array, count: number): number[] {
  const counts = new Array<number>(count).fill(0);
  for (const index of ring) counts[index]!++;
  return counts;
}

/** The ring of reals that are expected to fill one. */
export function fullRing(reals: readonly RingReal[], seed: string): Uint16Array {
  const ring = buildRing(reals, seed);
  if (ring === null) throw new Error('no real has a weight');
  return ring;
}

/**
 * Removes one real at a time, each from the whole list again.
 * @returns the largest share of what all others have that changes hands
 */
export function worstMove(reals: readonly RingReal[], removals: Iterable<number>, seed: string): number {
  const before = fullRing(reals, seed);
  let worst = 0;
  for (const removed of removals) {
    const after = fullRing(reals.toSpliced(removed, 1), seed);
    let others = 0;
    let moved = 0;
    for (let slot = 0; slot < before.length; slot++) {
      const owner = before[slot]!;
      if (owner === removed) continue;
      others++;
      if (after[slot]! !== (owner > removed ? owner - 1 : owner)) moved++;
    }
    worst = Math.max(worst, moved / others);
  }
  return worst;
}
