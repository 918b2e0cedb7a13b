import type { MapOp, Observed, RingChange, RingSpec, VipRecord } from './data-plane.ts';
import { ringSignature, splitVipId } from './data-plane.ts';
import { PilotfishError } from './errors.ts';
import type { Address, Protocol, RealKey, Vip } from './model.ts';
import { realKey } from './model.ts';
import { Numbers, nextGeneration } from './numbers.ts';
import { applied } from './observed.ts';
import type { Target, TargetPool } from './target.ts';

/** A slot of 0 says that there is no real. */
const FIRST_REAL = 1;

/**
 * The map operations that lead from what is in the maps to what shall be: pure, and empty when nothing differs.
 *
 * Make before break: reals, then rings, then VIPs when adding; VIPs, then rings, then reals when removing. After every
 * prefix of the plan each VIP has a ring and each slot of it a real. New VIPs come before old ones go, so that a VIP
 * that moves from one port to every port is never missing in between.
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

/** A pool that is leaving has flows to keep only where the maps know it. */
function poolsOf({ pools, leaving }: Target, observed: Observed): TargetPool[] {
  return [...pools.values(), ...leaving.filter(({ name }) => observed.pools.has(name))];
}

function planDirectly(target: Target, observed: Observed): MapOp[] {
  const pools = planPools(target, observed);
  const reals = planReals(target, observed, pools.numberOf);
  const rings = planRings(target, observed, pools.numberOf, reals.numberOf);
  const vips = planVips(target, observed, pools.numberOf);
  const addresses = planAddresses(target, observed);
  return [
    ...planSettings(target, observed),
    ...pools.names,
    ...reals.puts,
    ...(rings.length > 0 ? [{ op: 'swap-rings', rings } as const] : []),
    ...addresses.unused,
    ...addresses.wider,
    ...vips.puts,
    ...vips.deletes,
    ...addresses.narrower,
    ...(pools.gone.length > 0 ? [{ op: 'remove-pools', pools: pools.gone } as const] : []),
    ...reals.voids,
  ];
}

/** What of the target has its numbers already. */
function withoutNew(target: Target, observed: Observed): Target {
  const { held } = heldReals(observed);
  const pools = new Map<string, TargetPool>();
  for (const pool of target.pools.values()) {
    const number = observed.pools.get(pool.name);
    if (number === undefined) continue;
    pools.set(pool.name, { ...pool, ring: pool.ring.filter(({ address }) => held.has(placeOf(number, address))) });
  }
  const vips = [...target.vips].filter(([id, vip]) => observed.vips.has(id) && pools.has(vip.pool));
  return { ...target, pools, vips: new Map(vips) };
}

function planSettings(target: Target, observed: Observed): MapOp[] {
  const { settings } = target;
  const now = observed.settings;
  const same =
    now !== null && (Object.keys(settings) as (keyof typeof settings)[]).every((k) => settings[k] === now[k]);
  return same ? [] : [{ op: 'settings', settings }];
}

function lookup<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined) throw new PilotfishError('PF_STATE', `the planner has no entry for ${String(key)}`);
  return value;
}

function planPools(target: Target, observed: Observed) {
  const taken = new Set([...observed.pools.values(), ...observed.rings.keys()]);
  // A number that reals or VIPs still name is not free: its next pool would inherit their flows and packets.
  for (const { pool } of [...observed.reals.values(), ...observed.vips.values()]) taken.add(pool);
  const numbers = new Numbers('pools', observed.limits.pools, 0, taken);
  const numberOf = new Map<string, number>();
  const names: MapOp[] = [];
  for (const { name } of poolsOf(target, observed)) {
    let pool = observed.pools.get(name);
    if (pool === undefined) {
      pool = numbers.take(`pool ${name}`);
      names.push({ op: 'name-pool', pool, name });
    }
    numberOf.set(name, pool);
  }
  const gone = [
    ...new Set([...observed.pools.values(), ...observed.rings.keys()]).difference(new Set(numberOf.values())),
  ];
  return { numberOf, names, gone };
}

/** What a real is known by in the maps. */
function placeOf(pool: number, address: Address): string {
  return `${pool}|${address}`;
}

/** The number of each real, and numbers that no real should have: second ones of the same real, and 0. */
function heldReals(observed: Observed) {
  const held = new Map<string, number>();
  const surplus: number[] = [];
  for (const [number, { pool, address }] of observed.reals) {
    const place = placeOf(pool, address);
    if (number < FIRST_REAL || held.has(place)) surplus.push(number);
    else held.set(place, number);
  }
  return { held, surplus };
}

function planReals(target: Target, observed: Observed, poolNumber: ReadonlyMap<string, number>) {
  const { held, surplus } = heldReals(observed);
  const taken = new Set(observed.reals.keys());
  const numbers = new Numbers('reals', observed.limits.reals, FIRST_REAL, taken, observed.freed);
  const numberOf = new Map<RealKey, number>();
  const puts: MapOp[] = [];
  for (const pool of poolsOf(target, observed)) {
    const poolIs = lookup(poolNumber, pool.name);
    const members = new Set(pool.ring.map(({ address }) => address));
    for (const address of pool.reals) {
      const place = placeOf(poolIs, address);
      let number = held.get(place);
      if (number === undefined) {
        // Who takes no new flows and has no number has no flows to keep either.
        if (!members.has(address)) continue;
        number = numbers.take(`real ${address} of pool ${pool.name}`);
        const generation = observed.freed.get(number) ?? 0;
        puts.push({ op: 'put-real', number, real: { address, pool: poolIs, generation } });
      }
      held.delete(place);
      numberOf.set(realKey(pool.name, address), number);
    }
  }
  const voids: MapOp[] = [...held.values(), ...surplus].map((number) => ({
    op: 'void-real',
    number,
    generation: nextGeneration(lookup(observed.reals, number).generation),
  }));
  return { numberOf, puts, voids };
}

function ringSpec(target: Target, pool: TargetPool, realNumber: ReadonlyMap<RealKey, number>): RingSpec {
  return {
    seed: target.seed,
    members: pool.ring.map(({ address, weight }) => ({
      address,
      weight,
      number: lookup(realNumber, realKey(pool.name, address)),
    })),
  };
}

function planRings(
  target: Target,
  observed: Observed,
  poolNumber: ReadonlyMap<string, number>,
  realNumber: ReadonlyMap<RealKey, number>,
): RingChange[] {
  const changes: RingChange[] = [];
  for (const pool of poolsOf(target, observed)) {
    const number = lookup(poolNumber, pool.name);
    const spec = ringSpec(target, pool, realNumber);
    if (observed.rings.get(number) !== ringSignature(spec)) changes.push({ pool: number, spec });
  }
  return changes;
}

function planVips(target: Target, observed: Observed, poolNumber: ReadonlyMap<string, number>) {
  const numbers = new Numbers(
    'vips',
    observed.limits.vips,
    0,
    new Set([...observed.vips.values()].map((v) => v.number)),
  );
  const puts: MapOp[] = [];
  for (const [id, vip] of target.vips) {
    const now = observed.vips.get(id);
    const pool = lookup(poolNumber, vip.pool);
    if (now?.pool === pool) continue;
    const record: VipRecord = { number: now?.number ?? numbers.take(`VIP ${vip.name}`), pool };
    puts.push({ op: 'put-vip', vip, record, fresh: now === undefined });
  }
  const deletes: MapOp[] = [];
  for (const id of observed.vips.keys()) if (!target.vips.has(id)) deletes.push({ op: 'delete-vip', id });
  return { puts, deletes };
}

function servedBy(vips: Iterable<Pick<Vip, 'address' | 'protocol'>>): Map<Address, Set<Protocol>> {
  const served = new Map<Address, Set<Protocol>>();
  for (const { address, protocol } of vips) {
    const set = served.get(address);
    if (set === undefined) served.set(address, new Set([protocol]));
    else set.add(protocol);
  }
  return served;
}

function planAddresses(target: Target, observed: Observed) {
  const before = servedBy([...observed.vips.keys()].map(splitVipId));
  const after = servedBy(target.vips.values());
  /** Left over from a plan that was broken off: they would take the room of new ones. */
  const unused: MapOp[] = [];
  const wider: MapOp[] = [];
  const narrower: MapOp[] = [];
  for (const [address, protocols] of after) {
    const now = observed.addresses.get(address) ?? new Set();
    const union = protocols.union(now);
    if (union.size > now.size) wider.push({ op: 'put-address', address, protocols: union });
    if (union.size > protocols.size) narrower.push({ op: 'put-address', address, protocols });
  }
  for (const address of observed.addresses.keys())
    if (!after.has(address)) (before.has(address) ? narrower : unused).push({ op: 'delete-address', address });
  return { unused, wider, narrower };
}
