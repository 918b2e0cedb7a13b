import type { Clock } from '../../src/health/clock.ts';

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that only moves when a test says so; timers run in order of time, then of creation. */
export class FakeClock implements Clock {
  readonly #origin = 1_700_000_000_000;
  readonly #timers = new Set<Timer>();
  #now = 0;

  get pending(): number {
    return this.#timers.size;
  }

  wallMs(): number {
    return this.#origin + this.#now;
  }

  steadyMs(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets `ms` pass, with all promises settled before each timer and at the end. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = end;
  }
}

/** Resolves after every promise reaction that is ready now. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
