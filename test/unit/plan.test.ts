import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Limits, MapOp, Observed, SettingsImage, VipId } from '../../src/core/data-plane.ts';
import { vipId } from '../../src/core/data-plane.ts';
import type { Vip } from '../../src/core/model.ts';
import { applied } from '../../src/core/observed.ts';
import { plan } from '../../src/core/plan.ts';
import type { Target, TargetPool } from '../../src/core/target.ts';

const settings: SettingsImage = {
  hashKeys: Array.from({ length: 8 }, (_, i) => (2 * i + 1).toString(16).padStart(16, '0')).join(','),
  outerV4: '172.16.0.0/16',
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
};

const empty = (limits: Partial<Limits> = {}): Observed => ({
  settings: null,
  addresses: new Map(),
  vips: new Map(),
  reals: new Map(),
  freed: new Map(),
  rings: new Map(),
  pools: new Map(),
  limits: { vips: 32, pools: 16, reals: 64, ...limits },
});

const addressArb = fc.integer({ min: 1, max: 12 }).map((i) => `10.0.0.${i}`);

function poolArb(name: string): fc.Arbitrary<TargetPool> {
  return fc
    .uniqueArray(fc.record({ address: addressArb, weight: fc.integer({ min: 0, max: 3 }) }), {
      maxLength: 6,
      selector: (r) => r.address,
    })
    .map((reals) => {
      const sorted = reals.toSorted((a, b) => (a.address < b.address ? -1 : 1));
      return {
        name,
        ring: sorted.filter((r) => r.weight > 0),
        reals: sorted.map((r) => r.address),
        floor: false,
      };
    });
}

const poolNames = ['a', 'b', 'c', 'd'];

const targetArb: fc.Arbitrary<Target> = fc
  .subarray(poolNames)
  .chain((names) =>
    fc.record({
      pools: fc.tuple(...names.map(poolArb)),
      vips:
        names.length === 0
          ? fc.constant<Omit<Vip, 'name'>[]>([])
          : fc.array(
              fc.record({
                address: fc.constantFrom('192.0.2.1', '192.0.2.2'),
                port: fc.constantFrom(0, 80, 443),
                protocol: fc.constantFrom('tcp' as const, 'udp' as const),
                pool: fc.constantFrom(...names),
              }),
              { maxLength: 6 },
            ),
      seed: fc.constantFrom('00', '01'),
    }),
  )
  .map(({ pools, vips, seed }) => ({
    seed,
    settings,
    pools: new Map(pools.map((pool) => [pool.name, pool])),
    vips: new Map<VipId, Vip>(vips.map((vip) => [vipId(vip), { name: vipId(vip), ...vip }])),
  }));

/** What a packet could meet: every VIP has a ring, every slot of it a real of the right pool, every address is known. */
function assertSound(observed: Observed, known: ReadonlyMap<string, string>): void {
  for (const [id, vip] of observed.vips) {
    const [address, , protocol] = id.split('|') as [string, string, 'tcp' | 'udp'];
    expect(observed.addresses.get(address)?.has(protocol), `address of ${id} is served`).toBe(true);
    const signature = observed.rings.get(vip.pool);
    expect(signature, `ring of ${id}`).toBeDefined();
    for (const member of known.get(signature ?? '')?.split(',') ?? []) {
      if (member === '') continue;
      const [, real, number] = /^(.*)\*\d+=(\d+)$/.exec(member) ?? [];
      expect(observed.reals.get(Number(number)), `real ${member} of ${id}`).toMatchObject({
        address: real,
        pool: vip.pool,
      });
    }
  }
}

function run(targets: readonly Target[], observed: Observed, check: (o: Observed, op: MapOp) => void): Observed {
  let now = observed;
  for (const target of targets) {
    for (const op of plan(target, now)) {
      const next = applied(now, [op]);
      check(next, op);
      now = next;
    }
    expect(plan(target, now)).toEqual([]);
  }
  return now;
}

describe('plan', () => {
  it('leaves no VIP without ring or real after any prefix, and a second plan is empty', () => {
    fc.assert(
      fc.property(fc.array(targetArb, { minLength: 1, maxLength: 6 }), (targets) => {
        const members = new Map<string, string>();
        run(targets, empty(), (observed, op) => {
          if (op.op === 'swap-rings')
            for (const { pool } of op.rings) {
              const signature = observed.rings.get(pool) ?? '';
              members.set(signature, signature.slice(signature.indexOf(':') + 1));
            }
          assertSound(observed, members);
        });
      }),
      { numRuns: 300 },
    );
  });

  it('never makes a VIP that stays disappear for a moment', () => {
    fc.assert(
      fc.property(targetArb, targetArb, (first, second) => {
        const before = run([first], empty(), () => {});
        run([second], before, (observed) => {
          for (const id of first.vips.keys()) if (second.vips.has(id)) expect(observed.vips.has(id)).toBe(true);
        });
      }),
    );
  });

  it('swaps all rings of a reconcile in one operation', () => {
    fc.assert(
      fc.property(targetArb, targetArb, (first, second) => {
        const before = run([first], empty(), () => {});
        expect(plan(second, before).filter((op) => op.op === 'swap-rings').length).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('gives a number that was used before only under a new generation', () => {
    fc.assert(
      fc.property(fc.array(targetArb, { minLength: 2, maxLength: 8 }), (targets) => {
        const last = new Map<number, number>();
        const live = new Set<number>();
        run(targets, empty(), (_, op) => {
          if (op.op === 'put-real') {
            expect(live.has(op.number)).toBe(false);
            if (last.has(op.number)) expect(op.real.generation).not.toBe(last.get(op.number));
            last.set(op.number, op.real.generation);
            live.add(op.number);
          } else if (op.op === 'void-real') {
            expect(op.generation).not.toBe(last.get(op.number));
            live.delete(op.number);
          }
        });
      }),
    );
  });

  it('reuses the numbers with the lowest generation first', () => {
    const pool = (address: string): Target => ({
      seed: '00',
      settings,
      vips: new Map(),
      pools: new Map([['a', { name: 'a', ring: [{ address, weight: 1 }], reals: [address], floor: false }]]),
    });
    const used: number[] = [];
    run(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'].map(pool), empty({ reals: 4 }), (_, op) => {
      if (op.op === 'put-real') used.push(op.number);
    });
    expect(used).toEqual([1, 2, 3, 1]);
  });

  it('keeps the number, and so the flows, of a real that leaves the ring and comes back', () => {
    const target = (ring: boolean): Target => ({
      seed: '00',
      settings,
      vips: new Map(),
      pools: new Map([
        ['a', { name: 'a', ring: ring ? [{ address: '10.0.0.1', weight: 1 }] : [], reals: ['10.0.0.1'], floor: false }],
      ]),
    });
    const ops: string[] = [];
    run([target(true), target(false), target(true)], empty(), (_, op) => void ops.push(op.op));
    expect(ops.filter((op) => op === 'put-real')).toHaveLength(1);
    expect(ops).not.toContain('void-real');
  });

  it('swaps a ring that somebody else put into place', () => {
    const target: Target = {
      seed: '00',
      settings,
      vips: new Map(),
      pools: new Map([['a', { name: 'a', ring: [], reals: [], floor: false }]]),
    };
    const observed = run([target], empty(), () => {});
    const changed: Observed = { ...observed, rings: new Map([[0, 'not ours: 17']]) };
    expect(plan(target, changed).map((op) => op.op)).toEqual(['swap-rings']);
  });

  it('says which map is full, of how many, and what to do', () => {
    const target: Target = {
      seed: '00',
      settings,
      vips: new Map(),
      pools: new Map([['a', { name: 'a', ring: [], reals: ['10.0.0.1', '10.0.0.2'], floor: false }]]),
    };
    expect(() => plan(target, empty({ reals: 2 }))).toThrowError(
      expect.objectContaining({
        code: 'PF_MAP_FULL',
        message: 'reals holds 1 entries while adding real 10.0.0.2 of pool a',
        fix: expect.stringContaining('limits.reals'),
      }),
    );
  });
});
