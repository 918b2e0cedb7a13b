import type { StateSources } from './agent-state.ts';
import { PilotfishError } from './core/errors.ts';
import { type Explanation, explainFlow, type Remembered } from './core/explain.ts';
import { readFlow } from './core/packet-words.ts';
import { rememberedFlow } from './dataplane/flow-cache.ts';

/** What GET /v1/explain tells; `pilotfish explain` prints it. */
export interface AgentExplanation extends Explanation {
  readonly lb: string;
  /** What `pilotfish status` says is wrong with this LB: packets may never get as far as this explanation. */
  readonly problems: readonly string[];
}

/**
 * Explains a flow from what is in force on this LB now.
 *
 * @param text the flow in words
 * @param flowsPerCpu entries of the flow cache of each CPU
 * @throws PilotfishError PF_USAGE for words that are no flow; PF_AGENT while nothing is in force
 */
export function explainInForce(
  text: string,
  { status, store, rings, observations }: StateSources,
  flowsPerCpu: number,
): Explanation {
  const flow = readFlow(text);
  const { snapshot, target, observed } = status;
  if (snapshot === null || target === null || observed === null)
    throw new PilotfishError('PF_AGENT', 'no state is in force on this LB yet', {
      fix: '`pilotfish status` says what it waits for; with --state the flow is explained from a file',
      retryable: true,
    });
  const poolNames = new Map([...observed.pools].map(([name, number]) => [number, name]));
  const remembered = (hash: bigint): Remembered[] =>
    rememberedFlow(store, hash, flowsPerCpu).map(({ cpu, real }) => ({
      cpu,
      real: real === null ? null : { address: real.address, pool: poolNames.get(real.pool) ?? `number ${real.pool}` },
    }));
  return explainFlow(flow, { snapshot, target, rings, health: observations, remembered });
}
