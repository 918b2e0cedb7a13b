export interface Job {
  /** Pools take turns. */
  readonly pool: string;
  /** Steady clock. */
  readonly dueAt: number;
  /** Never rejects: a rejection is a fault of the program and ends the thread. */
  run(): Promise<void>;
}

/**
 * Runs at most so many jobs at once; the others wait, those of one pool in the order they came. A pool runs no more
 * than are free, so one alone runs half of what can run and two a third each: however long the jobs of some pools take,
 * those of any other pool begin at once.
 */
export class Limiter {
  readonly #max: number;
  /** By pool, whose turn it is first; a pool without jobs that wait is not in it. */
  readonly #waiting = new Map<string, Set<Job>>();
  /** By pool; a pool without jobs that run is not in it. */
  readonly #runningOf = new Map<string, number>();
  #running = 0;

  /** @param max at least 1 */
  constructor(max: number) {
    this.#max = max;
  }

  /** A job that waits already goes on waiting. */
  add(job: Job): void {
    const queue = this.#waiting.get(job.pool);
    if (queue === undefined) this.#waiting.set(job.pool, new Set([job]));
    else queue.add(job);
    this.#fill();
  }

  /** Takes a job back that still waits; one that runs is left alone. */
  remove(job: Job): void {
    const queue = this.#waiting.get(job.pool);
    queue?.delete(job);
    if (queue?.size === 0) this.#waiting.delete(job.pool);
  }

  /** When the first of the jobs that wait was due; infinite when none waits. */
  earliestDue(): number {
    return this.#waiting
      .values()
      .flatMap((queue) => queue.values().take(1))
      .reduce((earliest, { dueAt }) => Math.min(earliest, dueAt), Number.POSITIVE_INFINITY);
  }

  #fill(): void {
    // A pool whose turn is over is put behind the others, where this loop meets it again.
    for (const [pool, queue] of this.#waiting) {
      const free = this.#max - this.#running;
      if (free === 0) return;
      if ((this.#runningOf.get(pool) ?? 0) >= free) continue;
      const job = queue.values().next().value!;
      this.remove(job);
      if (this.#waiting.delete(pool)) this.#waiting.set(pool, queue);
      this.#start(job);
    }
  }

  #start(job: Job): void {
    this.#count(job.pool, 1);
    void job.run().finally(() => {
      this.#count(job.pool, -1);
      this.#fill();
    });
  }

  #count(pool: string, change: 1 | -1): void {
    this.#running += change;
    const running = (this.#runningOf.get(pool) ?? 0) + change;
    if (running === 0) this.#runningOf.delete(pool);
    else this.#runningOf.set(pool, running);
  }
}
