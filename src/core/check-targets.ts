import type { Address, Check, Snapshot } from './model.ts';

/** A check whose port is known. */
export type ResolvedCheck = Check & {
  /** 1 to 65535. */
  readonly port: number;
};

/** A real and how to check it. */
export interface CheckTarget {
  readonly pool: string;
  readonly address: Address;
  /** Never empty. */
  readonly checks: readonly ResolvedCheck[];
}

/**
 * Everything that is to be checked: every real of every pool, whatever its state and weight, since people want to
 * see how a drained real fares before they bring it back. A check that takes the VIP’s port cannot run while no VIP
 * uses the pool; a real left without any check is not checked and stays unknown.
 */
export function checkTargets(snapshot: Snapshot): CheckTarget[] {
  const portOf = new Map<string, number>();
  for (const { port, pool, clients } of snapshot.vips.values())
    if (port !== 0) for (const name of [pool, ...clients.map((client) => client.pool)]) portOf.set(name, port);

  const targets: CheckTarget[] = [];
  for (const pool of snapshot.pools.values()) {
    const checks: ResolvedCheck[] = [];
    for (const check of pool.checks) {
      const port = check.port ?? portOf.get(pool.name);
      if (port !== undefined) checks.push({ ...check, port });
    }
    if (checks.length > 0) for (const { address } of pool.reals) targets.push({ pool: pool.name, address, checks });
  }
  return targets;
}
