import type { Revision } from '../core/model.ts';

/** Every key of the desired state, relative to the prefix (`desired/vips/web`), with its raw value. */
export type KeySet = ReadonlyMap<string, string>;

export type SourceStatus =
  | { readonly state: 'connecting' }
  | { readonly state: 'current'; readonly endpoint: string }
  /** The last complete state stays in force; `since` is wall-clock milliseconds. */
  | { readonly state: 'lost'; readonly reason: string; readonly since: number };

export interface SourceListener {
  /**
   * One complete key set. Called once for the first complete read and again after each change; the source may
   * fold changes that arrive together. Must not throw.
   */
  keys(keys: KeySet, revision: Revision): void;
  status(status: SourceStatus): void;
}

/** Where the desired state comes from. A source never gives up: it reconnects until it is closed. */
export interface Source {
  start(listener: SourceListener): void;
  /** Resolves when no timer, socket or call of the source is left. Idempotent. */
  close(): Promise<void>;
}
