import type { Logger } from 'pino';
import { backoffMs } from '../core/backoff.ts';
import type { DataPlane, MapOp, Observed } from '../core/data-plane.ts';
import { messageOf } from '../core/errors.ts';
import type { Lingering } from '../core/linger.ts';
import { lingeringWithin, nextLingerEnd, nextLingering } from '../core/linger.ts';
import type { Snapshot } from '../core/model.ts';
import { applied } from '../core/observed.ts';
import { plan } from '../core/plan.ts';
import type { HostImage, Target } from '../core/target.ts';
import { buildTarget } from '../core/target.ts';
import type { Verdicts } from '../core/verdicts.ts';

/** Changes that arrive within this time are one plan. */
const COALESCE_MS = 2;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;
/** How often the maps are read back, to repair what somebody else changed. */
const AUDIT_MS = 30_000;

export interface ReconcilerStatus {
  /** Of the snapshot in force; null before the first. */
  readonly snapshot: Snapshot | null;
  readonly target: Target | null;
  readonly observed: Observed | null;
  /** Reconciles that changed something. */
  readonly applied: number;
  readonly failures: number;
  readonly lastError: string | null;
}

export interface ReconcilerOptions {
  readonly dataPlane: DataPlane;
  readonly log: Logger;
  /** Called after every reconcile that succeeded, also one that changed nothing. */
  readonly onReconciled?: (status: ReconcilerStatus, ops: readonly MapOp[]) => void;
}

/**
 * The loop: keeps the newest inputs, and whenever one changes plans from what is in the maps to what shall be. Level
 * triggered: no input says what to do, so a lost or doubled one does no harm.
 */
export class Reconciler {
  readonly #dataPlane: DataPlane;
  readonly #log: Logger;
  readonly #onReconciled: ReconcilerOptions['onReconciled'];
  #snapshot: Snapshot | null = null;
  /** The snapshot whose removed reals are in `#lingering` already. */
  #lingered: Snapshot | null = null;
  #verdicts: Verdicts = new Map();
  #host: HostImage | null = null;
  #lingering: Lingering = new Map();
  #observed: Observed | null = null;
  #status: ReconcilerStatus = {
    snapshot: null,
    target: null,
    observed: null,
    applied: 0,
    failures: 0,
    lastError: null,
  };
  #dirty = false;
  #running: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #lingerTimer: NodeJS.Timeout | undefined;
  readonly #auditTimer: NodeJS.Timeout;
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#dataPlane = options.dataPlane;
    this.#log = options.log;
    this.#onReconciled = options.onReconciled;
    this.#auditTimer = setInterval(() => this.#audit(), AUDIT_MS);
    this.#auditTimer.unref();
  }

  get status(): ReconcilerStatus {
    return this.#status;
  }

  setSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#markDirty();
  }

  /** To be called whenever they change, also when it is the same object that says something else now. */
  setVerdicts(verdicts: Verdicts): void {
    this.#verdicts = verdicts;
    this.#markDirty();
  }

  setHost(host: HostImage): void {
    this.#host = host;
    this.#markDirty();
  }

  /** Resolves when nothing runs any more. The maps stay as they are. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lingerTimer);
    clearInterval(this.#auditTimer);
    await this.#running;
  }

  #markDirty(): void {
    this.#dirty = true;
    this.#schedule(COALESCE_MS);
  }

  #schedule(delay: number): void {
    if (this.#closed || this.#running !== null || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#run().finally(() => {
        this.#running = null;
        if (this.#dirty) this.#schedule(this.#retryDelay());
      });
    }, delay);
  }

  #retryDelay(): number {
    const { failures } = this.#status;
    return failures === 0 ? COALESCE_MS : backoffMs(failures - 1, RETRY_FIRST_MS, RETRY_MAX_MS, Math.random());
  }

  async #run(): Promise<void> {
    this.#dirty = false;
    const snapshot = this.#snapshot;
    const host = this.#host;
    // Nothing is touched before the first complete state is known.
    if (snapshot === null || host === null) return;
    this.#updateLingering(snapshot);
    try {
      this.#observed ??= this.#dataPlane.observe();
      this.#lingering = lingeringWithin(this.#lingering, snapshot, this.#observed.limits);
      const target = buildTarget(snapshot, host, this.#verdicts, this.#lingering);
      const ops = plan(target, this.#observed);
      for (const op of ops) await this.#dataPlane.apply(op);
      this.#observed = applied(this.#observed, ops);
      this.#succeeded(snapshot, target, ops);
    } catch (error) {
      this.#failed(error);
    }
  }

  #updateLingering(snapshot: Snapshot): void {
    // Not the time of day, which may be set while flows drain.
    const now = performance.now();
    this.#lingering = nextLingering(this.#lingering, this.#lingered, snapshot, now);
    this.#lingered = snapshot;
    clearTimeout(this.#lingerTimer);
    const end = nextLingerEnd(this.#lingering);
    if (end === null || this.#closed) return;
    // A timer takes 31 bits of milliseconds; a longer wait is looked at again when it ends.
    this.#lingerTimer = setTimeout(() => this.#markDirty(), Math.min(end - now, 2 ** 31 - 1));
    this.#lingerTimer.unref();
  }

  #succeeded(snapshot: Snapshot, target: Target, ops: readonly MapOp[]): void {
    const { applied, failures } = this.#status;
    if (failures > 0) this.#log.info({ failures }, 'maps can be written again');
    this.#status = {
      snapshot,
      target,
      observed: this.#observed,
      applied: ops.length > 0 ? applied + 1 : applied,
      failures: 0,
      lastError: null,
    };
    this.#onReconciled?.(this.#status, ops);
  }

  #failed(error: unknown): void {
    // Some operations may be done: the maps are read anew before the next plan.
    this.#observed = null;
    this.#dirty = true;
    const lastError = messageOf(error);
    this.#status = { ...this.#status, failures: this.#status.failures + 1, lastError };
    this.#log.error({ err: error, failures: this.#status.failures }, 'maps could not be brought to the desired state');
  }

  #audit(): void {
    const { target } = this.#status;
    if (this.#running !== null || this.#observed === null || target === null || this.#dirty) return;
    try {
      this.#observed = this.#dataPlane.observe();
      const drift = plan(target, this.#observed);
      if (drift.length === 0) return;
      this.#log.warn({ ops: drift.map((op) => op.op) }, 'maps were changed by somebody else; repairing them');
    } catch (error) {
      this.#failed(error);
    }
    this.#markDirty();
  }
}
