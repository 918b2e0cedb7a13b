import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentState, RealState } from '../agent-state.ts';
import { fetchState } from './agent-client.ts';

const POLL_MS = 250;
/** Near the end of the time an agent that works still has long enough for its answer. */
const LEAST_ANSWER_MS = 1_000;

export interface QuietOptions {
  readonly socket: string;
  /** How long the counter has to stand still, in milliseconds. */
  readonly quietForMs: number;
  readonly timeoutMs: number;
}

/** Null: the real is quiet; else what speaks against it. */
export type Unquiet = string | null;

function realIn({ pools }: AgentState, pool: string, id: string): RealState | undefined {
  return pools.find(({ name }) => name === pool)?.reals.find((real) => real.id === id);
}

/**
 * Waits until this LB has forwarded nothing to a real for a while that takes no new flows.
 * @throws PilotfishError PF_AGENT when the agent does not answer
 */
export async function awaitQuiet(
  pool: string,
  id: string,
  { socket, quietForMs, timeoutMs }: QuietOptions,
): Promise<{ readonly lb: string; readonly unquiet: Unquiet }> {
  const end = performance.now() + timeoutMs;
  let packets: number | null = null;
  let since = 0;
  for (;;) {
    const state = await fetchState(socket, Math.max(LEAST_ANSWER_MS, end - performance.now()));
    const now = performance.now();
    const real = realIn(state, pool, id);
    let unquiet: string;
    if (real === undefined) {
      unquiet = 'its agent does not have this real in force: see `pilotfish get rejected`';
      packets = null;
    } else if (real.state === 'active' || real.slots > 0) {
      unquiet = 'it takes new flows there: the agent has not taken up the override';
      packets = null;
    } else {
      if (packets !== real.packets) since = now;
      packets = real.packets;
      if (now - since >= quietForMs) return { lb: state.lb, unquiet: null };
      unquiet = `the last of its ${packets} packets came less than ${quietForMs / 1_000} s ago`;
    }
    if (now >= end) return { lb: state.lb, unquiet };
    await sleep(Math.min(POLL_MS, quietForMs / 4));
  }
}
