/** Never rejects: a rejection is a fault of the program and ends the thread. */
export type Job = () => Promise<void>;

/** Runs at most so many jobs at once; the others wait in the order they came. */
export class Limiter {
  readonly #max: number;
  /** In order of arrival; a job is in it at most once. */
  readonly #waiting = new Set<Job>();
  #running = 0;

  /** @param max at least 1 */
  constructor(max: number) {
    this.#max = max;
  }

  add(job: Job): void {
    this.#waiting.add(job);
    this.#fill();
  }

  /** Takes a job back that still waits; one that runs is left alone. */
  remove(job: Job): void {
    this.#waiting.delete(job);
  }

  #fill(): void {
    for (const job of this.#waiting) {
      if (this.#running >= this.#max) return;
      this.#waiting.delete(job);
      this.#running += 1;
      void job().finally(() => {
        this.#running -= 1;
        this.#fill();
      });
    }
  }
}
