import { Client } from 'undici';
import type { AgentState } from '../agent-state.ts';
import { readConfig } from '../config.ts';
import { messageOf, PilotfishError } from '../core/errors.ts';
import { printTable } from './output.ts';

export interface StatusOptions {
  readonly config: string;
  readonly socket?: string;
  readonly output: 'table' | 'json';
}

async function fetchState(socketPath: string): Promise<AgentState> {
  const client = new Client('http://localhost', { socketPath });
  try {
    const { body } = await client.request({ method: 'GET', path: '/v1/state' });
    return (await body.json()) as AgentState;
  } catch (cause) {
    throw new PilotfishError('PF_AGENT', `no agent answers on ${socketPath}: ${messageOf(cause)}`, {
      fix: 'start it with `pilotfish run`, or name its socket with --socket',
      cause,
    });
  } finally {
    await client.close();
  }
}

function describeSource(source: AgentState['source']): string {
  switch (source.state) {
    case 'connecting':
      return 'connecting';
    case 'current':
      return `current with ${source.endpoint}`;
    case 'lost':
      return `lost for ${Math.round((Date.now() - source.since) / 1000)} s, the last state stays in force: ${source.reason}`;
  }
}

function print(state: AgentState): void {
  const { interface: name, gateway, revision } = state;
  console.log(`LB ${state.lb}, Pilotfish ${state.version}: ${state.ready ? 'ready' : 'NOT READY'}`);
  for (const problem of state.problems) console.log(`  ! ${problem}`);
  console.log(`  data plane  ${state.attached === null ? 'not attached' : `attached to ${name} (${state.attached})`}`);
  console.log(`  gateway     ${gateway.address} at ${gateway.mac}`);
  console.log(`  source      ${describeSource(state.source)}`);
  console.log(`  revision    ${revision === null ? 'none yet' : `${revision.number} of ${revision.generation}`}`);
  console.log('');
  printTable(
    ['VIP', 'ADDRESS', 'PORT', 'PROTOCOL', 'POOL', 'PACKETS', 'BYTES'],
    state.vips.map((v) => [v.name, v.address, v.port === 0 ? 'every' : v.port, v.protocol, v.pool, v.packets, v.bytes]),
  );
  console.log('');
  printTable(
    ['POOL', 'REAL', 'ADDRESS', 'WEIGHT', 'STATE', 'HEALTH', 'SHARE', 'PACKETS', 'REASON'],
    state.pools.flatMap((pool) =>
      pool.reals.map((r) => [
        pool.name,
        r.id,
        r.address,
        r.weight,
        r.state,
        r.health,
        `${((100 * r.slots) / 65_537).toFixed(1)} %`,
        r.packets,
        r.reason,
      ]),
    ),
  );
  console.log('');
  printTable(
    ['PACKETS', 'REASON'],
    Object.entries(state.reasons)
      .filter(([, count]) => count > 0)
      .map(([reason, count]) => [count, reason]),
  );
}

/** This LB as its agent sees it now. Exit code 1 when it is not ready. */
export async function runStatus(options: StatusOptions): Promise<number> {
  const state = await fetchState(options.socket ?? readConfig(options.config).admin.socket);
  if (options.output === 'json') console.log(JSON.stringify(state, null, 2));
  else print(state);
  return state.ready ? 0 : 1;
}
