import { PilotfishError } from '../core/errors.ts';
import type { EtcdOptions } from './etcd-client.ts';
import { EtcdClient, prefixOf } from './etcd-client.ts';
import type { StoreFailure } from './etcd-errors.ts';
import { storeError } from './etcd-errors.ts';

/** Failures that are the answer of a store that works; another connection would only give it again. */
const answers = new Set<StoreFailure>(['lease-lost', 'conflict', 'forbidden', 'compacted', 'too-large']);

export const isAnswer = (error: unknown): boolean =>
  error instanceof PilotfishError && 'kind' in error && answers.has(error.kind as StoreFailure);

/** For single requests: one client at a time, made when first needed and after a failure anew, at the next endpoint. */
export class EtcdClients {
  readonly #options: EtcdOptions;
  readonly #closing = new AbortController();
  /** Counts endpoints that failed, so that one that swallows everything costs the time of one request and no more. */
  #next = 0;
  #serving: EtcdClient | null = null;
  #connecting: Promise<EtcdClient> | null = null;

  constructor(options: EtcdOptions) {
    this.#options = options;
  }

  /**
   * Runs `request` once, with a client whose endpoint has answered before. It is never repeated, since a write that
   * failed may still have happened.
   *
   * @throws StoreError (PF_STORE)
   */
  async use<T>(request: (client: EtcdClient) => Promise<T>): Promise<T> {
    const client = this.#serving ?? (await this.#connect());
    try {
      return await request(client);
    } catch (error) {
      if (!isAnswer(error)) {
        if (this.#serving === client) {
          this.#serving = null;
          this.#next++;
        }
        client.close();
      }
      throw error;
    }
  }

  /** Gives up what is running and releases the connection. Idempotent. */
  close(): void {
    this.#closing.abort();
  }

  /** Requests that come while a connection is being made share it. */
  async #connect(): Promise<EtcdClient> {
    this.#connecting ??= this.#firstServing();
    try {
      this.#serving = await this.#connecting;
      return this.#serving;
    } finally {
      this.#connecting = null;
    }
  }

  async #firstServing(): Promise<EtcdClient> {
    const { endpoints } = this.#options;
    const probe = Buffer.from(`${prefixOf(this.#options)}desired/`);
    let failure = new PilotfishError('PF_CONFIG', 'etcd has no endpoints: endpoints is []', {
      fix: 'List at least one, for example 127.0.0.1:2379.',
    });
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[this.#next % endpoints.length]!;
      let client: EtcdClient | undefined;
      try {
        client = await EtcdClient.connect(endpoint, this.#options, this.#closing.signal);
        await client.range({ key: probe, limit: 1, keys_only: true });
        return client;
      } catch (error) {
        const reason = storeError(error, endpoint);
        // An endpoint that refuses the probe serves; whether the request itself is allowed is for the request to see.
        if (client !== undefined && reason.kind === 'forbidden') {
          return client;
        }
        client?.close();
        failure = reason;
        this.#next++;
      }
    }
    throw failure;
  }
}
