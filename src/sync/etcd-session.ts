import type { EtcdClient, WatchResponse, WatchStream } from './etcd-client.ts';
import { prefixEnd } from './etcd-client.ts';
import { StoreError, storeError } from './etcd-errors.ts';
import type { Change, KeyFold } from './etcd-fold.ts';
import { listPrefix } from './etcd-list.ts';

/** All in milliseconds. */
export interface SessionTimes {
  /** Between two probes: a progress request on the watch and a linearizable read. */
  readonly probeMs: number;
  /** A watch that says nothing for this long, although it was asked, is dead. */
  readonly silenceMs: number;
  /** A watch that stays this long behind what a read has shown is stuck. */
  readonly lagMs: number;
  /** The state is listed anew after this, because a member can drop an event around a compaction (etcd issue 18089). */
  readonly relistMs: number;
}

export const sessionTimes: SessionTimes = { probeMs: 2_000, silenceMs: 5_000, lagMs: 5_000, relistMs: 300_000 };

/**
 * One life with one client: list everything at a revision, then follow the changes after it. Every doubt (a cancel, an
 * error, silence, lag) ends it; the next session lists again, so nothing can be missed for longer than that.
 */
export class EtcdSession {
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #fold: KeyFold;
  readonly #times: SessionTimes;
  readonly #onCurrent: () => void;
  readonly #end = Promise.withResolvers<void>();
  /** Parts of one revision whose last part is still to come. */
  readonly #fragments: Change[] = [];
  #stream: WatchStream | undefined;
  #silence: NodeJS.Timeout | undefined;
  /** The revision up to which the watch has told everything. */
  #watched = 0;
  #behind: { readonly revision: number; readonly since: number } | null = null;
  #created = false;

  /** @param prefix with `desired/` at its end @param onCurrent called once, when changes are being followed */
  constructor(client: EtcdClient, prefix: string, fold: KeyFold, times: SessionTimes, onCurrent: () => void) {
    this.#client = client;
    this.#prefix = prefix;
    this.#fold = fold;
    this.#times = times;
    this.#onCurrent = onCurrent;
  }

  /** Resolves when the state is due to be listed anew; throws StoreError when the session failed. Closes the client. */
  async run(): Promise<void> {
    let probes: NodeJS.Timeout | undefined;
    let relist: NodeJS.Timeout | undefined;
    try {
      const { keys, point } = await listPrefix(this.#client, this.#prefix);
      this.#fold.replace(new Map(keys.entries().map(([key, value]) => [this.#relative(key), value])), point);
      this.#watched = point.revision;
      await this.#watchFrom(point.revision + 1);
      probes = setInterval(() => this.#probe(), this.#times.probeMs);
      relist = setTimeout(() => this.#end.resolve(), this.#times.relistMs);
      await this.#end.promise;
    } finally {
      clearInterval(probes);
      clearTimeout(relist);
      clearTimeout(this.#silence);
      this.#stream = undefined;
      this.#client.close();
    }
  }

  async #watchFrom(revision: number): Promise<void> {
    const stream = await this.#client.watch();
    this.#stream = stream;
    this.#silence = setTimeout(() => this.#fail('timeout', this.#silenceReason()), this.#times.silenceMs);
    stream.on('data', (response) => this.#take(response));
    stream.on('error', (error) => this.#end.reject(storeError(error, this.#client.endpoint)));
    stream.on('end', () => this.#fail('unreachable', 'the watch ended'));
    stream.write({
      create_request: {
        key: Buffer.from(this.#prefix),
        range_end: prefixEnd(this.#prefix),
        start_revision: revision,
        progress_notify: true,
        fragment: true,
      },
    });
  }

  #silenceReason(): string {
    return `the watch ${this.#created ? 'was silent' : 'was not confirmed'} for ${this.#times.silenceMs} ms`;
  }

  #take(response: WatchResponse): void {
    if (this.#stream === undefined) {
      return;
    }
    this.#silence?.refresh();
    if (response.canceled) {
      const compacted = Number(response.compact_revision) > 0;
      this.#end.reject(
        storeError(
          new Error(
            compacted ? 'required revision has been compacted' : response.cancel_reason || 'the watch was cancelled',
          ),
          this.#client.endpoint,
        ),
      );
      return;
    }
    if (response.created) {
      this.#created = true;
      this.#onCurrent();
      return;
    }
    const last = response.events.at(-1);
    if (last === undefined) {
      this.#watched = Math.max(this.#watched, Number(response.header.revision));
      return;
    }
    for (const { type, kv } of response.events) {
      const value = `${type}` === 'Delete' ? null : kv.value.toString();
      this.#fragments.push({ key: this.#relative(kv.key.toString()), value });
    }
    if (!response.fragment) {
      this.#watched = Number(last.kv.mod_revision);
      this.#fold.apply(this.#fragments.splice(0), this.#watched);
    }
  }

  async #probe(): Promise<void> {
    this.#stream?.write({ progress_request: {} });
    try {
      // One key only: what matters is that the cluster agrees on an answer, and the revision that it carries.
      const { header } = await this.#client.range({ key: Buffer.from(this.#prefix), limit: 1, keys_only: true });
      this.#fold.seen(Number(header.revision));
      this.#checkLag(Number(header.revision));
    } catch (error) {
      this.#end.reject(storeError(error, this.#client.endpoint));
    }
  }

  #checkLag(revision: number): void {
    if (this.#behind === null || this.#watched >= this.#behind.revision) {
      this.#behind = revision > this.#watched ? { revision, since: performance.now() } : null;
    } else if (performance.now() - this.#behind.since > this.#times.lagMs) {
      this.#fail('other', `the watch stays behind the store (${this.#watched} of ${revision})`);
    }
  }

  #fail(kind: StoreError['kind'], reason: string): void {
    this.#end.reject(new StoreError(kind, this.#client.endpoint, reason));
  }

  #relative(key: string): string {
    return key.slice(this.#prefix.length - 'desired/'.length);
  }
}
