import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MapOp, Observed, VipId, VipRecord } from '../../src/core/data-plane.ts';
import { splitVipId, vipId } from '../../src/core/data-plane.ts';
import { PilotfishError } from '../../src/core/errors.ts';
import { applied } from '../../src/core/observed.ts';
import { plan } from '../../src/core/plan.ts';
import { poolsLedTo } from '../../src/core/plan-pools.ts';
import type { Target } from '../../src/core/target.ts';
import { emptyMaps, foreignSignature, meaningOf, membersOf, unsound } from '../support/planning.ts';
import { mapsArb, roomyMapsArb, targetArb, tightArb } from '../support/planning-arb.ts';

/** Every state on the way, the first and the last among them. */
function statesOf(ops: readonly MapOp[], from: Observed): Observed[] {
  const states = [from];
  for (const op of ops) states.push(applied(states.at(-1) ?? from, [op]));
  return states;
}

/** Nothing may become wrong on the way that was not wrong before, and nothing stays wrong. */
function expectSound(states: readonly Observed[]): void {
  let before = unsound(states[0] as Observed);
  for (const state of states) {
    const now = unsound(state);
    expect([...now.difference(before)]).toEqual([]);
    before = now;
  }
}

function placesOf(target: Target): Set<string> {
  return new Set(
    [...target.pools.values(), ...target.leaving].flatMap((p) => p.reals.map((r) => `${p.name}|${r.address}`)),
  );
}

/** The number of each real; of two the one that comes first. No slot can name number 0. */
function held({ pools, reals }: Observed): Map<string, number> {
  const names = new Map([...pools].map(([name, number]) => [number, name]));
  const places = [...reals].map(([number, { pool, address }]) => [`${names.get(pool)}|${address}`, number] as const);
  return new Map(places.filter(([, number]) => number > 0).reverse());
}

/**
 * What maps say that were empty, once the target is in them, and reals that were there and keep their flows. Ids name
 * lingering reals only where those were there.
 */
function expectReached(target: Target, before: Observed, after: Observed): void {
  expect([...unsound(after)]).toEqual([]);
  const fresh = meaningOf(applied(emptyMaps(), plan(target, emptyMaps())));
  const leaving = target.leaving.map(({ name }) => name).filter((name) => before.pools.has(name));
  const { reals, pools, rings, serverIds, ...rest } = meaningOf(after);
  const { settings, tunnels, own, vips } = fresh;
  expect(rest).toEqual({ settings, tunnels, own, vips });
  expect(rings.filter(([name]) => !leaving.includes(name))).toEqual(fresh.rings);
  expect(rings.filter(([name]) => leaving.includes(name)).every(([, ring]) => ring.members.length === 0)).toBe(true);
  expect(pools).toEqual([...fresh.pools, ...leaving].sort());
  const kept = placesOf(target).intersection(new Set(held(before).keys()));
  const live = new Set([...fresh.reals.map(([real]) => real), ...kept]);
  const wanted = [...target.pools.values(), ...target.leaving].flatMap(({ name, reals }) =>
    reals.map(({ address, encap }) => [`${name}|${address}`, encap] as const),
  );
  expect(Object.fromEntries(reals)).toEqual(Object.fromEntries(wanted.filter(([real]) => live.has(real))));
  expect(reals.length).toBe(live.size);
  const named = [...target.serverIds].flatMap(([pool, ids]) =>
    [...ids].filter(([, real]) => live.has(real)).map(([id, real]) => [`${pool}|${id}`, real] as const),
  );
  expect(Object.fromEntries(serverIds)).toEqual(Object.fromEntries(named));
}

/** Numbers of VIPs stay, and one that is new was free before. */
function expectVipNumbers({ directory, fresh }: Extract<MapOp, { op: 'swap-directory' }>, now: Observed): void {
  const before = now.directory?.vips ?? new Map<VipId, VipRecord>();
  const used = [...before.values()].map(({ number }) => number);
  const numbers = [...directory.vips.values()].map(({ number }) => number);
  expect(new Set(numbers).size).toBe(numbers.length);
  for (const [id, { number }] of directory.vips) {
    expect(number).toBeLessThan(now.limits.vips);
    const had = before.get(id);
    if (had !== undefined) expect(number).toBe(had.number);
    else expect(used).not.toContain(number);
    expect(fresh.includes(number)).toBe(had === undefined);
  }
  expect(fresh.filter((number) => !numbers.includes(number))).toEqual([]);
}

/** Numbers are taken only when free and in range, and reals’ numbers under the generation that is due. */
function expectNumbers(ops: readonly MapOp[], from: Observed): void {
  let now = from;
  for (const op of ops) {
    if (op.op === 'put-real') {
      const { encap, ...real } = op.real;
      const { encap: before, ...had } = now.reals.get(op.number) ?? { encap: null };
      expect(op.number).toBeGreaterThan(0);
      expect(op.number).toBeLessThan(now.limits.reals);
      expect(op.fresh).toBe(before === null);
      if (op.fresh) expect(real.generation).toBe(now.freed.get(op.number) ?? 0);
      else expect([real, encap]).toEqual([had, expect.not.objectContaining(before ?? {})]);
    } else if (op.op === 'void-real') {
      expect(op.generation).toBe(((now.reals.get(op.number)?.generation ?? Number.NaN) + 1) % 128);
    } else if (op.op === 'name-pool') {
      const used = [...now.pools.values(), ...now.rings.keys()];
      for (const { pool } of now.reals.values()) used.push(pool);
      for (const { pool, clients } of now.directory?.vips.values() ?? [])
        used.push(pool, ...clients.map((client) => client.pool));
      expect(used).not.toContain(op.pool);
      expect(op.pool).toBeLessThan(now.limits.pools);
    } else if (op.op === 'swap-directory') {
      expectVipNumbers(op, now);
    }
    now = applied(now, [op]);
  }
}

/** Would the maps hold the target and nothing else? */
function fits(target: Target, maps: Observed): boolean {
  const { limits, pools } = maps;
  const members = [...target.pools.values()].flatMap((p) => p.ring.map(({ address }) => `${p.name}|${address}`));
  const lingering = [...target.pools.values()].flatMap((p) =>
    p.reals.filter(({ lingers }) => lingers).map(({ address }) => `${p.name}|${address}`),
  );
  const named = new Set<string>([...target.serverIds.values()].flatMap((ids) => [...ids.values()]));
  const leaving = target.leaving.filter(({ name }) => pools.has(name));
  return (
    target.vips.size <= limits.vips &&
    target.pools.size + leaving.length <= limits.pools &&
    placesOf(target)
      .intersection(new Set(held(maps).keys()))
      .union(new Set(members))
      .union(named.difference(new Set(lingering))).size < limits.reals
  );
}

/** Every state on the way from one target to another. */
function wayBetween(earlier: Target, target: Target) {
  const maps = applied(emptyMaps(), plan(earlier, emptyMaps()));
  const states = statesOf(plan(target, maps), maps);
  return { maps, states, last: states.at(-1) ?? maps };
}

/** Does a VIP have somebody to send new flows to? */
function hasReals({ directory, rings }: Observed, id: VipId): boolean {
  return membersOf(rings.get(directory?.vips.get(id)?.pool ?? -1) ?? '').length > 0;
}

/** Number of the real that an id names for a VIP. */
function realOfId({ directory, serverIds }: Observed, vip: VipId, id: number): number | undefined {
  return serverIds?.get(`${directory?.vips.get(vip)?.pool ?? -1}|${id}`);
}

/** What is left of an operation that fails half-way; the ring operations are the only ones that can. */
function half(op: MapOp, now: Observed, mask: number): Observed {
  const some = <T>(all: readonly T[]): T[] => all.filter((_, i) => (mask >> i) % 2 === 1);
  const rings = new Map(now.rings);
  if (op.op === 'swap-rings')
    for (const { pool, spec } of some(op.rings)) rings.set(pool, foreignSignature(spec.members));
  if (op.op === 'remove-pools') for (const pool of some(op.pools)) rings.delete(pool);
  return { ...now, rings };
}

/** Who gets an answer, by port; 1 stands for all ports without a VIP of their own. */
function servedPorts({ directory }: Observed): Set<VipId> {
  const served = new Set<VipId>();
  for (const id of directory?.vips.keys() ?? []) {
    const { port, ...vip } = splitVipId(id);
    for (const covered of port === 0 ? [1, 80, 443] : [port]) served.add(vipId({ ...vip, port: covered }));
  }
  return served;
}

describe('a plan', () => {
  it('leads from any maps to any target, sound after every operation, and a second one is empty', () => {
    fc.assert(
      fc.property(roomyMapsArb(), targetArb, (maps, target) => {
        const ops = plan(target, maps);
        const states = statesOf(ops, maps);
        expectSound(states);
        expectNumbers(ops, maps);
        const last = states.at(-1) as Observed;
        expectReached(target, maps, last);
        expect(plan(target, last)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('mends even rings that name numbers without a real', () => {
    fc.assert(
      fc.property(roomyMapsArb(true), targetArb, (maps, target) => {
        const last = applied(maps, plan(target, maps));
        expectReached(target, maps, last);
        expect(plan(target, last)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('gets there in maps that hold the target but not the old and the new at once, or says what is full', () => {
    fc.assert(
      fc.property(
        tightArb.chain((limits) => mapsArb(limits)),
        targetArb,
        (maps, target) => {
          if (!fits(target, maps)) {
            expect(() => plan(target, maps)).toThrowError(expect.objectContaining({ code: 'PF_MAP_FULL' }));
            return;
          }
          const ops = plan(target, maps);
          const states = statesOf(ops, maps);
          expectSound(states);
          expectNumbers(ops, maps);
          expectReached(target, maps, states.at(-1) as Observed);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('takes up where a broken one left off', () => {
    const stepArb = fc.record({ target: targetArb, done: fc.nat(12), mask: fc.nat(15) });
    fc.assert(
      fc.property(roomyMapsArb(), fc.array(stepArb, { maxLength: 6 }), targetArb, (maps, steps, last) => {
        let now = maps;
        for (const { target, done, mask } of steps) {
          const ops = plan(target, now);
          const states = statesOf(ops.slice(0, done), now);
          const broken = ops[done];
          if (broken !== undefined) states.push(half(broken, states.at(-1) ?? now, mask));
          expectSound(states);
          now = states.at(-1) ?? now;
        }
        const states = statesOf(plan(last, now), now);
        expectSound(states);
        expectReached(last, now, states.at(-1) as Observed);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps the number and generation of every real that keeps its flows', () => {
    fc.assert(
      fc.property(
        tightArb.chain((limits) => fc.oneof(mapsArb(limits), roomyMapsArb())),
        targetArb,
        (maps, target) => {
          const kept = placesOf(target);
          let ops: MapOp[] = [];
          try {
            ops = plan(target, maps);
          } catch (error) {
            expect(error).toBeInstanceOf(PilotfishError);
          }
          const given = ops.flatMap((op) =>
            (op.op === 'put-real' && op.fresh) || op.op === 'void-real' ? [op.number] : [],
          );
          for (const [place, number] of held(maps)) if (kept.has(place)) expect(given).not.toContain(number);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('leaves no port unserved for a moment that is served before and after, by whichever VIP', () => {
    fc.assert(
      fc.property(roomyMapsArb(), targetArb, (maps, target) => {
        const states = statesOf(plan(target, maps), maps);
        const lasting = [maps, states.at(-1) ?? maps].map(servedPorts).reduce((a, b) => a.intersection(b));
        for (const state of states) expect([...lasting.difference(servedPorts(state))]).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('leaves no VIP without a real for a moment that has some before and after, unless another one stays with its old pool', () => {
    fc.assert(
      fc.property(targetArb, targetArb, (earlier, target) => {
        const { maps, states, last } = wayBetween(earlier, target);
        const staying = poolsLedTo(last.directory?.vips.values() ?? []);
        for (const [id, { pool }] of maps.directory?.vips ?? []) {
          if (staying.has(pool) || !hasReals(maps, id) || !hasReals(last, id)) continue;
          expect(states.map((state) => hasReals(state, id))).not.toContain(false);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('leaves no id unknown to a VIP for a moment that knows it before and after, if its real keeps its flows', () => {
    fc.assert(
      fc.property(targetArb, targetArb, (earlier, target) => {
        const { maps, states, last } = wayBetween(earlier, target);
        const ids = new Set([...(maps.serverIds ?? [])].map(([key]) => Number(key.split('|')[1])));
        for (const vip of maps.directory?.vips.keys() ?? [])
          for (const id of ids) {
            const before = realOfId(maps, vip, id);
            if (before === undefined || !last.reals.has(before) || realOfId(last, vip, id) === undefined) continue;
            expect(states.map((state) => realOfId(state, vip, id))).not.toContain(undefined);
          }
      }),
      { numRuns: 3000 },
    );
  });

  it('swaps all rings in one operation, but for those that are left behind, and none that is right already', () => {
    fc.assert(
      fc.property(roomyMapsArb(), targetArb, (maps, target) => {
        const ops = plan(target, maps);
        const swaps = ops.filter((op) => op.op === 'swap-rings');
        const [, left] = ops
          .map(({ op }) => op)
          .join()
          .split('swap-directory');
        expect(swaps.length).toBeLessThanOrEqual(left?.includes('swap-rings') ? 2 : 1);
        const led = poolsLedTo(applied(maps, ops).directory?.vips.values() ?? []);
        for (const { pool, spec } of left?.includes('swap-rings') ? (swaps.at(-1)?.rings ?? []) : [])
          expect([led.has(pool), spec.members]).toEqual([false, []]);
        const after = applied(maps, plan(target, maps));
        for (const { pool } of swaps.flatMap(({ rings }) => rings))
          expect(maps.rings.get(pool)).not.toBe(after.rings.get(pool));
      }),
    );
  });

  it('touches nothing but one ring when a weight changes', () => {
    fc.assert(
      fc.property(targetArb, fc.integer({ min: 3, max: 1000 }), (target, weight) => {
        const [pool] = [...target.pools.values()].filter(({ ring }) => ring.length > 0);
        fc.pre(pool !== undefined);
        const ring = pool.ring.map((member, i) => (i === 0 ? { ...member, weight } : member));
        const changed = { ...target, pools: new Map(target.pools).set(pool.name, { ...pool, ring }) };
        const maps = applied(emptyMaps(), plan(target, emptyMaps()));
        const ops = plan(changed, maps);
        expect(ops.map(({ op }) => op)).toEqual(['swap-rings']);
        const [swap] = ops;
        const rings = swap?.op === 'swap-rings' ? swap.rings : [];
        expect(rings.map((r) => r.pool)).toEqual([maps.pools.get(pool.name)]);
        const numbers = (m: Observed): number[] =>
          membersOf(m.rings.get(rings[0]?.pool ?? -1) ?? '').map((r) => r.number);
        expect(numbers(applied(maps, ops))).toEqual(numbers(maps));
      }),
    );
  });
});
