import { Client, errors } from 'undici';
import type { AgentExplanation } from '../agent-explain.ts';
import type { AgentState } from '../agent-state.ts';
import { messageOf, PilotfishError } from '../core/errors.ts';

/** An agent answers in milliseconds, and in a second or two where the state is as large as can be. */
const ANSWER_MS = 5_000;

function noAnswer(socketPath: string, cause: unknown, timeoutMs: number): PilotfishError {
  if (cause instanceof errors.HeadersTimeoutError || cause instanceof errors.BodyTimeoutError)
    return new PilotfishError(
      'PF_AGENT',
      `the agent on ${socketPath} was silent for ${Math.round(timeoutMs / 1_000)} s`,
      {
        fix: 'look at its log, and whether its process is stopped or busy (ps, top); forwarding goes on meanwhile',
        retryable: true,
        cause,
      },
    );
  return new PilotfishError('PF_AGENT', `no agent answers on ${socketPath}: ${messageOf(cause)}`, {
    fix: 'start it with `pilotfish run`, or name its socket with --socket',
    cause,
  });
}

/** @throws PilotfishError PF_AGENT when no agent answers, or it refuses */
async function fetchJson(socketPath: string, path: string, timeoutMs = ANSWER_MS): Promise<unknown> {
  const client = new Client('http://localhost', { socketPath, headersTimeout: timeoutMs, bodyTimeout: timeoutMs });
  try {
    const { statusCode, body } = await client.request({ method: 'GET', path });
    if (statusCode === 200) return await body.json();
    const said = (await body.text()).trim().replace(/^PF_AGENT: /, '');
    throw new PilotfishError('PF_AGENT', `the agent on ${socketPath} answers: ${said}`);
  } catch (cause) {
    if (cause instanceof PilotfishError) throw cause;
    throw noAnswer(socketPath, cause, timeoutMs);
  } finally {
    await client.close();
  }
}

/**
 * What the agent on this host says about itself.
 *
 * @param mostMs how long it may be silent, if that is less than for all others
 * @throws PilotfishError PF_AGENT when none answers
 */
export async function fetchState(socketPath: string, mostMs = ANSWER_MS): Promise<AgentState> {
  return (await fetchJson(socketPath, '/v1/state', Math.ceil(Math.min(mostMs, ANSWER_MS)))) as AgentState;
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
