import type { Logger } from 'pino';
import type { StateLimits } from '../core/admission.ts';
import type { Rejection, Revision, Snapshot } from '../core/model.ts';
import type { ParsedState } from '../core/parse-state.ts';
import { parseState } from '../core/parse-state.ts';
import type { KeySet, SourceListener, SourceStatus } from './source.ts';

export interface SnapshotStoreOptions {
  /** What an empty prefix means after there was a state: a wiped store (`keep`) or the wish to serve nothing. */
  readonly onEmpty: 'keep' | 'clear';
  readonly limits: StateLimits;
  readonly log: Logger;
  readonly onSnapshot: (snapshot: Snapshot) => void;
}

/** Turns what a source delivers into snapshots, and holds the last one. */
export class SnapshotStore implements SourceListener {
  readonly #options: SnapshotStoreOptions;
  #parsed: ParsedState | null = null;
  #status: SourceStatus = { state: 'connecting' };
  #keptEmpty = false;

  constructor(options: SnapshotStoreOptions) {
    this.#options = options;
  }

  /** Null before the first complete state. */
  get snapshot(): Snapshot | null {
    return this.#parsed?.snapshot ?? null;
  }

  get sourceStatus(): SourceStatus {
    return this.#status;
  }

  /** True while an empty store is taken for a wiped one and the last state stays. */
  get keptEmpty(): boolean {
    return this.#keptEmpty;
  }

  keys(keys: KeySet, revision: Revision): void {
    const { limits, log, onEmpty, onSnapshot } = this.#options;
    const before = this.#parsed;
    this.#keptEmpty = keys.size === 0 && before !== null && before.snapshot.vips.size > 0 && onEmpty === 'keep';
    if (this.#keptEmpty) {
      log.error(
        { revision },
        'the store has no keys any more; the last state stays (set onEmpty: clear if an empty store is to mean: serve nothing)',
      );
      return;
    }
    this.#parsed = parseState(keys, revision, before, limits);
    this.#logRejections(before?.snapshot.rejected ?? [], this.#parsed.snapshot.rejected);
    onSnapshot(this.#parsed.snapshot);
  }

  status(status: SourceStatus): void {
    this.#status = status;
  }

  #logRejections(before: readonly Rejection[], after: readonly Rejection[]): void {
    const text = (r: Rejection): string => `${r.path} ${r.value} ${r.message}`;
    const known = new Set(before.map(text));
    for (const rejection of after)
      if (!known.has(text(rejection))) this.#options.log.warn({ ...rejection }, 'a key is rejected');
    const left = new Set(after.map((r) => r.path));
    for (const { path } of before) if (!left.has(path)) this.#options.log.info({ path }, 'a key is no longer rejected');
  }
}
