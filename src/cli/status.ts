import type { AgentState } from '../agent-state.ts';
import { readConfig } from '../config.ts';
import { fetchState } from './agent-client.ts';
import { printTable, shortDigest } from './output.ts';

export interface StatusOptions {
  readonly config: string;
  readonly socket?: string;
  readonly output: 'table' | 'json';
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

function describeAnnounced(announced: AgentState['announced']): string {
  switch (announced.state) {
    case 'no-hook':
      return 'not by this host: agent.yaml has no announce hooks';
    case 'waiting':
      return 'not yet: the agent has not been ready';
    case 'joining':
      return 'joining';
    case 'failed':
      return 'the hook fails, see above';
    case 'joined':
      return 'joined';
    case 'left':
      return `LEFT since ${new Date(announced.since).toISOString()}; \`pilotfish join\` takes it back`;
  }
}

function describeEgress({ interface: name, program, programOn }: NonNullable<AgentState['egress']>): string {
  const on = programOn === name ? '' : ` on ${programOn}`;
  switch (program) {
    case 'own':
      return `${name}, made ready by an XDP program of this LB${on}`;
    case 'foreign':
      return `${name}, made ready by an XDP program of somebody else${on}`;
    case 'missing':
      return `${name}, which may not send: see above`;
    case 'unseen':
      return `${name}, a veth: it sends while its other end has an XDP program, or GRO on`;
    case 'unneeded':
      return name;
  }
}

function print(state: AgentState): void {
  const { interface: name, gateway, revision } = state;
  console.log(`LB ${state.lb}, Pilotfish ${state.version}: ${state.ready ? 'ready' : 'NOT READY'}`);
  for (const problem of state.problems) console.log(`  ! ${problem}`);
  console.log(`  data plane  ${state.attached === null ? 'not attached' : `attached to ${name} (${state.attached})`}`);
  if (state.egress !== null) console.log(`  egress      ${describeEgress(state.egress)}`);
  console.log(`  announced   ${describeAnnounced(state.announced)}`);
  console.log(`  gateway     ${gateway.address} at ${gateway.mac}`);
  console.log(`  source      ${describeSource(state.source)}`);
  console.log(`  revision    ${revision === null ? 'none yet' : `${revision.number} of ${revision.generation}`}`);
  console.log(`  digest      ${state.digest === null ? 'none yet' : shortDigest(state.digest)}`);
  console.log('');
  printTable(
    ['VIP', 'ADDRESS', 'PORT', 'PROTOCOL', 'POOL', 'PACKETS', 'BYTES', 'NEW FLOWS', 'HITS', 'MISSES'],
    state.vips.map((v) => [
      v.name,
      v.address,
      v.port === 0 ? 'every' : v.port,
      v.protocol,
      v.pool,
      v.packets,
      v.bytes,
      v.newFlows,
      v.hits,
      v.misses,
    ]),
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
  printTable(['PACKETS', 'REASON'], counted(state.reasons));
  const events = counted(state.events);
  if (events.length === 0) return;
  console.log('');
  printTable(['TIMES', 'EVENT'], events);
}

/** Those that are not 0. */
function counted(counts: Readonly<Record<string, number>>): [number, string][] {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => [count, name]);
}

/** This LB as its agent sees it now. Exit code 1 when it is not ready. */
export async function runStatus(options: StatusOptions): Promise<number> {
  const state = await fetchState(options.socket ?? readConfig(options.config).admin.socket);
  if (options.output === 'json') console.log(JSON.stringify(state, null, 2));
  else print(state);
  return state.ready ? 0 : 1;
}
