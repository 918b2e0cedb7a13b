/** What the end-to-end tests with two LBs have in common. */
import { type LabLb, statePrefix } from '../../lab/agent.ts';
import { clientPortsTo } from '../../lab/capture.ts';
import type { Download, Downloads } from '../../lab/client.ts';
import type { Lab } from '../../lab/lab.ts';
import { until } from '../../lab/until.ts';
import type { AgentState } from '../../src/agent-state.ts';

export const vip = '192.0.2.10';

/** Long enough between packets of a download to be sure that each is seen. */
const CAPTURE_MS = 3_000;
/** Without a byte for this long a download counts as broken, so a test that looks for broken ones waits longer. */
export const STALL_MS = 5_000;

export interface DeployOptions {
  readonly prefix?: string;
  readonly seed?: string;
  readonly weights?: Readonly<Record<string, number>>;
}

/** One VIP on one pool of all reals of the lab. */
export async function deploy(
  lab: Lab,
  { prefix = statePrefix, seed, weights = {} }: DeployOptions = {},
): Promise<void> {
  const put = (key: string, value: object) => lab.etcd.put(`${prefix}desired/${key}`, value);
  if (seed !== undefined) await put('settings', { seed });
  await put('pools/web', { checks: [{ type: 'tcp', interval: '500ms', timeout: '300ms', rise: 2, fall: 3 }] });
  for (const real of lab.reals)
    await put(`pools/web/reals/${real.name}`, { address: real.address, weight: weights[real.name] ?? 100 });
  await put('vips/web', { address: vip, port: 80, protocol: 'tcp', pool: 'web' });
}

export function stateOf(lab: Lab): Promise<AgentState[]> {
  return Promise.all(lab.lbs.map((lb) => lb.state()));
}

/** Every LB is in the route, has its store at hand, and sends new flows to every real. */
export async function untilServing(lab: Lab): Promise<void> {
  const serving = (state: AgentState): boolean => {
    const reals = state.pools.flatMap((pool) => pool.reals);
    return (
      state.ready &&
      state.announced.state === 'joined' &&
      state.source.state === 'current' &&
      reals.length === lab.reals.length &&
      reals.every((real) => real.health === 'up' && real.slots > 0)
    );
  };
  await until(async () => (await stateOf(lab)).every(serving), { what: 'every LB serves', timeoutMs: 20_000 });
}

/** Which downloads, by flow number, cross which LB, by name. A capture on the router’s legs says so. */
export async function crossing(
  lbs: readonly LabLb[],
  downloads: Downloads,
): Promise<Readonly<Record<string, readonly number[]>>> {
  const ports = await Promise.all(lbs.map(({ host }) => clientPortsTo(host, CAPTURE_MS)));
  const flowOf = new Map((await downloads.events()).map(({ port, flow }) => [port, flow]));
  return Object.fromEntries(
    lbs.map(({ name }, i) => [
      name,
      [...(ports[i] ?? [])].map((port) => flowOf.get(port)).filter((flow) => flow !== undefined),
    ]),
  );
}

export function broken(flows: readonly Download[]): Download[] {
  return flows.filter(({ state }) => state !== 'open');
}

/** Packets that each LB has forwarded since its program was loaded. */
export async function forwarded(lab: Lab): Promise<number[]> {
  return (await stateOf(lab)).map(({ reasons }) => reasons.forwarded ?? Number.NaN);
}
