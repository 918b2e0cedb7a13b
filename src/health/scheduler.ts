import { isDeepStrictEqual } from 'node:util';
import type { CheckTarget, ResolvedCheck } from '../core/check-targets.ts';
import type { CheckState, HealthTransition, RealObservation } from '../core/health-state.ts';
import { combine, heldState, inTransition, NOT_JUDGED, nextDelay, nextState } from '../core/health-state.ts';
import type { Address, RealKey } from '../core/model.ts';
import { realKey } from '../core/model.ts';
import type { Checker } from './checker.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { jitterOf } from './jitter.ts';
import type { Job } from './limiter.ts';
import { Limiter } from './limiter.ts';
import { nameOf, pairChecks } from './pair-checks.ts';
import type { ChecksReport } from './tally.ts';
import { Tally } from './tally.ts';

/** Checks that run at once unless the owner of the scheduler says otherwise; 512 where all are of one pool. */
export const DEFAULT_MAX_RUNNING = 1_024;

export interface SchedulerOptions {
  /** Name of this LB; its checks keep another rhythm than those of other LBs. */
  readonly lb: string;
  readonly runCheck: Checker<ResolvedCheck>;
  readonly onTransition: (transition: HealthTransition) => void;
  /** What an earlier run concluded; holds for the targets of the first update until they are checked anew. */
  readonly initial?: readonly RealObservation[];
  /** Checks that run at once, at least 1. */
  readonly maxRunning?: number;
  readonly clock?: Clock;
  /** 0 to below 1. */
  readonly random?: () => number;
}

interface RealEntry {
  observed: RealObservation;
  /** See jitterOf. */
  readonly jitter: number;
  checks: readonly CheckEntry[];
}

interface CheckEntry extends Job {
  readonly real: RealEntry;
  check: ResolvedCheck;
  state: CheckState;
  /** Steady clock; null before the first run. */
  startedAt: number | null;
  /** Steady clock: when the next run is to begin, or the last one was. */
  dueAt: number;
  /** False until its first steady interval. */
  spread: boolean;
  cancelTimer: (() => void) | null;
  /** Abandons the run under way; null while there is none. */
  abort: AbortController | null;
}

/**
 * Checks every real with every check at its intervals and tells when what they amount to changes. Level-triggered:
 * each update names all targets, and says nothing about what changed.
 */
export class Scheduler {
  readonly #lb: string;
  readonly #runCheck: Checker<ResolvedCheck>;
  readonly #onTransition: (transition: HealthTransition) => void;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #limiter: Limiter;
  #initial: ReadonlyMap<RealKey, RealObservation>;
  #reals: ReadonlyMap<RealKey, RealEntry> = new Map();
  readonly #tally = new Tally();

  constructor(options: SchedulerOptions) {
    this.#lb = options.lb;
    this.#runCheck = options.runCheck;
    this.#onTransition = options.onTransition;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#limiter = new Limiter(options.maxRunning ?? DEFAULT_MAX_RUNNING);
    this.#initial = new Map(options.initial?.map((entry) => [realKey(entry.pool, entry.address), entry]));
  }

  /**
   * From now on exactly these targets are checked. A new one is checked soon. One that is gone is forgotten, together
   * with the results of its checks under way. One that stays keeps what is known about it: a check that pairChecks finds
   * among those it had goes on with its new settings, soon anew if it was under way, any other starts from what the
   * real is now.
   */
  update(targets: readonly CheckTarget[]): void {
    const reals = new Map<RealKey, RealEntry>();
    for (const target of targets) {
      const key = realKey(target.pool, target.address);
      const real = this.#reals.get(key) ?? this.#newReal(key, target.pool, target.address);
      reals.set(key, real);
      this.#updateChecks(real, target.checks);
    }
    for (const [key, real] of this.#reals) if (!reals.has(key)) this.#updateChecks(real, []);
    this.#reals = reals;
    this.#initial = new Map();
    for (const real of reals.values()) this.#settle(real, 'the checks of the pool changed');
  }

  /** What is known about every target, in the order of the last update. */
  snapshot(): RealObservation[] {
    return Array.from(this.#reals.values(), (real) => real.observed);
  }

  /** How the checks fared since it was last called. */
  takeReport(): ChecksReport {
    // What has not begun yet is late as well.
    this.#tally.late(this.#clock.steadyMs() - this.#limiter.earliestDue());
    return this.#tally.take();
  }

  /** Ends all checks; there is no transition after it. */
  close(): void {
    this.update([]);
  }

  #newReal(key: RealKey, pool: string, address: Address): RealEntry {
    const observed: RealObservation = this.#initial.get(key) ?? {
      pool,
      address,
      observation: 'unknown',
      reason: NOT_JUDGED,
      since: this.#clock.wallMs(),
    };
    return { observed, jitter: jitterOf(this.#lb, key), checks: [] };
  }

  #updateChecks(real: RealEntry, checks: readonly ResolvedCheck[]): void {
    const kept = pairChecks(real.checks, checks);
    for (const entry of real.checks) if (!kept.includes(entry)) this.#end(entry);
    real.checks = checks.map((check, n) => {
      const entry = kept[n];
      if (entry === undefined) return this.#begin(real, check);
      this.#change(entry, check);
      return entry;
    });
  }

  #begin(real: RealEntry, check: ResolvedCheck): CheckEntry {
    const entry: CheckEntry = {
      pool: real.observed.pool,
      real,
      check,
      state: heldState(real.observed.observation),
      startedAt: null,
      dueAt: 0,
      spread: false,
      cancelTimer: null,
      abort: null,
      run: () => this.#run(entry),
    };
    this.#schedule(entry);
    return entry;
  }

  #change(entry: CheckEntry, check: ResolvedCheck): void {
    if (isDeepStrictEqual(entry.check, check)) return;
    entry.check = check;
    // What the run under way answers, it answers to the check as it was.
    if (this.#abandon(entry)) entry.startedAt = null;
    else if (entry.cancelTimer === null) return;
    this.#schedule(entry);
  }

  #abandon(entry: CheckEntry): boolean {
    const { abort } = entry;
    entry.abort = null;
    abort?.abort();
    return abort !== null;
  }

  #end(entry: CheckEntry): void {
    entry.cancelTimer?.();
    this.#limiter.remove(entry);
    this.#abandon(entry);
  }

  /**
   * Intervals run from start to start, so that slow failures do not delay the next check. The first run comes at a
   * random moment within the fast interval: soon, but not all reals of a large pool at once.
   */
  #schedule(entry: CheckEntry): void {
    entry.cancelTimer?.();
    const now = this.#clock.steadyMs();
    const dueAt =
      entry.startedAt === null
        ? now + this.#random() * entry.check.fastIntervalMs
        : entry.startedAt + this.#delay(entry);
    entry.dueAt = Math.max(now, dueAt);
    entry.cancelTimer = this.#clock.after(entry.dueAt - now, () => {
      entry.cancelTimer = null;
      this.#limiter.add(entry);
    });
  }

  /** Cuts the first steady interval at random, or the checks of reals that came together would run in bursts. */
  #delay(entry: CheckEntry): number {
    const delayMs = nextDelay(entry.state, entry.check, entry.real.jitter);
    if (entry.spread || inTransition(entry.state)) return delayMs;
    entry.spread = true;
    return delayMs * (1 - this.#random());
  }

  async #run(entry: CheckEntry): Promise<void> {
    entry.startedAt = this.#clock.steadyMs();
    this.#tally.late(entry.startedAt - entry.dueAt);
    const { check, real } = entry;
    const abort = new AbortController();
    entry.abort = abort;
    const result = await this.#runCheck(real.observed.address, check, abort.signal);
    if (abort.signal.aborted) return;
    entry.abort = null;
    this.#tally.ended();
    const reason = `${nameOf(check)}: ${result.ok ? 'passed' : result.reason}`;
    if (result.ok === null) this.#tally.couldNotAsk(`${real.observed.pool}/${real.observed.address} ${reason}`);
    else entry.state = nextState(entry.state, result.ok, check);
    this.#schedule(entry);
    this.#settle(real, reason);
  }

  /** Concludes from all checks of a real what it is now. */
  #settle(real: RealEntry, reason: string): void {
    const { pool, address, observation: from } = real.observed;
    const to = combine(real.checks.map((entry) => entry.state.observation));
    if (to === from) return;
    const at = this.#clock.wallMs();
    real.observed = { pool, address, observation: to, reason, since: at };
    this.#onTransition({ pool, address, from, to, reason, at });
  }
}
