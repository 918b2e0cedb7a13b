import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from '../core/errors.ts';
import { decidingFolders } from './deciding-folders.ts';

/** A folder whose other files are busy causes no more than a look in this time. */
const PAUSE_MS = 10;

interface Watched {
  /** Of the folder itself: another one may take its place under the same name. */
  readonly identity: string;
  readonly watcher: FSWatcher;
}

/**
 * Notices that what a path leads to may have changed. Folders are watched and not the file, because editors and
 * deploy tools put another file, or another link to one, in its place.
 */
export class FolderWatch {
  readonly #log: Logger;
  readonly #watched = new Map<string, Watched>();
  /** What was logged of folders that cannot be watched. */
  readonly #refused = new Map<string, string>();
  #changed = Promise.withResolvers<void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Watches what decides about `path` now. A change after this call resolves is noticed. Never rejects. */
  async follow(path: string): Promise<void> {
    // What was changed before a new watch began is seen by looking once more.
    while (await this.#watchOnly(await decidingFolders(path)));
  }

  /** Resolves when something changed since the last call, or else after `ms`. */
  async changed(ms: number): Promise<void> {
    const { promise, resolve } = this.#changed;
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
    await sleep(PAUSE_MS);
    this.#changed = Promise.withResolvers();
  }

  /** As if something had changed. */
  wake(): void {
    this.#changed.resolve();
  }

  close(): void {
    for (const folder of [...this.#watched.keys()]) this.#drop(folder);
  }

  async #watchOnly(folders: ReadonlySet<string>): Promise<boolean> {
    for (const folder of [...this.#watched.keys()]) if (!folders.has(folder)) this.#drop(folder);
    let added = false;
    for (const folder of folders) added = (await this.#watch(folder)) || added;
    return added;
  }

  /** @returns whether the folder was not watched before and is now */
  async #watch(folder: string): Promise<boolean> {
    try {
      const { dev, ino } = await stat(folder, { bigint: true });
      const identity = `${dev}:${ino}`;
      if (this.#watched.get(folder)?.identity === identity) return false;
      this.#drop(folder);
      const watcher = watch(folder, (event, name) => {
        // The folder itself was moved or removed, and the watch with it.
        if (event === 'rename' && name === basename(folder)) this.#drop(folder);
        this.wake();
      });
      watcher.on('error', (error) => {
        this.#drop(folder);
        this.#refuse(folder, error);
      });
      this.#watched.set(folder, { identity, watcher });
      return true;
    } catch (error) {
      this.#refuse(folder, error);
      return false;
    }
  }

  #drop(folder: string): void {
    this.#watched.get(folder)?.watcher.close();
    this.#watched.delete(folder);
  }

  #refuse(folder: string, error: unknown): void {
    const reason = messageOf(error);
    if (this.#refused.get(folder) === reason) return;
    this.#refused.set(folder, reason);
    this.#log.debug({ source: 'file', folder, reason }, 'a folder cannot be watched; changes in it are noticed later');
  }
}
