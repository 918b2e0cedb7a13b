import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { CheckTarget } from '../core/check-targets.ts';
import type { HealthTransition, RealObservation } from '../core/health-state.ts';
import { NOT_JUDGED } from '../core/health-state.ts';
import type { RealKey } from '../core/model.ts';
import { realKey } from '../core/model.ts';
import type { Verdicts } from '../core/verdicts.ts';
import type { ThreadMessage, TransitionMessage, UpdateMessage, WorkerSettings } from './protocol.ts';
import { DEFAULT_MAX_RUNNING } from './scheduler.ts';
import type { ChecksReport } from './tally.ts';

/** The sources and the compiled code differ in the extension alone. */
const WORKER_URL = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);

const RESTART_FIRST_MS = 100;
const RESTART_MAX_MS = 5_000;
/** A checking thread that lived this long was sound: its end is no part of an earlier series. */
const SOUND_MS = 60_000;

/** The worst lateness is that of as many reports, one a second. */
const LATENESS_REPORTS = 60;
const WARN_EVERY_MS = 10_000;

/** How the checks themselves fare, since the agent started unless said otherwise. */
export interface CheckStats {
  /** Checks that ended. */
  readonly runs: number;
  /** The longest that a check began after its time, or has waited since, during the last minute, in milliseconds. */
  readonly maxLatenessMs: number;
  /** Checks that this host could not carry out: no descriptor, port or memory was left. They change nothing. */
  readonly inconclusive: number;
  /** Real, check and reason of the last of those, and when it was reported by the steady clock. */
  readonly lastInconclusive: { readonly what: string; readonly at: number } | null;
}

export interface HealthOptions {
  /** Name of this LB. */
  readonly lb: string;
  readonly log: Logger;
  /** Called after `observations()` has the new value. */
  readonly onTransition: (transition: HealthTransition) => void;
  /** What an earlier run of the agent concluded; holds until checked anew. */
  readonly initial?: readonly RealObservation[];
  /** Checks that run at once, at least 1. */
  readonly maxRunning?: number;
}

/**
 * Health checks in a thread of their own, so that building rings never delays a check and a check never waits for a
 * map operation. When that thread ends unexpectedly, another one takes its place with the same targets, and until it
 * has results of its own the last observations hold.
 */
export class Health {
  /** One LB alone: its own observations are the verdicts. As live as they are: thousands of reals may turn together. */
  readonly verdicts: Verdicts = { get: (key) => this.#observations.get(key)?.observation };
  readonly #log: Logger;
  readonly #lb: string;
  readonly #maxRunning: number;
  readonly #onTransition: (transition: HealthTransition) => void;
  #observations: Map<RealKey, RealObservation>;
  /** The update that each real came with. */
  #addedIn: ReadonlyMap<RealKey, number> = new Map();
  #update: UpdateMessage = { sequence: 0, targets: [] };
  #worker: Worker | null = null;
  #runs = 0;
  #inconclusive = 0;
  #lastInconclusive: CheckStats['lastInconclusive'] = null;
  /** Latest last. */
  readonly #lateness: number[] = [];
  #warnedAt = Number.NEGATIVE_INFINITY;
  #restarts = 0;
  #restartDelayMs = RESTART_FIRST_MS;
  #restartTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: HealthOptions) {
    this.#log = options.log;
    this.#lb = options.lb;
    this.#maxRunning = options.maxRunning ?? DEFAULT_MAX_RUNNING;
    this.#onTransition = options.onTransition;
    this.#observations = new Map(options.initial?.map((entry) => [realKey(entry.pool, entry.address), entry]));
    this.#start();
  }

  /** How often the checking thread had to be replaced. */
  get restarts(): number {
    return this.#restarts;
  }

  get stats(): CheckStats {
    return {
      runs: this.#runs,
      maxLatenessMs: Math.max(0, ...this.#lateness),
      inconclusive: this.#inconclusive,
      lastInconclusive: this.#lastInconclusive,
    };
  }

  /** From now on exactly these targets are checked; see Scheduler.update for what happens to those that stay. */
  update(targets: readonly CheckTarget[]): void {
    const sequence = this.#update.sequence + 1;
    const since = Date.now();
    const observations = new Map<RealKey, RealObservation>();
    const addedIn = new Map<RealKey, number>();
    for (const { pool, address } of targets) {
      const key = realKey(pool, address);
      const held = this.#observations.get(key);
      observations.set(key, held ?? { pool, address, observation: 'unknown', reason: NOT_JUDGED, since });
      addedIn.set(key, this.#addedIn.get(key) ?? sequence);
    }
    this.#observations = observations;
    this.#addedIn = addedIn;
    this.#update = { sequence, targets };
    this.#worker?.postMessage(this.#update);
  }

  /** Of every target, or `initial` before the first update. Live: transitions change the map, an update replaces it. */
  observations(): ReadonlyMap<RealKey, RealObservation> {
    return this.#observations;
  }

  /** Resolves when the thread has ended; there is no transition after the call. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restartTimer);
    await this.#worker?.terminate();
  }

  #start(): void {
    const settings: WorkerSettings = {
      lb: this.#lb,
      maxRunning: this.#maxRunning,
      initial: [...this.#observations.values()],
    };
    const startedAt = performance.now();
    const worker = new Worker(WORKER_URL, { workerData: settings, name: 'health' });
    worker.on('message', (message: ThreadMessage) => {
      if ('report' in message) this.#add(message.report);
      else this.#take(message);
    });
    worker.on('error', (err) => this.#log.error({ err }, 'health check thread failed'));
    worker.on('exit', (exitCode) => {
      this.#worker = null;
      if (!this.#closed) this.#restart(exitCode, performance.now() - startedAt);
    });
    this.#worker = worker;
    // Before the first update there is nothing to check, and `initial` waits for it.
    if (this.#update.sequence > 0) worker.postMessage(this.#update);
  }

  #restart(exitCode: number, livedMs: number): void {
    if (livedMs >= SOUND_MS) this.#restartDelayMs = RESTART_FIRST_MS;
    const delayMs = this.#restartDelayMs;
    this.#restartDelayMs = Math.min(delayMs * 2, RESTART_MAX_MS);
    this.#log.error({ exitCode, delayMs }, 'health check thread ended, the last observations hold until it is back');
    this.#restartTimer = setTimeout(() => {
      this.#restarts += 1;
      this.#start();
    }, delayMs);
  }

  #take({ sequence, transition }: TransitionMessage): void {
    const { pool, address, to, reason, at } = transition;
    const key = realKey(pool, address);
    const addedIn = this.#addedIn.get(key);
    // The real was removed since, and perhaps added again: then it is a new one that nobody has seen answer.
    if (this.#closed || addedIn === undefined || sequence < addedIn) return;
    this.#observations.set(key, { pool, address, observation: to, reason, since: at });
    this.#onTransition(transition);
  }
  #add({ runs, maxLatenessMs, inconclusive, lastInconclusive }: ChecksReport): void {
    this.#runs += runs;
    this.#inconclusive += inconclusive;
    this.#lateness.push(maxLatenessMs);
    if (this.#lateness.length > LATENESS_REPORTS) this.#lateness.shift();
    if (lastInconclusive === null) return;
    this.#lastInconclusive = { what: lastInconclusive, at: performance.now() };
    if (performance.now() < this.#warnedAt + WARN_EVERY_MS) return;
    this.#warnedAt = performance.now();
    this.#log.warn(
      { inconclusive: this.#inconclusive, last: lastInconclusive },
      'this host cannot carry out checks, their reals stay what they are',
    );
  }
}
