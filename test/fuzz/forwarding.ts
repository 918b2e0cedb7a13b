import { defaultLimits } from '../../src/core/admission.ts';
import { buildTarget } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { BUCKET_ENTRIES } from '../../src/dataplane/flow-cache.ts';
import { type Action, actions, ProgramBench } from '../support/program-bench.ts';
import type { FuzzCase } from './state.ts';

const MOST_FLOWS = 2 ** 20;
const NO_LIMIT = 1e9;
/** The program does no more than to name it. */
const SOME_INTERFACE = 1;

/** The object that an agent attaches, which says nothing of what it decides: what it does with a frame, and the frame. */
export class Forwarding implements Disposable {
  readonly #bench: ProgramBench;

  private constructor(bench: ProgramBench) {
    this.#bench = bench;
  }

  /** @param frames how many there will be, at most */
  static async load({ snapshot, host }: FuzzCase, frames: number): Promise<Forwarding> {
    const bench = await ProgramBench.load({
      ...defaultLimits,
      flowsPerCpu: Math.min(MOST_FLOWS, frames * BUCKET_ENTRIES),
      newFlowsPerSecond: NO_LIMIT,
      tooBigAnswersPerSecond: NO_LIMIT,
      ...(host.egress ? { egress: SOME_INTERFACE } : {}),
    });
    await bench.converge(buildTarget(snapshot, host, allUp(snapshot), new Map()));
    return new Forwarding(bench);
  }

  send(data: Uint8Array): { readonly action: Action | undefined; readonly frame: Uint8Array | null } {
    const { cpu, loaded } = this.#bench;
    const { retval, data: frame } = loaded.program.testRun({ data, cpu });
    const action = actions[retval];
    return { action, frame: action === 'DROP' || action === 'ABORTED' ? null : frame };
  }

  [Symbol.dispose](): void {
    this.#bench[Symbol.dispose]();
  }
}
