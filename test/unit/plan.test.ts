import { describe, expect, it } from 'vitest';
import type { MapOp, Observed, VipId } from '../../src/core/data-plane.ts';
import { applied } from '../../src/core/observed.ts';
import { plan } from '../../src/core/plan.ts';
import type { Target } from '../../src/core/target.ts';
import { emptyMaps, targetOf, targetPool } from '../support/planning.ts';

/** Brings the maps from one target to the next; `check` sees every operation. */
function run(targets: readonly Target[], maps: Observed, check: (op: MapOp) => void = () => {}): Observed {
  let now = maps;
  for (const target of targets) {
    const ops = plan(target, now);
    for (const op of ops) check(op);
    now = applied(now, ops);
  }
  return now;
}

function opsOf(ops: readonly MapOp[]): string[] {
  return ops.map(({ op }) => op);
}

const http: VipId = '192.0.2.1|80|tcp';
const every: VipId = '192.0.2.1|0|tcp';
const web = (...ring: readonly string[]) => targetPool('web', ring);

describe('plan', () => {
  it('makes before it breaks', () => {
    const before = targetOf([web('10.0.0.1')], { [http]: 'web' });
    const after = targetOf([targetPool('green', ['10.0.0.2'])], { [every]: 'green' });
    expect(opsOf(plan(before, emptyMaps()))).toEqual([
      'settings',
      'name-pool',
      'put-real',
      'swap-rings',
      'put-address',
      'put-vip',
    ]);
    expect(opsOf(plan(after, run([before], emptyMaps())))).toEqual([
      'name-pool',
      'put-real',
      'swap-rings',
      'put-vip',
      'delete-vip',
      'remove-pools',
      'void-real',
    ]);
  });

  it('gives no pool a number that a VIP of an earlier run still names', () => {
    const maps = { ...emptyMaps(), vips: new Map([[every, { number: 0, pool: 0 }]]) };
    const [name] = plan(targetOf([web('10.0.0.1')]), maps).filter((op) => op.op === 'name-pool');
    expect(name?.pool).toBe(1);
  });

  it('gives a real that takes no new flows no number, and leaves it the one that it has', () => {
    const drained = targetOf([targetPool('web', ['10.0.0.2'], ['10.0.0.1'])]);
    expect(run([drained], emptyMaps()).reals.size).toBe(1);
    const maps = run([targetOf([web('10.0.0.1', '10.0.0.2')]), drained], emptyMaps());
    expect([...maps.reals.values()].map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  it('keeps the number, and so the flows, of a real that leaves the ring and comes back', () => {
    const ops: string[] = [];
    const out = targetOf([targetPool('web', [], ['10.0.0.1'])]);
    run([targetOf([web('10.0.0.1')]), out, targetOf([web('10.0.0.1')])], emptyMaps(), ({ op }) => ops.push(op));
    expect(ops.filter((op) => op === 'put-real')).toHaveLength(1);
    expect(ops).not.toContain('void-real');
  });

  it('keeps the flows of a pool that is leaving, under its number and with an empty ring', () => {
    const leaving = targetOf([targetPool('green', ['10.0.0.2'])], {}, [targetPool('web', [], ['10.0.0.1'])]);
    const before = run([targetOf([web('10.0.0.1')])], emptyMaps());
    const during = run([leaving], before);
    expect(during.reals.get(1)).toEqual(before.reals.get(1));
    expect(during.rings.get(0)).toBe('00:');
    const after = run([targetOf([targetPool('green', ['10.0.0.2'])])], during);
    expect([after.reals.has(1), after.rings.has(0), after.pools.has('web')]).toEqual([false, false, false]);
  });

  it('names no pool that is leaving and unknown to the maps', () => {
    expect(opsOf(plan(targetOf([], {}, [targetPool('web', [], ['10.0.0.1'])]), emptyMaps()))).toEqual(['settings']);
  });

  it('swaps a ring that somebody else put into place', () => {
    const target = targetOf([web()]);
    const maps = { ...run([target], emptyMaps()), rings: new Map([[0, 'not ours: 17']]) };
    expect(opsOf(plan(target, maps))).toEqual(['swap-rings']);
  });

  it('gives up number 0, which no slot of a ring can name', () => {
    const target = targetOf([web('10.0.0.1')]);
    const reals = new Map([[0, { address: '10.0.0.1', pool: 0, generation: 7 }]]);
    const maps = { ...emptyMaps(), reals, pools: new Map([['web', 0]]) };
    const after = run([target], maps);
    expect([...after.reals.keys()]).toEqual([1]);
    expect(after.freed.get(0)).toBe(8);
  });

  describe('where numbers are few', () => {
    it('removes first what would be removed last', () => {
      const limits = { vips: 1, pools: 1, reals: 2 };
      const before = run([targetOf([web('10.0.0.1')], { [http]: 'web' })], emptyMaps(limits));
      const after = targetOf([targetPool('green', ['10.0.0.2'])], { [every]: 'green' });
      const ops = plan(after, before);
      expect(opsOf(ops).indexOf('void-real')).toBeLessThan(opsOf(ops).indexOf('put-real'));
      expect(applied(before, ops).reals.get(1)).toEqual({ address: '10.0.0.2', pool: 0, generation: 1 });
    });

    it('leaves the rings of others alone', () => {
      const before = run([targetOf([web('10.0.0.1'), targetPool('old', ['10.0.0.9'])])], emptyMaps({ reals: 3 }));
      const ops = plan(targetOf([web('10.0.0.1', '10.0.0.2')]), before);
      expect(opsOf(ops)).toEqual(['remove-pools', 'void-real', 'put-real', 'swap-rings']);
    });

    it('says which map is full, of how many, and what to do, before anything is touched', () => {
      expect(() => plan(targetOf([web('10.0.0.1', '10.0.0.2')]), emptyMaps({ reals: 2 }))).toThrowError(
        expect.objectContaining({
          code: 'PF_MAP_FULL',
          message: 'reals holds 1 entries while adding real 10.0.0.2 of pool web',
          fix: expect.stringContaining('limits.reals'),
        }),
      );
    });
  });

  describe('numbers of reals', () => {
    const alone = (i: number): Target => targetOf([web(`10.0.${i >> 8}.${i & 255}`)]);

    it('go round all of them before one is used again', () => {
      const used: number[] = [];
      run([1, 2, 3, 4].map(alone), emptyMaps({ reals: 4 }), (op) => {
        if (op.op === 'put-real') used.push(op.number);
      });
      expect(used).toEqual([1, 2, 3, 1]);
    });

    it('go round all generations of all of them before a flow could take one real for another', () => {
      const last = new Map<string, number>();
      let users = 0;
      let soonest = Number.POSITIVE_INFINITY;
      run(
        Array.from({ length: 3_000 }, (_, i) => alone(i)),
        emptyMaps({ reals: 4 }),
        (op) => {
          if (op.op !== 'put-real') return;
          const key = `${op.number}/${op.real.generation}`;
          soonest = Math.min(soonest, ++users - (last.get(key) ?? Number.NEGATIVE_INFINITY));
          last.set(key, users);
        },
      );
      expect(soonest).toBe(3 * 256);
    });
  });
});
