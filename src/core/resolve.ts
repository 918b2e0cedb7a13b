import { Admission, type StateLimits } from './admission.ts';
import { type Candidate, type Item, poolsNeededBy, ranks } from './candidate.ts';
import type { Problem } from './mistake.ts';

export interface Resolution {
  /** What is in force for the key. */
  readonly item: Item | null;
  /** Why the key’s first choice is not. */
  readonly reason: Problem | null;
}

/** Which choice of each candidate stands, and why an earlier one does not. */
interface Standing {
  readonly candidate: Candidate;
  next: number;
  reason: Problem | null;
}

function choiceOf({ candidate, next }: Standing): Candidate['choices'][number] | undefined {
  return candidate.choices[next];
}

function poolsOf(standings: readonly Standing[]): Set<string> {
  const pools = new Set<string>();
  for (const standing of standings) {
    const item = choiceOf(standing)?.item;
    if (item?.kind === 'pool') pools.add(item.pool);
  }
  return pools;
}

/** One round of taking everything in the order of precedence. Returns whether some item lost its place. */
function round(standings: readonly Standing[], limits: StateLimits, written: ReadonlySet<string>): boolean {
  const pools = poolsOf(standings);
  const admission = new Admission(limits, pools, written.difference(pools));
  const lostPools = new Set<string>();
  let lost = false;
  for (const rank of Object.values(ranks))
    for (const standing of standings) {
      const choice = choiceOf(standing);
      if (choice === undefined || choice.rank !== rank) continue;
      // Whether the pool has an earlier value to go back to shows in the next round.
      if (lostPools.size > 0 && poolsNeededBy(choice.item).some((pool) => lostPools.has(pool))) continue;
      const problem = admission.admit(choice.item);
      if (problem === null) continue;
      if (choice.item.kind === 'pool') lostPools.add(choice.item.pool);
      standing.reason ??= problem;
      standing.next++;
      lost = true;
    }
  return lost;
}

/**
 * Settles which keys come into force where they contradict one another. A key that loses goes back to its last good
 * value, which others may have counted on being gone; so rounds are run until nobody loses. Every round but the last
 * takes a choice away from some key, so there is a last one.
 *
 * @param candidates sorted by key
 * @param written every pool whose key is there, readable or not
 */
export function resolve(
  candidates: readonly Candidate[],
  written: ReadonlySet<string>,
  limits: StateLimits,
): Map<string, Resolution> {
  const standings = candidates.map((candidate): Standing => ({ candidate, next: 0, reason: null }));
  while (round(standings, limits, written));
  return new Map(
    standings.map((standing) => [
      standing.candidate.key,
      { item: choiceOf(standing)?.item ?? null, reason: standing.reason },
    ]),
  );
}
