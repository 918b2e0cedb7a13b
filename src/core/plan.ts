import type { MapOp, Observed, RealRecord, RingChange, RingSpec, VipRecord } from './data-plane.ts';
import { ringSignature } from './data-plane.ts';
import { PilotfishError } from './errors.ts';
import type { Address, Protocol, RealKey, Vip } from './model.ts';
import { realKey } from './model.ts';
import { Numbers } from './numbers.ts';
import type { Target, TargetPool } from './target.ts';

/**
 * The map operations that lead from what is in the maps to what shall be: pure, and empty when nothing differs.
 *
 * Make before break: reals, then rings, then VIPs when adding; VIPs, then rings, then reals when removing. After every
 * prefix of the plan each VIP has a ring and each slot of it a real. New VIPs come before old ones go, so that a VIP
 * that moves from one port to every port is never missing in between.
 *
 * @throws PilotfishError PF_MAP_FULL when there are more VIPs, pools or reals than the maps have numbers for.
 */
export function plan(target: Target, observed: Observed): MapOp[] {
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
    ...addresses.wider,
    ...vips.puts,
    ...vips.deletes,
    ...addresses.narrower,
    ...(pools.gone.length > 0 ? [{ op: 'remove-pools', pools: pools.gone } as const] : []),
    ...reals.voids,
  ];
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
  // A number whose reals are not void yet is not free: its next pool would inherit their flows.
  for (const real of observed.reals.values()) taken.add(real.pool);
  const numbers = new Numbers('pools', observed.limits.pools, 0, taken);
  const numberOf = new Map<string, number>();
  const names: MapOp[] = [];
  for (const name of target.pools.keys()) {
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

function planReals(target: Target, observed: Observed, poolNumber: ReadonlyMap<string, number>) {
  const held = new Map<string, number>();
  const surplus: number[] = [];
  for (const [number, real] of observed.reals) {
    const key = `${real.pool}|${real.address}`;
    if (held.has(key)) surplus.push(number);
    else held.set(key, number);
  }
  const numbers = new Numbers('reals', observed.limits.reals, 1, new Set(observed.reals.keys()), observed.freed);
  const numberOf = new Map<RealKey, number>();
  const puts: MapOp[] = [];
  for (const pool of target.pools.values()) {
    const poolIs = lookup(poolNumber, pool.name);
    for (const address of pool.reals) {
      const key = `${poolIs}|${address}`;
      let number = held.get(key);
      if (number === undefined) {
        number = numbers.take(`real ${address} of pool ${pool.name}`);
        const generation = observed.freed.get(number) ?? 0;
        puts.push({ op: 'put-real', number, real: { address, pool: poolIs, generation } });
      }
      held.delete(key);
      numberOf.set(realKey(pool.name, address), number);
    }
  }
  const voids: MapOp[] = [...held.values(), ...surplus].map((number) => ({
    op: 'void-real',
    number,
    generation: nextGeneration(lookup(observed.reals, number)),
  }));
  return { numberOf, puts, voids };
}

function nextGeneration(real: RealRecord): number {
  return (real.generation + 1) % 256;
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
  for (const pool of target.pools.values()) {
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
  const after = servedBy(target.vips.values());
  const wider: MapOp[] = [];
  const narrower: MapOp[] = [];
  for (const [address, protocols] of after) {
    const now = observed.addresses.get(address) ?? new Set();
    const union = protocols.union(now);
    if (union.size > now.size) wider.push({ op: 'put-address', address, protocols: union });
    if (union.size > protocols.size) narrower.push({ op: 'put-address', address, protocols });
  }
  for (const address of observed.addresses.keys())
    if (!after.has(address)) narrower.push({ op: 'delete-address', address });
  return { wider, narrower };
}
