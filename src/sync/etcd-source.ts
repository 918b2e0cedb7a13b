import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { backoffMs } from '../core/backoff.ts';
import { PilotfishError } from '../core/errors.ts';
import type { EtcdOptions } from './etcd-client.ts';
import { EtcdClient, prefixOf } from './etcd-client.ts';
import { storeError } from './etcd-errors.ts';
import { KeyFold } from './etcd-fold.ts';
import type { SessionTimes } from './etcd-session.ts';
import { EtcdSession, sessionTimes } from './etcd-session.ts';
import { tell } from './handover.ts';
import type { Source, SourceListener } from './source.ts';

const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 2_000;
/** A session that lived this long counts as a success; shorter ones keep the backoff growing. */
const STABLE_MS = 5_000;

/**
 * The desired state under `<prefix>desired/` of an etcd cluster. Runs one session after the other, each with a fresh
 * client and the next endpoint. An empty listing is handed on like any other: what to make of it is not decided here.
 */
export class EtcdSource implements Source {
  readonly #options: EtcdOptions;
  readonly #log: Logger;
  readonly #times: SessionTimes;
  readonly #closing = new AbortController();
  #running: Promise<void> | null = null;
  #lostSince: number | null = null;
  /** The endpoint that was last told to be current; a planned new session changes nothing for anybody. */
  #currentAt: string | null = null;
  /** What was last logged of each endpoint in the present outage. */
  readonly #logged = new Map<string, string>();

  /** Throws PilotfishError when no endpoint is given. */
  constructor(options: EtcdOptions & { readonly log: Logger }, times: Partial<SessionTimes> = {}) {
    if (options.endpoints.length === 0) {
      throw new PilotfishError('PF_CONFIG', 'etcd has no endpoints: endpoints is []', {
        fix: 'List at least one, for example 127.0.0.1:2379.',
      });
    }
    this.#options = options;
    this.#log = options.log;
    this.#times = { ...sessionTimes, ...times };
  }

  start(listener: SourceListener): void {
    this.#running ??= this.#run(listener);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(listener: SourceListener): Promise<void> {
    const fold = new KeyFold(listener, this.#log);
    const { endpoints } = this.#options;
    const { signal } = this.#closing;
    let failures = 0;
    let index = 0;
    tell(listener, { state: 'connecting' }, this.#log);
    while (!signal.aborted) {
      const endpoint = endpoints[index % endpoints.length]!;
      const startedAt = performance.now();
      try {
        await this.#session(endpoint, fold, listener);
        failures = 0;
      } catch (error) {
        if (signal.aborted) {
          break;
        }
        if (performance.now() - startedAt >= STABLE_MS && this.#lostSince === null) {
          failures = 0;
        }
        this.#lost(endpoint, error, listener);
        index += 1;
        const wait = backoffMs(failures++, BACKOFF_FIRST_MS, BACKOFF_MAX_MS, Math.random());
        await sleep(wait, undefined, { signal }).catch(() => undefined);
      }
    }
    fold.close();
  }

  async #session(endpoint: string, fold: KeyFold, listener: SourceListener): Promise<void> {
    const client = await EtcdClient.connect(endpoint, this.#options, this.#closing.signal);
    const prefix = `${prefixOf(this.#options)}desired/`;
    await new EtcdSession(client, prefix, fold, this.#times, () => this.#current(endpoint, listener)).run();
  }

  #current(endpoint: string, listener: SourceListener): void {
    if (this.#lostSince !== null) {
      this.#log.info({ source: 'etcd', endpoint }, 'the store answers again');
    }
    this.#lostSince = null;
    this.#logged.clear();
    if (this.#currentAt !== endpoint) {
      this.#currentAt = endpoint;
      tell(listener, { state: 'current', endpoint }, this.#log);
    }
  }

  #lost(endpoint: string, error: unknown, listener: SourceListener): void {
    const failure = storeError(error, endpoint);
    this.#lostSince ??= Date.now();
    this.#currentAt = null;
    if (this.#logged.get(endpoint) !== failure.reason) {
      this.#logged.set(endpoint, failure.reason);
      this.#log.warn(
        { source: 'etcd', endpoint, reason: failure.reason, fix: failure.fix },
        'the store does not serve; the last state stays in force',
      );
    }
    tell(listener, { state: 'lost', reason: failure.message, since: this.#lostSince }, this.#log);
  }
}
