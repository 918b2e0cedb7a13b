import type { Logger } from 'pino';
import type { Revision } from '../core/model.ts';
import type { KeySet, SourceListener, SourceStatus } from './source.ts';

const REDELIVER_MS = 1_000;

/**
 * Hands key sets to a listener, once for all that arrives in the same turn of the event loop. What the listener failed
 * to take stays pending and is handed on again.
 */
export class Handover {
  readonly #listener: SourceListener;
  readonly #log: Logger;
  #pending: { readonly read: () => KeySet; readonly revision: Revision } | null = null;
  #immediate: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(listener: SourceListener, log: Logger) {
    this.#listener = listener;
    this.#log = log;
  }

  /** @param read called when the set is handed on, so that it is not copied for every change */
  keys(read: () => KeySet, revision: Revision): void {
    this.#pending = { read, revision };
    clearTimeout(this.#retry);
    this.#immediate ??= setImmediate(() => this.#deliver());
  }

  close(): void {
    clearImmediate(this.#immediate);
    clearTimeout(this.#retry);
  }

  #deliver(): void {
    this.#immediate = undefined;
    if (this.#pending === null) return;
    const { read, revision } = this.#pending;
    try {
      this.#listener.keys(read(), revision);
      this.#pending = null;
    } catch (error) {
      this.#log.error({ err: error, revision }, 'the listener failed to take a key set; it is handed on again');
      this.#retry = setTimeout(() => this.#deliver(), REDELIVER_MS);
    }
  }
}

/** Tells a listener how its source is; what goes wrong in the listener is no trouble of the source. */
export function tell(listener: SourceListener, status: SourceStatus, log: Logger): void {
  try {
    listener.status(status);
  } catch (error) {
    log.error({ err: error }, 'the listener failed to take a status');
  }
}
