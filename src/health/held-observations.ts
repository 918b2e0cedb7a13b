import { readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import * as z from 'zod';
import { messageOf } from '../core/errors.ts';
import type { RealObservation } from '../core/health-state.ts';

/** How long changes are gathered before the file is written; what a killed agent leaves is this much older at most. */
const GATHER_MS = 250;
const RETRY_MS = 2_000;

const contents = z.object({
  version: z.literal(1),
  program: z.number(),
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

export interface HeldOptions {
  readonly stateDir: string;
  /** Name of the LB, so that two agents may share a directory. */
  readonly lb: string;
  /** Id of the program that goes by these observations. */
  readonly program: number;
  /** All of them, asked for when they are written. */
  readonly current: () => Iterable<RealObservation>;
  readonly log: Logger;
  readonly retryMs?: number;
}

/**
 * The file that has what this LB has concluded about reals, for the agent that takes over from this one’s program: until that one
 * has results of its own, the last observations hold. A convenience of restarts: that it cannot be read or written is logged and
 * nothing else, and what cannot be kept up to date is removed.
 */
export class HeldObservations {
  readonly path: string;
  readonly #options: HeldOptions;
  #writing: Promise<void> | null = null;
  #changed = false;
  #failed = false;
  readonly #closing = new AbortController();

  constructor(options: HeldOptions) {
    this.path = join(options.stateDir, `${options.lb}.observations.json`);
    this.#options = options;
  }

  /**
   * What an earlier agent has left; empty when there is nothing that could be of use.
   * @param program id of the one that forwards: others of the same name may have written the file, or older versions not have
   */
  read(program: number): RealObservation[] {
    try {
      const held = contents.parse(JSON.parse(readFileSync(this.path, 'utf8')));
      return held.program === program ? held.observations : [];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#warn(
          error instanceof z.ZodError ? z.prettifyError(error) : messageOf(error),
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

  /** Resolves when the file has the last observations, or cannot have them. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writing;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closing;
    while (this.#changed) {
      const pauseMs = this.#failed ? (this.#options.retryMs ?? RETRY_MS) : GATHER_MS;
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
      const isLast = signal.aborted;
      this.#changed = false;
      if (!(await this.#write())) this.#changed = !isLast;
    }
    this.#writing = null;
  }

  /** Aside and then into place, so that nobody ever reads a half of it. False when it failed. */
  async #write(): Promise<boolean> {
    const { program, current } = this.#options;
    const observations = Array.from(current()).filter(({ observation }) => observation !== 'unknown');
    const aside = `${this.path}.new`;
    try {
      await mkdir(dirname(this.path), { recursive: true });
      // Reasons quote what reals have answered.
      await writeFile(aside, JSON.stringify({ version: 1, program, observations }), { mode: 0o600 });
      await rename(aside, this.path);
      this.#failed = false;
      return true;
    } catch (error) {
      // Once, and not again with every change.
      if (!this.#failed)
        this.#warn(messageOf(error), 'observations cannot be kept for the next agent, which would judge reals anew');
      this.#failed = true;
      // What is older than the program that forwards is worse than nothing.
      await Promise.allSettled([rm(this.path, { force: true }), rm(aside, { force: true })]);
      return false;
    }
  }

  #warn(reason: string, what: string): void {
    this.#options.log.warn({ path: this.path, reason }, what);
  }
}
