import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import * as z from 'zod';
import { messageOf } from '../core/errors.ts';
import type { RealObservation } from '../core/health-state.ts';

/** How long changes are gathered before the file is written; what a killed agent leaves is this much older at most. */
const GATHER_MS = 250;

const contents = z.object({
  version: z.literal(1),
  observations: z.array(
    z.object({
      pool: z.string(),
      address: z.string(),
      observation: z.enum(['up', 'down']),
      reason: z.string(),
      since: z.number(),
    }),
  ),
});

/**
 * The file that has what this LB has concluded about reals, for the agent that comes after this one: until that one has
 * results of its own, the last observations hold. A convenience of restarts: that it cannot be read or written is logged and nothing else.
 */
export class HeldObservations {
  readonly path: string;
  readonly #log: Logger;
  readonly #current: () => Iterable<RealObservation>;
  #writing: Promise<void> | null = null;
  #changed = false;
  #failed = false;
  readonly #closing = new AbortController();

  /**
   * @param lb name of the LB, so that two agents may share a directory
   * @param current all observations, asked for when they are written
   */
  constructor(stateDir: string, lb: string, current: () => Iterable<RealObservation>, log: Logger) {
    this.path = join(stateDir, `${lb}.observations.json`);
    this.#current = current;
    this.#log = log;
  }

  /** What an earlier agent has left; empty when there is nothing that could be of use. */
  read(): RealObservation[] {
    try {
      return contents.parse(JSON.parse(readFileSync(this.path, 'utf8'))).observations;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const reason = error instanceof z.ZodError ? z.prettifyError(error) : messageOf(error);
      if (code !== 'ENOENT')
        this.#log.warn(
          { path: this.path, reason },
          'what the last agent concluded about reals cannot be read: they are judged anew',
        );
      return [];
    }
  }

  /** Some observation is another one now: the file follows soon. */
  changed(): void {
    this.#changed = true;
    this.#writing ??= this.#follow();
  }

  /** Resolves when the file has the last observations. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writing;
  }

  async #follow(): Promise<void> {
    while (this.#changed) {
      await sleep(GATHER_MS, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
      this.#changed = false;
      await this.#write();
    }
    this.#writing = null;
  }

  /** Aside and then into place, so that nobody ever reads a half of it. */
  async #write(): Promise<void> {
    const observations = Array.from(this.#current()).filter(({ observation }) => observation !== 'unknown');
    const aside = `${this.path}.new`;
    try {
      await mkdir(dirname(this.path), { recursive: true });
      await writeFile(aside, JSON.stringify({ version: 1, observations }));
      await rename(aside, this.path);
      this.#failed = false;
    } catch (error) {
      // Once, and not again with every change.
      if (this.#failed) return;
      this.#failed = true;
      this.#log.warn(
        { path: this.path, reason: messageOf(error) },
        'observations cannot be kept for the next agent, which would judge reals anew',
      );
    }
  }
}
