import type { Address, Check, Observation } from './model.ts';

/** What the results of one check of one real have led to so far. At most one of the two counters is above zero. */
export interface CheckState {
  readonly observation: Observation;
  /** Consecutive successes up to the last result. */
  readonly successes: number;
  /** Consecutive failures up to the last result. */
  readonly failures: number;
}

/** A change of what one LB has concluded about a real. */
export interface HealthTransition {
  readonly pool: string;
  readonly address: Address;
  readonly from: Observation;
  readonly to: Observation;
  /** For people: the check and its result. */
  readonly reason: string;
  /** Wall-clock milliseconds. */
  readonly at: number;
}

/** What one LB has concluded about a real, and why. */
export interface RealObservation {
  readonly pool: string;
  readonly address: Address;
  readonly observation: Observation;
  /** Of the last transition; says that there was none yet otherwise. */
  readonly reason: string;
  /** When the observation began to hold, in wall-clock milliseconds. */
  readonly since: number;
}

/** The reason of a real that has had no transition yet. */
export const NOT_JUDGED = 'not yet judged';

/** A check without results that starts from an observation made earlier, or by other checks of the same real. */
export function heldState(observation: Observation): CheckState {
  return { observation, successes: 0, failures: 0 };
}

/**
 * Takes one result into account. A real that nobody knows yet is held to the same rule as a known one: only `rise`
 * consecutive successes make it up, only `fall` consecutive failures make it down, and until then it stays unknown
 * and takes no flows. So one lucky probe never sends clients to a broken real.
 */
export function nextState(state: CheckState, ok: boolean, { rise, fall }: Pick<Check, 'rise' | 'fall'>): CheckState {
  const successes = ok ? state.successes + 1 : 0;
  const failures = ok ? 0 : state.failures + 1;
  const turned = successes >= rise ? 'up' : failures >= fall ? 'down' : state.observation;
  return { observation: turned, successes, failures };
}

/** Up when every check is up, down when any is down, else unknown; unknown also without checks. */
export function combine(observations: readonly Observation[]): Observation {
  if (observations.includes('down')) return 'down';
  return observations.length > 0 && observations.every((observation) => observation === 'up') ? 'up' : 'unknown';
}

/** Is the outcome open: not yet known, or the last result spoke against it? */
export function inTransition({ observation, successes, failures }: CheckState): boolean {
  return observation === 'unknown' || (observation === 'up' ? failures > 0 : successes > 0);
}

/** Steady intervals are stretched by less than this share. */
export const MAX_JITTER = 0.1;

/**
 * Milliseconds from the start of one run of a check to the start of the next.
 *
 * Only steady intervals are stretched by `jitter` (0 to `MAX_JITTER`). As long as neither the timeout nor the fast
 * interval is longer than the interval, a real that stops answering is therefore down no later than
 * `fall x interval + timeout + MAX_JITTER x interval` after its last success began, however it fails.
 */
export function nextDelay(
  state: CheckState,
  check: Pick<Check, 'intervalMs' | 'fastIntervalMs' | 'downIntervalMs'>,
  jitter: number,
): number {
  if (inTransition(state)) return check.fastIntervalMs;
  return (state.observation === 'down' ? check.downIntervalMs : check.intervalMs) * (1 + jitter);
}
