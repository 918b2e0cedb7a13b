import { Client } from 'undici';
import type { AgentExplanation } from '../agent-explain.ts';
import type { AgentState } from '../agent-state.ts';
import { messageOf, PilotfishError } from '../core/errors.ts';

/** @throws PilotfishError PF_AGENT when no agent answers, or it refuses */
async function fetchJson(socketPath: string, path: string): Promise<unknown> {
  const client = new Client('http://localhost', { socketPath });
  try {
    const { statusCode, body } = await client.request({ method: 'GET', path });
    if (statusCode === 200) return await body.json();
    const said = (await body.text()).trim().replace(/^PF_AGENT: /, '');
    throw new PilotfishError('PF_AGENT', `the agent on ${socketPath} answers: ${said}`);
  } catch (cause) {
    if (cause instanceof PilotfishError) throw cause;
    throw new PilotfishError('PF_AGENT', `no agent answers on ${socketPath}: ${messageOf(cause)}`, {
      fix: 'start it with `pilotfish run`, or name its socket with --socket',
      cause,
    });
  } finally {
    await client.close();
  }
}

/** What the agent on this host says about itself. @throws PilotfishError PF_AGENT when none answers */
export async function fetchState(socketPath: string): Promise<AgentState> {
  return (await fetchJson(socketPath, '/v1/state')) as AgentState;
}

/**
 * Why the agent on this host sends a flow where it does.
 *
 * @param flow in words that are known to be a flow
 * @throws PilotfishError PF_AGENT when none answers, or it has nothing in force
 */
export async function fetchExplanation(socketPath: string, flow: string): Promise<AgentExplanation> {
  return (await fetchJson(socketPath, `/v1/explain?${new URLSearchParams({ flow })}`)) as AgentExplanation;
}
