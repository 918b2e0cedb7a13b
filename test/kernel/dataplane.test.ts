import { execFileSync } from 'node:child_process';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { MapOp, Observed, RingSpec, VipRecord } from '../../src/core/data-plane.ts';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import { PilotfishError } from '../../src/core/errors.ts';
import { applied } from '../../src/core/observed.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { Target } from '../../src/core/target.ts';
import { encode, indexKey } from '../../src/dataplane/codec.ts';
import { readReasons, readTraffic, reasonNames } from '../../src/dataplane/counters.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import type { MapStore } from '../../src/dataplane/map-store.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { settings, target } from '../support/program-bench.ts';

/** One contract for the maps of the kernel and the ones in memory: what is proven over the latter holds in the former. */

const sizes = { vips: 4, pools: 3, reals: 6, flowsPerCpu: 8 };

interface Kind {
  readonly name: string;
  make(): Promise<{ store: MapStore; slots(pool: number): Uint16Array | null }>;
}

/** The kernel’s own view of a ring, by a tool that shares no code with the agent. */
function dumpRing(id: number): Uint16Array {
  const key = ['key', '0', '0', '0', '0'];
  const dump = execFileSync('bpftool', ['-j', 'map', 'lookup', 'id', String(id), ...key], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  const bytes = Uint8Array.from((JSON.parse(dump) as { value: string[] }).value, Number);
  return new Uint16Array(bytes.buffer);
}

const kernel: Kind = {
  name: 'the kernel’s maps',
  make: async () => {
    const { object, store } = await loadProgram(sizes);
    onTestFinished(() => object.close());
    const slots = (pool: number): Uint16Array | null => {
      const id = store.ringIds().get(pool);
      return id === undefined ? null : dumpRing(id);
    };
    return { store, slots };
  },
};

const memory: Kind = {
  name: 'maps in memory',
  make: async () => {
    const reals = 2 * sizes.reals + 1;
    const vips = 2 * sizes.vips;
    const store = new MemoryMapStore({
      vips,
      vip_addresses: vips,
      vip_traffic: vips,
      rings: 2 * sizes.pools,
      reals,
      real_traffic: reals,
      reasons: reasonNames.length,
    });
    return { store, slots: (pool) => store.slots(pool) };
  },
};

const goals: Readonly<Record<string, Target>> = {
  one: target({ '192.0.2.10|80|tcp': 'web' }, { web: ['10.0.0.1', '10.0.0.2'] }),
  more: target(
    { '192.0.2.10|80|tcp': 'web', '192.0.2.10|0|udp': 'dns', '192.0.2.11|443|tcp': 'web' },
    { web: ['10.0.0.2', '10.0.0.3'], dns: ['10.0.0.3'] },
  ),
  moved: target({ '192.0.2.10|80|tcp': 'dns', '192.0.2.10|0|udp': 'dns' }, { dns: ['10.0.0.3', '10.0.0.4'] }),
  empty: target({ '192.0.2.10|80|tcp': 'web' }, { web: [] }, { outerV4: '10.99.0.0/24', mtu: 9000 }),
  other: target({ '192.0.2.12|1|tcp': 'x', '192.0.2.12|2|tcp': 'y' }, { x: ['10.0.0.1'], y: ['10.0.0.1'] }),
  nothing: target({}, {}),
};

async function converge(dataPlane: MapDataPlane, goal: Target): Promise<readonly MapOp[]> {
  const ops = plan(goal, dataPlane.observe());
  for (const op of ops) await dataPlane.apply(op);
  return ops;
}

async function failureOf(promise: Promise<unknown>): Promise<PilotfishError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof PilotfishError) return error;
  throw new Error(`expected a PilotfishError, got ${String(error)}`);
}

const vip = (last: number) =>
  ({ name: 'v', address: `192.0.2.${last}`, port: 80, protocol: 'tcp', pool: 'web' }) as const;
const record: VipRecord = { number: 0, pool: 0 };

describe.each([kernel, memory])('a data plane over $name', ({ make }) => {
  let store: MapStore;
  let slots: (pool: number) => Uint16Array | null;
  let dataPlane: MapDataPlane;

  beforeEach(async () => {
    ({ store, slots } = await make());
    dataPlane = new MapDataPlane(store, new RingBuilder());
  });

  it('begins empty, with the limits that were asked for', () => {
    const none: Observed = {
      settings: null,
      addresses: new Map(),
      vips: new Map(),
      reals: new Map(),
      freed: new Map(),
      rings: new Map(),
      pools: new Map(),
      limits: { vips: 2 * sizes.vips, pools: 2 * sizes.pools, reals: 2 * sizes.reals + 1 },
    };
    expect(dataPlane.observe()).toEqual(none);
  });

  it('reads back after every operation what the operation says, and then nothing is left to do', async () => {
    const way = ['one', 'more', 'moved', 'empty', 'other', 'nothing', 'more', 'one', 'other', 'moved', 'nothing'];
    for (const name of way) {
      const goal = goals[name] as Target;
      for (const op of plan(goal, dataPlane.observe())) {
        const expected = applied(dataPlane.observe(), [op]);
        await dataPlane.apply(op);
        expect(dataPlane.observe()).toEqual(expected);
      }
      expect(plan(goal, dataPlane.observe())).toEqual([]);
    }
  });

  it.each(['203.0.113.9/32', '10.0.0.0/8', '0.0.0.0/0', '128.0.0.0/1'])(
    'keeps an outer prefix of %s',
    async (outerV4) => {
      await dataPlane.apply({ op: 'settings', settings: { ...settings, outerV4 } });
      expect(dataPlane.observe().settings).toEqual({ ...settings, outerV4 });
    },
  );

  it('keeps IPv6 addresses apart from IPv4 ones', async () => {
    const real = { pool: 5, generation: 255 };
    await dataPlane.apply({ op: 'put-real', number: 1, real: { ...real, address: '2001:db8::1' } });
    await dataPlane.apply({ op: 'put-real', number: 2, real: { ...real, address: '32.1.13.184' } });
    await dataPlane.apply({ op: 'put-vip', vip: { ...vip(1), address: '2001:db8::2' }, record, fresh: true });
    await dataPlane.apply({ op: 'put-address', address: '2001:db8::2', protocols: new Set(['udp']) });
    const seen = dataPlane.observe();
    expect(seen.reals.get(1)).toEqual({ ...real, address: '2001:db8::1' });
    expect(seen.reals.get(2)).toEqual({ ...real, address: '32.1.13.184' });
    expect([...seen.vips.keys()]).toEqual(['2001:db8::2|80|tcp']);
    expect([...seen.addresses]).toEqual([['2001:db8::2', new Set(['udp'])]]);
  });

  it('puts into every slot the number of the real that the ring names', async () => {
    const spec: RingSpec = {
      seed: '70696c6f7466697368',
      members: [
        { address: '10.0.0.1', weight: 100, number: 7 },
        { address: '10.0.0.2', weight: 1, number: 12 },
        { address: '10.0.0.9', weight: 0, number: 3 },
      ],
    };
    await dataPlane.apply({
      op: 'swap-rings',
      rings: [
        { pool: 2, spec },
        { pool: 4, spec: { ...spec, members: [] } },
      ],
    });
    const { indexes } = new RingBuilder().ring(spec.seed, spec.members);
    expect(indexes?.length).toBe(RING_SLOTS);
    expect(slots(2)).toEqual(indexes?.map((index) => spec.members[index]?.number ?? 0));
    expect(slots(4)).toEqual(new Uint16Array(RING_SLOTS));
    expect(slots(0)).toBeNull();
  });

  it('replaces only the rings that are named, and removes only those', async () => {
    const ring = (pool: number, number: number) => ({
      pool,
      spec: { seed: '00', members: [{ address: '10.0.0.1', weight: 1, number }] },
    });
    await dataPlane.apply({ op: 'swap-rings', rings: [ring(0, 1), ring(1, 2), ring(5, 3)] });
    const before = store.ringIds();
    await dataPlane.apply({ op: 'swap-rings', rings: [ring(1, 4)] });
    const after = store.ringIds();
    expect([0, 1, 5].map((pool) => after.get(pool) === before.get(pool))).toEqual([true, false, true]);
    expect([0, 1, 5].map((pool) => slots(pool)?.[65_536])).toEqual([1, 4, 3]);
    await dataPlane.apply({ op: 'remove-pools', pools: [1, 5, 3] });
    expect([...store.ringIds().keys()]).toEqual([0]);
    await dataPlane.apply({ op: 'remove-pools', pools: [1] });
    expect([...dataPlane.observe().rings.keys()]).toEqual([0]);
  });

  it('calls a ring that it did not make none of its own, and plans it anew', async () => {
    await converge(dataPlane, goals.one as Target);
    await store.swapRings([{ pool: 0, fill: (foreign) => foreign.fill(1) }]);
    expect(dataPlane.observe().rings.get(0)).toMatch(/^not ours/);
    expect((await converge(dataPlane, goals.one as Target)).map(({ op }) => op)).toEqual(['swap-rings']);
  });

  it('repairs what somebody changed in the maps', async () => {
    await converge(dataPlane, goals.more as Target);
    const wanted = dataPlane.observe();
    for (const map of ['vips', 'vip_addresses'] as const)
      for (const [key] of [...store.entries(map)].slice(0, 1)) store.delete(map, key);
    await store.removeRings([0]);
    await converge(dataPlane, goals.more as Target);
    expect(dataPlane.observe()).toEqual(wanted);
  });

  it('resets counters of a number that is given out, and of no other', async () => {
    const one = new Uint8Array(16 * store.cpus);
    for (let cpu = 0; cpu < store.cpus; cpu++) one.set(encode('pf_traffic', { packets: 3n, bytes: 500n }), cpu * 16);
    for (const number of [1, 2]) {
      store.put('vip_traffic', indexKey(number), one);
      store.put('real_traffic', indexKey(number), one);
    }
    const full = { packets: BigInt(3 * store.cpus), bytes: BigInt(500 * store.cpus) };
    const zero = { packets: 0n, bytes: 0n };
    await dataPlane.apply({ op: 'put-real', number: 1, real: { address: '10.0.0.1', pool: 0, generation: 0 } });
    await dataPlane.apply({ op: 'put-vip', vip: vip(1), record: { number: 1, pool: 0 }, fresh: true });
    await dataPlane.apply({ op: 'put-vip', vip: vip(2), record: { number: 2, pool: 0 }, fresh: false });
    expect([1, 2].map((number) => readTraffic(store, 'real_traffic', number))).toEqual([zero, full]);
    expect([1, 2].map((number) => readTraffic(store, 'vip_traffic', number))).toEqual([zero, full]);
  });

  it('counts nothing before the first packet', () => {
    expect(readReasons(store)).toEqual(Object.fromEntries(reasonNames.map((name) => [name, 0n])));
  });

  it('says which map is full, and how full, and changes nothing', async () => {
    for (let last = 0; last < 2 * sizes.vips; last++)
      await dataPlane.apply({ op: 'put-vip', vip: vip(last), record, fresh: false });
    const before = dataPlane.observe();
    const error = await failureOf(dataPlane.apply({ op: 'put-vip', vip: vip(99), record, fresh: false }));
    expect(error.code).toBe('PF_MAP_FULL');
    expect(error.message).toMatch(/\bvips\b.*\b8\b/);
    expect(dataPlane.observe()).toEqual(before);
    await dataPlane.apply({ op: 'put-vip', vip: vip(0), record: { number: 1, pool: 2 }, fresh: false });
    expect(dataPlane.observe().vips.get('192.0.2.0|80|tcp')).toEqual({ number: 1, pool: 2 });
  });

  it('refuses a number beyond the map', async () => {
    const real = { address: '10.0.0.1', pool: 0, generation: 0 };
    const error = await failureOf(dataPlane.apply({ op: 'put-real', number: 2 * sizes.reals + 1, real }));
    expect(error.code).toBe('PF_MAP_FULL');
  });

  it('refuses a ring for a pool beyond the map, and forgets it', async () => {
    const { store } = await make();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    const before = dataPlane.observe();
    const rings = [{ pool: 2 * sizes.pools, spec: { seed: '00', members: [] } }];
    expect((await failureOf(dataPlane.apply({ op: 'swap-rings', rings }))).code).toBe('PF_MAP_FULL');
    expect(dataPlane.observe()).toEqual(before);
  });
});
