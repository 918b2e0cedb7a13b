/** Desired state of the end-to-end tests, and how far the lab's LBs have come with it. */
import { statePrefix } from '../../lab/agent.ts';
import type { Lab } from '../../lab/lab.ts';
import { until } from '../../lab/until.ts';
import { stateOf } from './two-lbs.ts';

/** Keys below `desired/`, with their values. */
export type DesiredKeys = Readonly<Record<string, object>>;

/** Of pools whose reals are tried at port 80, whatever the ports of their VIPs. */
export const fastCheck = { type: 'tcp', port: 80, interval: '500ms', timeout: '300ms' };

/** Fields of the pool, and which reals of the lab it has; default: all. */
export interface PoolOptions {
  readonly reals?: readonly string[];
  readonly [field: string]: unknown;
}

/** A pool, and its reals with their IPv4 or their IPv6 addresses. */
export function poolKeys(
  lab: Lab,
  pool: string,
  family: 4 | 6,
  { reals = lab.reals.map(({ name }) => name), ...fields }: PoolOptions = {},
): DesiredKeys {
  const addressOf = (name: string): string => {
    const { address, address6 } = lab.real(name).host;
    return family === 4 ? address : address6;
  };
  return {
    [`pools/${pool}`]: { checks: [fastCheck], ...fields },
    ...Object.fromEntries(reals.map((name) => [`pools/${pool}/reals/${name}`, { address: addressOf(name) }])),
  };
}

export async function putAll(lab: Lab, keys: DesiredKeys): Promise<void> {
  await Promise.all(Object.entries(keys).map(([key, value]) => lab.etcd.put(`${statePrefix}desired/${key}`, value)));
}

/** Every LB knows so many VIPs, refuses nothing, and sends new flows to every real that is not drained by its weight. */
export async function untilAllServe(lab: Lab, vips: number): Promise<void> {
  const serves = async (): Promise<boolean> => {
    return (await stateOf(lab)).every(
      (state) =>
        state.ready &&
        state.rejected.length === 0 &&
        state.vips.length === vips &&
        state.pools.flatMap(({ reals }) => reals).every(({ weight, slots }) => weight > 0 === slots > 0),
    );
  };
  await until(serves, { what: `every LB serves ${vips} VIPs`, timeoutMs: 15_000 });
}

/** Packets counted under a reason since the programs were loaded, over all LBs. */
export async function counted(lab: Lab, reason: string): Promise<number> {
  return (await stateOf(lab)).reduce((sum, { reasons }) => sum + (reasons[reason] ?? Number.NaN), 0);
}

/** As it stands in a URL. */
export function urlOf(address: string, path: string, port = 80): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}${path}`;
}
