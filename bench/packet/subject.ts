import type { BpfProgram } from '../../src/dataplane/native.ts';
import type { Scenario } from './scenarios.ts';

/** What is measured: an XDP program in the kernel with its maps filled. */
export interface Subject {
  readonly program: BpfProgram;
  /** Called once, after the scenario’s warm-up packets. */
  afterWarmUp(): Promise<void>;
  /**
   * Looks at the subject’s own counters after a round.
   * @returns null when all of the packets since the last call took the scenario’s path; otherwise what they did instead
   */
  verify(packets: number): string | null;
  close(): void;
}

/**
 * Loads an object file and fills its maps for a scenario: its VIPs with their pools, as bench/README.md describes them.
 * A file given with `--populate` exports a function of this type under the name `load`.
 */
export type LoadSubject = (object: string, program: string, scenario: Scenario) => Promise<Subject>;
