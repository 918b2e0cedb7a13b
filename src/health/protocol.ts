import type { CheckTarget } from '../core/check-targets.ts';
import type { HealthTransition, RealObservation } from '../core/health-state.ts';
import type { ChecksReport } from './tally.ts';

/** What the checking thread starts with. */
export interface WorkerSettings {
  readonly lb: string;
  readonly maxRunning: number;
  readonly initial: readonly RealObservation[];
}

/** To the checking thread: all targets. */
export interface UpdateMessage {
  /** Counts the updates, so that the other side can tell a transition from before an update from one after it. */
  readonly sequence: number;
  readonly targets: readonly CheckTarget[];
}

/** From the checking thread, a transition at once and a report every second. */
export type ThreadMessage = TransitionMessage | ReportMessage;

export interface ReportMessage {
  readonly report: ChecksReport;
}

export interface TransitionMessage {
  /** Of the last update that was in force. */
  readonly sequence: number;
  readonly transition: HealthTransition;
}
