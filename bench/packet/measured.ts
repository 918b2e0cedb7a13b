import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Answer, Job, Round } from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));

/** One subject in one row, with what was measured of it so far. */
export class Measured {
  readonly job: Job;
  readonly rounds: Round[] = [];
  #refused: string | null = null;
  #absent = false;
  readonly #child: ChildProcess;

  /** Resolves when the maps are filled and warm. */
  static async start(job: Job): Promise<Measured> {
    const measured = new Measured(job);
    measured.#take(await measured.#answer());
    return measured;
  }

  private constructor(job: Job) {
    this.job = job;
    this.#child = fork(WORKER, [JSON.stringify(job)]);
  }

  /** Why there is no figure; null as long as nothing speaks against it. */
  get refused(): string | null {
    return this.#refused;
  }

  /** There is nothing to measure: the subject cannot do what the row asks for. */
  get absent(): boolean {
    return this.#absent;
  }

  /** Measures once more, if there is anything to measure. */
  async round(): Promise<void> {
    if (this.#refused !== null || this.#absent) return;
    const answer = this.#answer();
    this.#child.send('round');
    this.#take(await answer);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    await exited;
  }

  async #answer(): Promise<Answer> {
    const settled = new AbortController();
    const { signal } = settled;
    try {
      return await Promise.race([
        once(this.#child, 'message', { signal }).then(([answer]) => answer as Answer),
        once(this.#child, 'exit', { signal }).then(([code, name]) => ({ refused: `it ended (${name ?? code})` })),
      ]);
    } finally {
      settled.abort();
    }
  }

  #take(answer: Answer): void {
    if ('round' in answer) this.rounds.push(answer.round);
    if ('refused' in answer) this.#refused = answer.refused;
    if ('absent' in answer) this.#absent = true;
  }
}
