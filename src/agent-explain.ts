import type { StateSources } from './agent-state.ts';
import { PilotfishError } from './core/errors.ts';
import { type Explanation, explainFlow, type Remembered } from './core/explain.ts';
import type { Vip } from './core/model.ts';
import { readInquiry } from './core/packet-words.ts';
import { udpTicks } from './dataplane/directory-entries.ts';
import { rememberedFlow } from './dataplane/flow-cache.ts';
import type { LoadedProgram } from './dataplane/program.ts';

/** What GET /v1/explain tells; `pilotfish explain` prints it. */
export interface AgentExplanation extends Explanation {
  readonly lb: string;
  /** What `pilotfish status` says is wrong with this LB: packets may never get as far as this explanation. */
  readonly problems: readonly string[];
}

/**
 * Explains a flow from what is in force on this LB now.
 *
 * @param text the flow in words, as `readInquiry` reads it
 * @param cache what the flow cache of the program is like
 * @throws PilotfishError PF_USAGE for words that are no flow; PF_AGENT while nothing is in force
 */
export function explainInForce(
  text: string,
  { status, store, rings, observations }: StateSources,
  cache: Pick<LoadedProgram, 'flowsPerCpu' | 'tickMs' | 'tick'>,
): Explanation {
  const inquiry = readInquiry(text);
  const { snapshot, target, observed } = status;
  if (snapshot === null || target === null || observed === null)
    throw new PilotfishError('PF_AGENT', 'no state is in force on this LB yet', {
      fix: '`pilotfish status` says what it waits for; with --state the flow is explained from a file',
      retryable: true,
    });
  const poolNames = new Map([...observed.pools].map(([name, number]) => [number, name]));
  const remembered = (hash: bigint, vip: Vip): Remembered[] =>
    rememberedFlow(store, hash, cache.flowsPerCpu, cache.tick()).map(({ cpu, real, ticksAgo }) => {
      const silent = vip.protocol === 'udp' && ticksAgo !== null && ticksAgo > udpTicks(vip, cache.tickMs);
      if (real === null || silent) return { cpu, real: null };
      return { cpu, real: { address: real.address, pool: poolNames.get(real.pool) ?? `number ${real.pool}` } };
    });
  return explainFlow(inquiry, { snapshot, target, linkKnown: true, rings, health: observations, remembered });
}
