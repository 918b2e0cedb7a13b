import { describe, expect, it } from 'vitest';
import type { MapOp, Observed, RealEncap, VipId, VipRecord } from '../../src/core/data-plane.ts';
import { applied } from '../../src/core/observed.ts';
import { plan } from '../../src/core/plan.ts';
import type { Target } from '../../src/core/target.ts';
import { emptyMaps, leavingPool, targetOf, targetPool, vipOf } from '../support/planning.ts';

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
const ipip: RealEncap = { kind: 'ipip' };
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
      'swap-server-ids',
      'swap-directory',
    ]);
    expect(opsOf(plan(after, run([before], emptyMaps())))).toEqual([
      'name-pool',
      'put-real',
      'swap-rings',
      'swap-directory',
      'remove-pools',
      'void-real',
    ]);
  });

  it('empties the ring of a pool only after its VIP has moved, when both are one change', () => {
    const before = run([targetOf([web('10.0.0.1')], { [http]: 'web' })], emptyMaps());
    const moved = targetOf([targetPool('green', ['10.0.0.2'])], { [http]: 'green' });
    const left = targetOf(
      [...moved.pools.values()],
      { [http]: 'green' },
      { leaving: [leavingPool('web', ['10.0.0.1'])] },
    );
    const drained = targetOf([...moved.pools.values(), targetPool('web', [], ['10.0.0.1'])], { [http]: 'green' });
    for (const after of [left, drained])
      expect(opsOf(plan(after, before)).slice(-3)).toEqual(['swap-rings', 'swap-directory', 'swap-rings']);
    // Nobody waits for it where nothing leads to the pool any more, or where the VIP stays.
    const after = run([moved], before);
    const again = run([targetOf([...moved.pools.values(), web('10.0.0.1')], { [http]: 'green' })], after);
    expect(opsOf(plan(drained, again))).toEqual(['swap-rings']);
    const other = { [http]: 'web', [every]: 'web' };
    expect(opsOf(plan(targetOf([targetPool('web', [], ['10.0.0.1'])], other), before))).toEqual([
      'swap-rings',
      'swap-directory',
    ]);
  });

  it('gives no pool a number that a VIP of an earlier run still names, for itself or for clients', () => {
    const { name, address, port, protocol, ...options } = vipOf(every, 'web');
    const record: VipRecord = { ...options, number: 0, pool: 0, clients: [{ prefix: '198.51.100.0/24', pool: 1 }] };
    const maps = { ...emptyMaps(), directory: { vips: new Map([[every, record]]), tunnels: [], own: [] } };
    const [first] = plan(targetOf([web('10.0.0.1')]), maps).filter((op) => op.op === 'name-pool');
    expect(first?.pool).toBe(2);
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
    const leaving = targetOf([targetPool('green', ['10.0.0.2'])], {}, { leaving: [leavingPool('web', ['10.0.0.1'])] });
    const before = run([targetOf([web('10.0.0.1')])], emptyMaps());
    const during = run([leaving], before);
    expect(during.reals.get(1)).toEqual(before.reals.get(1));
    expect(during.rings.get(0)).toBe('00:');
    const after = run([targetOf([targetPool('green', ['10.0.0.2'])])], during);
    expect([after.reals.has(1), after.rings.has(0), after.pools.has('web')]).toEqual([false, false, false]);
  });

  it('names no pool that is leaving and unknown to the maps', () => {
    const leaving = [leavingPool('web', ['10.0.0.1'])];
    expect(opsOf(plan(targetOf([], {}, { leaving }), emptyMaps()))).not.toContain('name-pool');
  });

  it('swaps a ring that somebody else put into place', () => {
    const target = targetOf([web()]);
    const maps = { ...run([target], emptyMaps()), rings: new Map([[0, 'not ours: 17']]) };
    expect(opsOf(plan(target, maps))).toEqual(['swap-rings']);
  });

  it('gives up number 0, which no slot of a ring can name', () => {
    const target = targetOf([web('10.0.0.1')]);
    const reals = new Map([[0, { address: '10.0.0.1', pool: 0, generation: 7, encap: ipip }]]);
    const maps = { ...emptyMaps(), reals, pools: new Map([['web', 0]]) };
    const after = run([target], maps);
    expect([...after.reals.keys()]).toEqual([1]);
    expect(after.freed.get(0)).toBe(8);
  });

  describe('how a real is reached', () => {
    const reached = (encap: RealEncap) => targetOf([targetPool('web', ['10.0.0.1', '10.0.0.2'], [], encap)]);

    it.each<[string, RealEncap, RealEncap]>([
      ['the encap', ipip, { kind: 'gue', port: 6080, checksum: true }],
      ['the port', { kind: 'gue', port: 6080, checksum: true }, { kind: 'gue', port: 6081, checksum: true }],
      ['the checksum', { kind: 'gue', port: 6080, checksum: true }, { kind: 'gue', port: 6080, checksum: false }],
      ['the MAC address', { kind: 'l2', mac: '02:00:00:00:00:11' }, { kind: 'l2', mac: '02:00:00:00:00:12' }],
      ['being this host', ipip, { kind: 'local' }],
    ])('changes in place with %s: same number, same generation, same ring', (_what, encap, other) => {
      const before = run([reached(encap)], emptyMaps());
      const ops = plan(reached(other), before);
      const put = (number: number) => ({
        op: 'put-real',
        number,
        real: { ...before.reals.get(number), encap: other },
        fresh: false,
      });
      expect(ops).toEqual([put(1), put(2)]);
    });
  });

  describe('ids that packets carry', () => {
    const named = (ring: string[], kept: string[], ids: Record<number, `${string}|${string}`>) =>
      targetOf([targetPool('web', ring, kept)], { [http]: { pool: 'web', quic: 'katran' } }, { ids: { web: ids } });

    it('name numbers', () => {
      const maps = run([named(['10.0.0.1', '10.0.0.2'], [], { 7: 'web|10.0.0.1', 8: 'web|10.0.0.2' })], emptyMaps());
      expect(maps.serverIds).toEqual(
        new Map([
          ['0|7', 1],
          ['0|8', 2],
        ]),
      );
    });

    it('give a real a number that takes no new flows: packets get to it by id', () => {
      const maps = run([named([], ['10.0.0.1', '10.0.0.2'], { 7: 'web|10.0.0.2' })], emptyMaps());
      expect([...maps.reals.values()].map(({ address }) => address)).toEqual(['10.0.0.2']);
    });

    it('give none to a lingering real, whose flows were void already when it has none', () => {
      const target = named(['10.0.0.1'], [], { 7: 'web|10.0.0.9' });
      const [pool] = target.pools.values();
      const reals = [...(pool?.reals ?? []), { address: '10.0.0.9', encap: ipip, lingers: true }];
      const lingering = { ...target, pools: new Map([['web', { ...web('10.0.0.1'), reals }]]) };
      const maps = run([lingering], emptyMaps());
      expect([maps.reals.size, maps.serverIds]).toEqual([1, new Map()]);
      expect(plan(lingering, maps)).toEqual([]);
    });

    it('come after their reals and before the VIPs, and go before their reals', () => {
      const one = run([named(['10.0.0.1'], [], { 7: 'web|10.0.0.1' })], emptyMaps());
      const ops = plan(named(['10.0.0.2'], [], { 7: 'web|10.0.0.2' }), one);
      expect(opsOf(ops)).toEqual(['put-real', 'swap-rings', 'swap-server-ids', 'void-real']);
    });
  });

  describe('ids of VIPs that move to another pool', () => {
    const one = targetPool('one', ['10.0.0.1']);
    const two = targetPool('two', ['10.0.0.1']);
    const quic = (pool: string) => ({ [http]: { pool, quic: 'katran' } as const });
    const ids = (pool: string) => ({ ids: { [pool]: { 7: 'one|10.0.0.1' as const } } });
    const before = run([targetOf([one, two], quic('one'), ids('one'))], emptyMaps());

    it('are known before and after, and so they are in between', () => {
      const ops = plan(targetOf([one, two], quic('two'), ids('two')), before);
      expect(opsOf(ops)).toEqual(['swap-server-ids', 'swap-directory', 'swap-server-ids']);
      const tables = ops.flatMap((op) => (op.op === 'swap-server-ids' ? [[...op.serverIds.keys()]] : []));
      expect(tables).toEqual([['0|7', '1|7'], ['1|7']]);
    });

    it('change at once where there is no room for both', () => {
      const tight = { ...before, limits: { ...before.limits, serverIds: 1 } };
      const ops = plan(targetOf([one, two], quic('two'), ids('two')), tight);
      expect(opsOf(ops)).toEqual(['swap-server-ids', 'swap-directory']);
    });

    it('are gone at once when their real keeps no flows', () => {
      const ops = plan(targetOf([two], quic('two'), { ids: { two: { 7: 'two|10.0.0.1' } } }), before);
      expect(opsOf(ops).slice(0, 3)).toEqual(['swap-server-ids', 'swap-directory', 'remove-pools']);
    });
  });

  describe('the directory', () => {
    it('keeps the numbers of VIPs, and gives one away only after it is gone', () => {
      const fresh: (readonly number[])[] = [];
      const pools = [web('10.0.0.1')];
      const maps = run(
        [targetOf(pools, { [http]: 'web' }), targetOf(pools, { [every]: 'web' }), targetOf(pools, { [http]: 'web' })],
        emptyMaps({ vips: 2 }),
        (op) => {
          if (op.op === 'swap-directory') fresh.push(op.fresh);
        },
      );
      expect(fresh).toEqual([[0], [1], [0]]);
      expect(maps.directory?.vips.get(http)?.number).toBe(0);
    });

    it('changes in one operation, with clients’ pools by number and no counter reset', () => {
      const pools = [web('10.0.0.1'), targetPool('near', ['10.0.0.2'])];
      const before = run([targetOf(pools, { [http]: 'web', [every]: 'web' })], emptyMaps());
      const clients = [{ prefix: '198.51.100.0/24', pool: 'near' }];
      const ops = plan(targetOf(pools, { [http]: { pool: 'web', clients }, [every]: 'web' }), before);
      expect(ops).toEqual([expect.objectContaining({ op: 'swap-directory', fresh: [] })]);
      expect(applied(before, ops).directory?.vips.get(http)?.clients).toEqual([{ prefix: '198.51.100.0/24', pool: 1 }]);
    });

    it('is put in place again when somebody else has changed it, ids as well', () => {
      const target = targetOf([web('10.0.0.1')], { [http]: 'web' });
      const maps = run([target], emptyMaps());
      expect(opsOf(plan(target, { ...maps, directory: null }))).toEqual(['swap-directory']);
      // Where it is known which VIPs it has, they keep their numbers and so their counters.
      const { directory } = maps;
      expect(plan(target, { ...maps, directorySound: false })).toEqual([
        { op: 'swap-directory', directory, fresh: [] },
      ]);
      expect(opsOf(plan(target, { ...maps, serverIds: null }))).toEqual(['swap-server-ids']);
    });

    it('has this host’s own addresses that are in prefixes, and no VIP’s by themselves', () => {
      const own = ['10.0.0.2', '192.0.2.1', '192.0.2.3', '2001:db8::2', '203.0.113.9'];
      const vips = { '192.0.2.0/24|80|tcp': 'web', '192.0.2.1|443|udp': 'web', '2001:db8::/64|0|tcp': 'web' } as const;
      const reached = (...of: string[]) => run([targetOf([web('10.0.0.1')], vips, { own: of })], emptyMaps()).directory;
      expect(reached(...own)?.own).toEqual(['192.0.2.3', '2001:db8::2']);
      expect(reached()?.own).toEqual([]);
      const before = run([targetOf([web('10.0.0.1')], vips, { own })], emptyMaps());
      const without = targetOf([web('10.0.0.1')], { '203.0.113.1|443|tcp': 'web' }, { own });
      expect(opsOf(plan(without, before))).toEqual(['swap-directory']);
      expect(run([without], before).directory?.own).toEqual([]);
    });

    it('has the tunnels that end here', () => {
      const before = run([targetOf([])], emptyMaps());
      const tunnels = [{ address: '203.0.113.1', guePort: 6080 }];
      const ops = plan(targetOf([], {}, { tunnels }), before);
      expect(opsOf(ops)).toEqual(['swap-directory']);
      expect(applied(before, ops).directory?.tunnels).toEqual(tunnels);
    });
  });

  describe('where numbers are few', () => {
    it('removes first what would be removed last', () => {
      const limits = { vips: 1, pools: 1, reals: 2 };
      const before = run([targetOf([web('10.0.0.1')], { [http]: 'web' })], emptyMaps(limits));
      const after = targetOf([targetPool('green', ['10.0.0.2'])], { [every]: 'green' });
      const ops = plan(after, before);
      expect(opsOf(ops).indexOf('void-real')).toBeLessThan(opsOf(ops).indexOf('put-real'));
      expect(applied(before, ops).reals.get(1)).toEqual({
        address: '10.0.0.2',
        pool: 0,
        generation: 1,
        encap: ipip,
      });
    });

    it('sends clients whose pool has no number yet to the pool of their VIP for that moment', () => {
      const limits = { vips: 1, pools: 2, reals: 3 };
      const old = [web('10.0.0.1'), targetPool('old', ['10.0.0.9'])];
      const before = run([targetOf(old, { [http]: 'web' })], emptyMaps(limits));
      const clients = [{ prefix: '198.51.100.0/24', pool: 'near' }];
      const after = targetOf([web('10.0.0.1'), targetPool('near', ['10.0.0.2'])], { [http]: { pool: 'web', clients } });
      const ops = plan(after, before);
      expect(opsOf(ops)).toEqual([
        'remove-pools',
        'void-real',
        'name-pool',
        'put-real',
        'swap-rings',
        'swap-directory',
      ]);
      expect(applied(before, ops.slice(0, 2)).directory?.vips.get(http)?.pool).toBe(0);
    });

    it('makes room for a real that only ids lead to', () => {
      const before = run([targetOf([web('10.0.0.1')])], emptyMaps({ reals: 2 }));
      const after = targetOf([targetPool('web', [], ['10.0.0.2'])], {}, { ids: { web: { 7: 'web|10.0.0.2' } } });
      const ops = plan(after, before);
      expect(opsOf(ops)).toEqual(['swap-rings', 'void-real', 'put-real', 'swap-server-ids']);
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
      expect(soonest).toBe(3 * 128);
    });
  });
});
