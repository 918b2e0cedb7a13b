import type { Logger } from 'pino';
import type { Revision } from '../core/model.ts';
import type { StorePoint } from './etcd-client.ts';
import { Handover } from './handover.ts';
import type { SourceListener } from './source.ts';

/** One changed key, relative to the prefix; `value` is null when it was deleted. */
export interface Change {
  readonly key: string;
  readonly value: string | null;
}

/** Holds the complete key set over all sessions. */
export class KeyFold {
  readonly #handover: Handover;
  readonly #held = new Map<string, string>();
  #revision: Revision | null = null;
  /** The highest point seen; anything lower means that the store was put back. */
  #highest: StorePoint | null = null;
  /** How often the store went back in time under one and the same cluster id. */
  #rewinds = 0;

  constructor(listener: SourceListener, log: Logger) {
    this.#handover = new Handover(listener, log);
  }

  /** Takes a complete listing, read at `point`; hands it on if it differs from what is held or is from another store. */
  replace(keys: ReadonlyMap<string, string>, point: StorePoint): void {
    const generation = this.#generationAt(point);
    const rebuilt = generation !== this.#revision?.generation;
    if (!rebuilt && sameKeys(this.#held, keys)) {
      return;
    }
    this.#held.clear();
    for (const [key, value] of keys) {
      this.#held.set(key, value);
    }
    this.#deliver({ generation, number: point.revision });
  }

  /** Takes changes on top of the last listing, in the order of the store; `number` is the revision of the last one. */
  apply(changes: readonly Change[], number: number): void {
    if (this.#revision === null) {
      throw new Error('changes arrived before the first listing');
    }
    for (const { key, value } of changes) {
      if (value === null) {
        this.#held.delete(key);
      } else {
        this.#held.set(key, value);
      }
    }
    this.seen(number);
    this.#deliver({ ...this.#revision, number });
  }

  /** Notes how far the store of the last listing has come, so that a later step back is noticed. */
  seen(revision: number): void {
    if (this.#highest !== null && revision > this.#highest.revision) {
      this.#highest = { ...this.#highest, revision };
    }
  }

  close(): void {
    this.#handover.close();
  }

  /**
   * A cluster id comes from the members’ addresses and the cluster token alone, so a wiped or restored store often
   * keeps it. Reads are linearizable: a lower revision under the same id therefore is a store put back, and gets a name
   * of its own.
   */
  #generationAt(point: StorePoint): string {
    if (this.#highest !== null && this.#highest.clusterId === point.clusterId) {
      if (point.revision < this.#highest.revision) {
        this.#rewinds += 1;
      }
    } else {
      this.#rewinds = 0;
    }
    this.#highest = point;
    return this.#rewinds === 0 ? point.clusterId : `${point.clusterId}.${this.#rewinds}`;
  }

  #deliver(revision: Revision): void {
    this.#revision = revision;
    this.#handover.keys(() => new Map(this.#held), revision);
  }
}

function sameKeys(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) {
    return false;
  }
  for (const [key, value] of b) {
    if (a.get(key) !== value) {
      return false;
    }
  }
  return true;
}
