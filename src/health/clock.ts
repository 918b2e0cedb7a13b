export interface Clock {
  /** Milliseconds since 1970, for people. */
  wallMs(): number;
  /** Milliseconds from any origin that never jump, for intervals. */
  steadyMs(): number;
  /** Calls `run` once after `delayMs`, unless the returned function was called before. */
  after(delayMs: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  steadyMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
