import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { Logger } from 'pino';
import { backoffMs } from '../core/backoff.ts';
import { messageOf, PilotfishError } from '../core/errors.ts';
import type { Observation, RealKey, Rejection, Revision } from '../core/model.ts';
import { type Digests, noDigests } from '../core/state-digest.ts';
import { claimName } from './claim.ts';
import type { Lease, LeasedKeys } from './leased-keys.ts';
import { packObservations } from './observations.ts';
import { packRejections } from './rejections.ts';

const DEFAULT_TTL_SECONDS = 10;
/** The store may be this late in noticing that a lease has run out. */
const EXPIRY_SLACK_MS = 2_000;
/** A stop does not wait longer than this for a store that does not answer. */
const STOP_MS = 3_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2_000;
/** No JSON text, so that it differs from everything that is wanted. */
const UNKNOWN = '';
const UNCLAIMED = 'the name of this LB has not been claimed yet';

/** What an LB says about itself; instance, host, boot and start time are added. */
export interface LbInfo {
  /** Of Pilotfish. */
  readonly version: string;
  /** Of the desired state that its maps hold; null before the first. */
  readonly revision: Revision | null;
  /** Of what its maps hold. */
  readonly digests: Digests;
}

export type FleetStatus =
  | { readonly state: 'starting' }
  /** Everything that was set is in the store. */
  | { readonly state: 'published' }
  /** The store does not serve, or an earlier life of this LB still holds its name. */
  | { readonly state: 'waiting'; readonly reason: string }
  | { readonly state: 'refused'; readonly reason: string };

export interface FleetPublisherOptions {
  /** The name of this LB. */
  readonly lb: string;
  readonly keys: LeasedKeys;
  readonly log: Logger;
  /** Called with `PF_LB_NAME` when another live LB holds the name; publishing goes on trying until it is stopped. */
  readonly onConflict: (error: PilotfishError) => void;
  /** Called when `nameProblem` has become null. */
  readonly onNameSettled: () => void;
  /** Differs from boot to boot and from host to host, where a network namespace is one; default: the kernel’s. */
  readonly boot?: string;
  /** How long the keys outlive a process that died; default 10. */
  readonly ttlSeconds?: number;
}

/** Containers and namespaces of one kernel have the same boot id, and each may run an LB. */
function bootOfHost(): string {
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/net')}`;
}

/**
 * Keeps the keys of this LB under `fleet/<lb>/` as they were last set, under a lease. Level-triggered: the setters only
 * say what shall be there; one loop writes what differs from what it has written, and everything again under a new
 * lease. It never throws into the agent.
 */
export class FleetPublisher {
  readonly #options: FleetPublisherOptions;
  readonly #folder: string;
  readonly #ttlMs: number;
  readonly #identity: Readonly<Record<'instance' | 'host' | 'boot' | 'since', string>>;
  /** Keys relative to the LB’s folder, values as JSON text. */
  readonly #desired = new Map<string, string>();
  readonly #stopping = new AbortController();
  #wake = Promise.withResolvers<void>();
  #running: Promise<void> | null = null;
  #release = true;
  #status: FleetStatus = { state: 'starting' };
  #nameProblem: string | null = UNCLAIMED;

  constructor(options: FleetPublisherOptions) {
    this.#options = options;
    const boot = options.boot ?? bootOfHost();
    this.#identity = { instance: randomUUID(), host: hostname(), boot, since: new Date().toISOString() };
    this.#folder = `fleet/${options.lb}/`;
    this.#ttlMs = (options.ttlSeconds ?? DEFAULT_TTL_SECONDS) * 1_000;
    this.setInfo({ version: '', revision: null, digests: noDigests });
  }

  get status(): FleetStatus {
    return this.#status;
  }

  /**
   * Why this LB may be one too many of its name; null when it has its name, or nothing speaks against that: the store has
   * not served yet, or who has the name is of this boot of this host, and so an earlier life of this LB.
   */
  get nameProblem(): string | null {
    return this.#nameProblem;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  setInfo(info: LbInfo): void {
    this.#set('info', JSON.stringify({ ...info, ...this.#identity }));
  }

  /** All observations of this LB; a pool without any has no key. Written only where a value changed. */
  setObservations(observations: ReadonlyMap<RealKey, Observation>): void {
    const packed = packObservations(observations);
    for (const key of [...this.#desired.keys()]) {
      if (key.startsWith('observations/') && !packed.has(key.slice('observations/'.length))) {
        this.#set(key, null);
      }
    }
    for (const [pool, value] of packed) {
      this.#set(`observations/${pool}`, JSON.stringify(value));
    }
  }

  /** What this LB refuses of the desired state, as far as one value can hold it; there is no key when that is nothing. */
  setRejected(rejected: readonly Rejection[]): void {
    this.#set('rejected', packRejections(rejected));
  }

  /**
   * Resolves when nothing of the publisher is left. Idempotent.
   *
   * @param options.release true (default) removes the keys at once; false leaves them until the lease runs out
   */
  async stop(options: { readonly release?: boolean } = {}): Promise<void> {
    this.#release = options.release ?? true;
    this.#stopping.abort();
    this.#wake.resolve();
    const timer = setTimeout(() => this.#options.keys.close(), STOP_MS);
    await this.#running;
    clearTimeout(timer);
    this.#options.keys.close();
  }

  #set(key: string, value: string | null): void {
    if (value === null) {
      this.#desired.delete(key);
    } else {
      this.#desired.set(key, value);
    }
    this.#wake.resolve();
  }

  async #run(): Promise<void> {
    const { keys, log } = this.#options;
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; failures++) {
      let lease: Lease | null = null;
      try {
        lease = await keys.grant(this.#ttlMs / 1_000);
        const info = await this.#claim(lease);
        this.#setNameProblem(null);
        failures = 0;
        const reason = await this.#publish(lease, info);
        if (reason !== null) {
          this.#status = { state: 'waiting', reason };
          log.warn({ reason }, 'the lease of this LB was lost; its keys are published anew');
        }
      } catch (error) {
        this.#failed(error);
      }
      if (signal.aborted && this.#release) {
        await this.#releaseLease(lease);
      } else {
        lease?.abandon();
      }
      await this.#pause(backoffMs(failures, BACKOFF_FIRST_MS, BACKOFF_MAX_MS, Math.random()));
    }
  }

  #claim(lease: Lease): Promise<string> {
    const { log, lb } = this.#options;
    const waitMs = this.#ttlMs + EXPIRY_SLACK_MS;
    const claim = {
      lb,
      key: `${this.#folder}info`,
      value: () => this.#desired.get('info')!,
      instance: this.#identity.instance,
      waitMs,
      onTaken: (reason: string, holder: string) => {
        this.#setNameProblem(holder.includes(this.#identity.boot) ? null : reason);
        if (this.#status.state !== 'refused') {
          this.#status = { state: 'waiting', reason };
          log.warn({ reason, waitMs }, 'the name of this LB is taken; waiting for the lease of its holder to end');
        }
      },
    };
    return claimName(lease, claim, this.#stopping.signal);
  }

  /** Writes whatever differs until stopped (resolves with null) or until the lease is lost (with the reason). */
  async #publish(lease: Lease, info: string): Promise<string | null> {
    const written = new Map([['info', info]]);
    let lost: string | null = null;
    void lease.lost.then((reason) => {
      lost = reason;
      this.#wake.resolve();
    });
    let failures = 0;
    while (!this.#stopping.signal.aborted && lost === null) {
      this.#wake = Promise.withResolvers();
      const changes = difference(this.#desired, written);
      if (changes.size === 0) {
        this.#published();
        await this.#wake.promise;
        // What is set in one go becomes one transaction.
        await turn();
        continue;
      }
      try {
        const absolute = new Map(changes.entries().map(([key, value]) => [this.#folder + key, value]));
        await lease.write(`${this.#folder}info`, absolute);
        failures = 0;
        for (const [key, value] of changes) {
          if (value === null) {
            written.delete(key);
          } else {
            written.set(key, value);
          }
        }
      } catch (error) {
        // It may have been written all the same.
        for (const key of changes.keys()) written.set(key, UNKNOWN);
        if (lost === null) {
          this.#failed(error);
          await this.#pause(backoffMs(failures++, BACKOFF_FIRST_MS, BACKOFF_MAX_MS, Math.random()));
        }
      }
    }
    return lost;
  }

  async #releaseLease(lease: Lease | null): Promise<void> {
    try {
      await lease?.release();
    } catch (error) {
      const { log } = this.#options;
      log.debug({ reason: messageOf(error) }, 'the lease could not be released; it runs out by itself');
    }
  }

  #published(): void {
    if (this.#status.state !== 'published') {
      this.#status = { state: 'published' };
      this.#options.log.info('this LB is published');
    }
  }

  #failed(error: unknown): void {
    if (this.#stopping.signal.aborted) {
      return;
    }
    const { log, onConflict } = this.#options;
    const before = this.#status;
    const reason = messageOf(error);
    const conflict = error instanceof PilotfishError && error.code === 'PF_LB_NAME';
    this.#status = { state: conflict ? 'refused' : 'waiting', reason };
    if (conflict) this.#setNameProblem(reason);
    else if (this.#nameProblem === UNCLAIMED) this.#setNameProblem(null);
    if ('reason' in before && before.reason === reason && before.state === this.#status.state) {
      return;
    }
    log.warn({ reason }, conflict ? 'another live LB has this name' : 'this LB cannot be published now');
    if (conflict) {
      try {
        onConflict(error);
      } catch (thrown) {
        log.error({ err: thrown }, 'the handler of a name conflict failed');
      }
    }
  }

  #setNameProblem(problem: string | null): void {
    const settled = problem === null && this.#nameProblem !== null;
    this.#nameProblem = problem;
    if (!settled) return;
    try {
      this.#options.onNameSettled();
    } catch (thrown) {
      this.#options.log.error({ err: thrown }, 'the handler of a settled name failed');
    }
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }
}

/** What has to be written so that `written` becomes `desired`; null deletes. */
function difference(desired: ReadonlyMap<string, string>, written: ReadonlyMap<string, string>) {
  const changes = new Map<string, string | null>();
  for (const [key, value] of desired) {
    if (written.get(key) !== value) {
      changes.set(key, value);
    }
  }
  for (const key of written.keys()) {
    if (!desired.has(key)) {
      changes.set(key, null);
    }
  }
  return changes;
}
