/** How the checks themselves fared over some time. */
export interface ChecksReport {
  /** Checks that ended. */
  readonly runs: number;
  /** The longest that a check began after its time, or has waited since, in milliseconds. */
  readonly maxLatenessMs: number;
  /** Those of the checks that this host could not carry out, so that they say nothing. */
  readonly inconclusive: number;
  /** Real, check and reason of the last of those. */
  readonly lastInconclusive: string | null;
}

/** Adds up how checks fare until somebody asks. */
export class Tally {
  #runs = 0;
  #maxLatenessMs = 0;
  #inconclusive = 0;
  #lastInconclusive: string | null = null;

  /** @param latenessMs of a check that begins, or waits still; none at all when negative */
  late(latenessMs: number): void {
    this.#maxLatenessMs = Math.max(this.#maxLatenessMs, latenessMs);
  }

  ended(): void {
    this.#runs += 1;
  }

  couldNotAsk(which: string): void {
    this.#inconclusive += 1;
    this.#lastInconclusive = which;
  }

  /** Since it was last called. */
  take(): ChecksReport {
    const report = {
      runs: this.#runs,
      maxLatenessMs: this.#maxLatenessMs,
      inconclusive: this.#inconclusive,
      lastInconclusive: this.#lastInconclusive,
    };
    this.#runs = 0;
    this.#maxLatenessMs = 0;
    this.#inconclusive = 0;
    this.#lastInconclusive = null;
    return report;
  }
}
