import { setTimeout as sleep } from 'node:timers/promises';
import CircuitBreaker from 'opossum';
import type { Logger } from 'pino';
import { messageOf, PilotfishError } from '../core/errors.ts';
import type { EtcdClient, EtcdOptions, RangeResponse, StorePoint, TxnRequest, TxnResponse } from './etcd-client.ts';
import { pointOf, prefixOf } from './etcd-client.ts';
import { EtcdClients, isAnswer } from './etcd-clients.ts';
import { StoreError } from './etcd-errors.ts';
import { chunks, operations } from './etcd-txn.ts';

const RENEW_RETRY_MS = 500;
/** While the breaker is open, nobody asks a store that just failed again and again. */
const BREAKER = { timeout: false, volumeThreshold: 5, errorThresholdPercentage: 50, resetTimeout: 1_000 } as const;

type Request<T> = (client: EtcdClient) => Promise<T>;
type Ask = <T>(request: Request<T>) => Promise<T>;

/** Grants leases of etcd and keeps them alive; every request goes through one circuit breaker. */
export class EtcdLeasedKeys {
  readonly #clients: EtcdClients;
  readonly #prefix: string;
  readonly #log: Logger;
  readonly #breaker: CircuitBreaker<[Request<unknown>], unknown>;
  #failure: unknown;

  constructor(options: EtcdOptions & { readonly log: Logger }) {
    this.#clients = new EtcdClients(options);
    this.#prefix = prefixOf(options);
    this.#log = options.log;
    this.#breaker = new CircuitBreaker((request) => this.#clients.use(request), {
      ...BREAKER,
      errorFilter: isAnswer,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    });
    this.#breaker.on('failure', (error) => {
      this.#failure = error;
    });
  }

  /** @throws StoreError (PF_STORE) */
  async grant(ttlSeconds: number): Promise<EtcdLease> {
    const asked = performance.now();
    const { id, point } = await this.#ask((client) => client.grantLease(ttlSeconds));
    this.#log.debug({ lease: BigInt(id).toString(16), ttlSeconds }, 'lease granted');
    return new EtcdLease({ id, point, ttlSeconds, asked, prefix: this.#prefix, ask: this.#ask });
  }

  close(): void {
    this.#breaker.shutdown();
    this.#clients.close();
  }

  readonly #ask: Ask = async <T>(request: Request<T>): Promise<T> => {
    try {
      return (await this.#breaker.fire(request)) as T;
    } catch (error) {
      // An open breaker has only words about itself; what helps is why it opened.
      throw CircuitBreaker.isOurError(error as Error) && this.#failure !== undefined ? this.#failure : error;
    }
  };
}

interface LeaseParts {
  readonly id: string;
  readonly point: StorePoint;
  readonly ttlSeconds: number;
  /** `performance.now()` of when the grant was asked for: the lease cannot have begun earlier. */
  readonly asked: number;
  readonly prefix: string;
  readonly ask: Ask;
}

/** One lease of etcd, renewed three times in its TTL. */
export class EtcdLease {
  readonly lost: Promise<string>;
  readonly #parts: LeaseParts;
  readonly #lost = Promise.withResolvers<string>();
  readonly #ended = new AbortController();
  #highest: StorePoint;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#highest = parts.point;
    this.lost = this.#lost.promise;
    void this.#keepAlive();
  }

  async claim(key: string, value: string, isMine: (value: string) => boolean): Promise<string | null> {
    const full = this.#key(key);
    const put = operations([{ key: full, value }], this.#parts.id);
    for (;;) {
      const created = await this.#txn({
        compare: [{ key: full, target: 'Create', result: 'Equal', create_revision: 0 }],
        success: put,
        failure: [{ request_range: { key: full } }],
      });
      if (created.succeeded) {
        return null;
      }
      const found: RangeResponse | undefined = created.responses[0]?.response_range;
      const holder = found?.kvs[0];
      if (holder === undefined) {
        continue;
      }
      const held = holder.value.toString();
      if (!isMine(held)) {
        return held;
      }
      const taken = await this.#txn({
        compare: [{ key: full, target: 'Mod', result: 'Equal', mod_revision: holder.mod_revision }],
        success: put,
      });
      if (taken.succeeded) {
        return null;
      }
    }
  }

  async write(claimed: string, changes: ReadonlyMap<string, string | null>): Promise<void> {
    const held = this.#key(claimed);
    const steps = [...changes].map(([key, value]) => ({ key: this.#key(key), value }));
    for (const chunk of chunks(steps)) {
      const answer = await this.#txn({
        compare: [{ key: held, target: 'Lease', result: 'Equal', lease: this.#parts.id }],
        success: operations(chunk, this.#parts.id),
      });
      if (!answer.succeeded) {
        const reason = `${claimed} was deleted or taken over by somebody else`;
        this.#lose(reason);
        throw new PilotfishError('PF_STORE', reason);
      }
    }
  }

  async release(): Promise<void> {
    this.abandon();
    await this.#parts.ask((client) => client.revokeLease(this.#parts.id));
  }

  abandon(): void {
    this.#ended.abort();
  }

  async #keepAlive(): Promise<void> {
    const { id, ttlSeconds, asked, ask } = this.#parts;
    const { signal } = this.#ended;
    let renewed = asked;
    let wait = (ttlSeconds * 1000) / 3;
    while (!signal.aborted) {
      await sleep(wait, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) {
        return;
      }
      const started = performance.now();
      const before = this.#highest;
      try {
        this.#follow(before, await ask((client) => client.renewLease(id)));
        renewed = started;
        wait = (ttlSeconds * 1000) / 3;
      } catch (error) {
        this.#judge(error);
        if (performance.now() - renewed > ttlSeconds * 1000) {
          this.#lose(`it could not be renewed for ${ttlSeconds} s: ${messageOf(error)}`);
        }
        wait = RENEW_RETRY_MS;
      }
    }
  }

  async #txn(request: TxnRequest): Promise<TxnResponse> {
    const before = this.#highest;
    try {
      const answer = await this.#parts.ask((client) => client.txn(request));
      this.#follow(before, pointOf(answer.header));
      return answer;
    } catch (error) {
      this.#judge(error);
      throw error;
    }
  }

  /**
   * A restored store may know the lease, and yet hold older values than were written. Answers to requests that ran at
   * the same time come in any order, so an answer is held against what was known when it was asked for.
   */
  #follow(before: StorePoint, point: StorePoint): void {
    if (point.clusterId !== before.clusterId || point.revision < before.revision) {
      this.#lose('the store was restored or rebuilt');
    }
    if (point.clusterId !== this.#highest.clusterId || point.revision > this.#highest.revision) {
      this.#highest = point;
    }
  }

  #judge(error: unknown): void {
    if (error instanceof StoreError && error.kind === 'lease-lost') {
      this.#lose(error.reason);
    }
  }

  #lose(reason: string): void {
    this.abandon();
    this.#lost.resolve(reason);
  }

  #key(relative: string): Buffer {
    return Buffer.from(this.#parts.prefix + relative);
  }
}
