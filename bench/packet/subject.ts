import type { BpfProgram } from '../../src/dataplane/native.ts';
import type { Row } from './scenarios.ts';

/** What is measured: an XDP program in the kernel with its maps filled. */
export interface Subject {
  readonly program: BpfProgram;
  /** Called once, after the row’s warm-up packets. */
  afterWarmUp(): Promise<void>;
  /**
   * Looks at the subject’s own counters after a round.
   * @returns null when the packets since the last call took the row’s path; otherwise what they did instead
   */
  verify(packets: number): string | null;
  close(): void;
}

/**
 * Loads an object file and fills its maps for a row: its VIPs with their pools, as bench/README.md describes them.
 * @returns null when the program has nothing that the row could measure
 */
export type LoadSubject = (object: string, program: string, row: Row) => Promise<Subject | null>;

/** What is hoped for in one row; which of these are given is up to whoever gives them. */
export interface Wanted {
  /** The peer takes at least this many times as long as Pilotfish. */
  readonly times?: number;
  /** Pilotfish takes no more nanoseconds than this, */
  readonly atMostNs?: number;
  /** or than the peer and this. */
  readonly atMostOverPeerNs?: number;
}

/** What a module given with `--populate` exports. */
export interface PeerModule {
  readonly load: LoadSubject;
  /** By row, such as `hit-1/ipip`; only printed. */
  readonly wanted?: Readonly<Record<string, Wanted>>;
}
