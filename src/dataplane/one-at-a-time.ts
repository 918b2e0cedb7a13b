/**
 * Runs an action whenever it is asked for, never twice at once. Asked for while it runs, it runs once more: what was
 * read before the question may be out of date.
 */
export class OneAtATime {
  readonly #action: () => Promise<void>;
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;

  /** @param action must not reject */
  constructor(action: () => Promise<void>) {
    this.#action = action;
  }

  request(): void {
    if (this.#closed) return;
    if (this.#running !== null) {
      this.#again = true;
      return;
    }
    this.#running = this.#run();
  }

  /** Resolves when nothing runs, and nothing will any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      await this.#action();
    } while (this.#again && !this.#closed);
    this.#running = null;
  }
}
