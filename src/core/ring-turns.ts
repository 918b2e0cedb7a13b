import { RING_SLOTS } from './data-plane.ts';

/**
 * Puts values that are nearly in order into order, and `companions` with them; equal ones stay as they are. Short
 * moves make this cheaper than a general sort.
 */
function settle(values: Float64Array, companions: Uint16Array): void {
  for (let from = 1; from < values.length; from++) {
    const value = values[from]!;
    const companion = companions[from]!;
    let to = from;
    for (; to > 0 && values[to - 1]! > value; to--) {
      values[to] = values[to - 1]!;
      companions[to] = companions[to - 1]!;
    }
    values[to] = value;
    companions[to] = companion;
  }
}

/**
 * Whose turn comes when: member i takes its k-th slot (k = 0, 1, ...) at time k / weight i, at equal times in the
 * order of the list. So whether one turn is before another does not depend on any third member, and little moves when
 * one comes or goes. Sorted by counting into as many buckets as there are slots, then settled.
 * @param quotas sums to 65,537, and none is more than one above the member's exact share
 * @returns by turn the index of its member
 */
export function turnOrder(weights: readonly number[], quotas: Float64Array): Uint16Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const starts = new Uint32Array(RING_SLOTS + 2);
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    const quota = quotas[i]!;
    for (let k = 0; k < quota; k++) starts[(((k / weight) * total) | 0) + 1]!++;
  }
  for (let bucket = 1; bucket < starts.length; bucket++) starts[bucket]! += starts[bucket - 1]!;

  const times = new Float64Array(RING_SLOTS);
  const members = new Uint16Array(RING_SLOTS);
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    const quota = quotas[i]!;
    for (let k = 0; k < quota; k++) {
      const time = k / weight;
      const at = starts[(time * total) | 0]!++;
      times[at] = time;
      members[at] = i;
    }
  }
  settle(times, members);
  return members;
}
