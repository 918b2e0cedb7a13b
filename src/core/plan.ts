import { isDeepStrictEqual } from 'node:util';
import type { MapOp, Observed } from './data-plane.ts';
import { PilotfishError } from './errors.ts';
import type { RealKey } from './model.ts';
import { realKey } from './model.ts';
import { applied } from './observed.ts';
import { planDirectory } from './plan-directory.ts';
import { planPools } from './plan-pools.ts';
import { heldReals, placeOf, planReals } from './plan-reals.ts';
import { planRings } from './plan-rings.ts';
import { planServerIds } from './plan-server-ids.ts';
import type { Target, TargetPool } from './target.ts';

/**
 * The map operations that lead from what is in the maps to what shall be: pure, and empty when nothing differs.
 *
 * Make before break: reals, then rings and ids, then the directory of VIPs; behind it what nothing leads to any more.
 * After every prefix of the plan each VIP has a ring, so has each pool that its clients’ prefixes name, and each slot
 * and each id has a real. VIPs change all at once: one that moves from one port to every port is never missing. One that moves to
 * another pool and has reals before and after has some all the while, unless another one stays with the pool that it leaves, or comes to it; the
 * ids that it knows before and after it knows all the while, if their reals keep their flows and the table has room.
 *
 * Where there are not numbers enough for the old and the new at once, what is to go goes first. That is sound as well,
 * but a pool that has only new reals, or a VIP that moves to a new pool, serves nobody until the second half.
 *
 * @throws PilotfishError PF_MAP_FULL when there are more VIPs, pools or reals than the maps have numbers for.
 */
export function plan(target: Target, observed: Observed): MapOp[] {
  try {
    return planDirectly(target, observed);
  } catch (error) {
    if (!(error instanceof PilotfishError) || error.code !== 'PF_MAP_FULL') throw error;
    const removals = planDirectly(withoutNew(target, observed), observed);
    return [...removals, ...planDirectly(target, applied(observed, removals))];
  }
}

function planDirectly(target: Target, observed: Observed): MapOp[] {
  const pools = planPools(target, observed);
  const reals = planReals(target, observed, pools.numberOf);
  const rings = planRings(target, observed, pools.numberOf, reals.numberOf);
  const directory = planDirectory(target, observed, pools.numberOf);
  const ids = planServerIds(target, observed, pools.numberOf, reals.numberOf, directory.length > 0);
  return [
    ...planSettings(target, observed),
    ...pools.names,
    ...reals.puts,
    ...rings.swaps,
    ...ids.first,
    ...directory,
    ...rings.emptied,
    ...ids.last,
    ...pools.removals,
    ...reals.voids,
  ];
}

function planSettings({ settings }: Target, observed: Observed): MapOp[] {
  return isDeepStrictEqual(settings, observed.settings) ? [] : [{ op: 'settings', settings }];
}

/** What of the target has its numbers already. */
function withoutNew(target: Target, observed: Observed): Target {
  const { held } = heldReals(observed);
  const pools = new Map<string, TargetPool>();
  const numbered = new Set<RealKey>();
  for (const pool of target.pools.values()) {
    const number = observed.pools.get(pool.name);
    if (number === undefined) continue;
    const isHeld = ({ address }: { readonly address: string }): boolean => held.has(placeOf(number, address));
    pools.set(pool.name, { ...pool, ring: pool.ring.filter(isHeld) });
    for (const { address } of pool.reals.filter(isHeld)) numbered.add(realKey(pool.name, address));
  }
  const vips = [...target.vips]
    .filter(([id, vip]) => (observed.directory?.vips.has(id) ?? true) && pools.has(vip.pool))
    .map(([id, vip]) => [id, { ...vip, clients: vip.clients.filter(({ pool }) => pools.has(pool)) }] as const);
  const serverIds = [...target.serverIds]
    .filter(([pool]) => pools.has(pool))
    .map(([pool, ids]) => [pool, new Map([...ids].filter(([, key]) => numbered.has(key)))] as const);
  return { ...target, pools, vips: new Map(vips), serverIds: new Map(serverIds) };
}
