import { execFileSync } from 'node:child_process';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Directory, MapOp, Observed, RealRecord, RingSpec, VipId } from '../../src/core/data-plane.ts';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import { PilotfishError } from '../../src/core/errors.ts';
import { applied } from '../../src/core/observed.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { Target } from '../../src/core/target.ts';
import { decode, encode, indexKey } from '../../src/dataplane/codec.ts';
import {
  eventNames,
  readEvents,
  readReasons,
  readTraffic,
  reasonNames,
  trafficMaps,
} from '../../src/dataplane/counters.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import type { MapStore } from '../../src/dataplane/map-store.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { tableSize } from '../../src/dataplane/perfect-hash.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { encodeReal } from '../../src/dataplane/records.ts';
import { RingImage } from '../../src/dataplane/ring-image.ts';
import { found, meant } from '../support/directory-meaning.ts';
import { findDestination, findServerId } from '../support/look-up.ts';
import { plainOptions } from '../support/model.ts';
import { settings, target } from '../support/program-bench.ts';

/** One contract for the maps of the kernel and the ones in memory: what is proven over the latter holds in the former. */

const sizes = { vips: 4, pools: 3, reals: 6, clients: 8, serverIds: 8, flowsPerCpu: 8 };

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
  return new RingImage(Uint8Array.from((JSON.parse(dump) as { value: string[] }).value, Number)).reals();
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
      vip_traffic: vips,
      rings: 2 * sizes.pools,
      reals,
      real_traffic: reals,
      prefixes: vips + 2 * sizes.clients,
    });
    return { store, slots: (pool) => store.slots(pool) };
  },
};

const near = [{ prefix: '198.51.100.0/24', pool: 'dns' }];
const goals: Readonly<Record<string, Target>> = {
  one: target({ '192.0.2.10|80|tcp': 'web' }, { web: ['10.0.0.1', '10.0.0.2'] }),
  more: target(
    {
      '192.0.2.10|80|tcp': { pool: 'web', clients: near },
      '192.0.2.0/24|0|udp': 'dns',
      '192.0.2.11|443|tcp': 'web',
    },
    { web: ['10.0.0.2', '10.0.0.3'], dns: ['10.0.0.3'] },
    {},
    { tunnels: [{ address: '203.0.113.1', guePort: 6080 }], ids: { web: { 7: 'web|10.0.0.2' } } },
  ),
  moved: target({ '192.0.2.10|80|tcp': 'dns', '192.0.2.10|0|udp': 'dns' }, { dns: ['10.0.0.3', '10.0.0.4'] }),
  otherWay: target(
    { '192.0.2.10|80|tcp': 'dns', '192.0.2.10|0|udp': 'dns' },
    { dns: ['10.0.0.3', '10.0.0.4'] },
    {},
    { encap: { kind: 'gue', port: 6080, checksum: false } },
  ),
  empty: target({ '192.0.2.10|80|tcp': 'web' }, { web: [] }, { outerV4: '10.99.0.0/24', mtu: 9000 }),
  other: target({ '192.0.2.12|1|tcp': 'x', '2001:db8::/32|2|tcp': 'y' }, { x: ['10.0.0.1'], y: ['10.0.0.1'] }),
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

const real: RealRecord = { address: '10.0.0.1', pool: 0, generation: 0, encap: { kind: 'ipip' } };

const plain = {
  number: 0,
  pool: 0,
  ...plainOptions,
} as const;

function directoryOf(...ids: readonly VipId[]): Directory {
  return { vips: new Map(ids.map((id, number) => [id, { ...plain, number }])), tunnels: [], own: [] };
}

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
      directory: null,
      directorySound: false,
      serverIds: null,
      reals: new Map(),
      freed: new Map(),
      rings: new Map(),
      pools: new Map(),
      limits: { vips: 2 * sizes.vips, pools: 2 * sizes.pools, reals: 2 * sizes.reals + 1, serverIds: 512 },
    };
    expect(dataPlane.observe()).toEqual(none);
  });

  it('reads back after every operation what the operation says, and then nothing is left to do', async () => {
    const way = [
      'one',
      'more',
      'moved',
      'otherWay',
      'empty',
      'other',
      'nothing',
      'more',
      'one',
      'other',
      'moved',
      'nothing',
    ];
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
    const reals = ['2001:db8::1', '32.1.13.184'].map((address) => ({ ...real, address, pool: 5, generation: 127 }));
    for (const [i, record] of reals.entries())
      await dataPlane.apply({ op: 'put-real', number: i + 1, real: record, fresh: true });
    const directory = directoryOf('2001:db8::|80|tcp', '32.1.13.184|81|tcp');
    await dataPlane.apply({ op: 'swap-directory', directory, fresh: [] });
    expect([...dataPlane.observe().reals.values()]).toEqual(reals);
    const numbers = (['2001:db8::', '32.1.13.184'] as const).map((address) =>
      [80, 81].map((port) => findDestination(store, address, port, 6)?.port),
    );
    expect(numbers).toEqual([
      [80, 0],
      [0, 81],
    ]);
  });

  it.each<RealRecord['encap']>([
    { kind: 'ipip' },
    { kind: 'gue', port: 6080, checksum: true },
    { kind: 'gue', port: 65_535, checksum: false },
    { kind: 'l2', mac: '02:00:00:00:00:2a' },
    { kind: 'l2', mac: '00:00:00:00:00:00' },
    { kind: 'local' },
  ])('keeps how a real is reached: %o', async (encap) => {
    await dataPlane.apply({ op: 'put-real', number: 3, real: { ...real, encap }, fresh: true });
    expect(dataPlane.observe().reals).toEqual(new Map([[3, { ...real, encap }]]));
    await dataPlane.apply({ op: 'void-real', number: 3, generation: 4 });
    expect(dataPlane.observe()).toMatchObject({ reals: new Map(), freed: new Map([[3, 4]]) });
  });

  it('gives a real its MAC address before its encap asks for one', async () => {
    const l2: RealRecord = { ...real, encap: { kind: 'l2', mac: '02:00:00:00:00:2a' } };
    await dataPlane.apply({ op: 'put-real', number: 3, real: { ...real, encap: { kind: 'ipip' } }, fresh: true });
    const put = vi.spyOn(store, 'put');
    await dataPlane.apply({ op: 'put-real', number: 3, real: l2, fresh: false });
    const values = put.mock.calls.map(([, , value]) => decode('pf_real', value));
    const before = decode('pf_real', encodeReal({ ...real, encap: { kind: 'ipip' } }));
    expect(values).toEqual([{ ...before, mac: [2, 0, 0, 0, 0, 0x2a] }, decode('pf_real', encodeReal(l2))]);
  });

  it('has the program find every destination, and every id, where they are', async () => {
    await converge(dataPlane, goals.more as Target);
    const { directory, serverIds } = dataPlane.observe();
    expect(found(store)).toEqual(meant(directory as Directory, store.tickMs));
    for (const [key, number] of serverIds ?? []) {
      const [pool = 0, id = 0] = key.split('|').map(Number);
      expect(findServerId(store, pool, id)).toBe(number);
    }
    expect(serverIds?.size).toBe(1);
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
    store.put('address_filter', indexKey(0), new Uint8Array(8_192));
    const settings = decode('pf_settings', store.get('settings', indexKey(0))!);
    store.put('settings', indexKey(0), encode('pf_settings', { ...settings, room: settings.mtu - 1 }));
    for (const [keys] of [...store.entries('prefixes')].slice(0, 1))
      await store.deleteMany('prefixes', { keys, values: new Uint8Array(4), count: 1 });
    const reals = [...store.entries('reals')];
    const [number] = wanted.reals.keys();
    const real = store.get('reals', indexKey(number ?? 0))!;
    const { address_sum, ...rest } = decode('pf_real', real);
    store.put('reals', indexKey(number ?? 0), encode('pf_real', { ...rest, address_sum: address_sum ^ 1 }));
    await store.swapTable(
      'server_ids',
      new Uint8Array(tableSize(store.tableSize('server_ids'), structs.pf_server_id.size)),
    );
    await store.removeRings([0]);
    await converge(dataPlane, goals.more as Target);
    expect(dataPlane.observe()).toEqual(wanted);
    expect([...store.entries('reals')]).toEqual(reals);
    expect(found(store)).toEqual(meant(wanted.directory as Directory, store.tickMs));
  });

  it.each(['settings', 'address_filter', 'reals', 'vip_traffic'] as const)('refuses what does not fit %s', (map) => {
    const good = store.get(map, indexKey(0))!;
    const thrown = (call: () => unknown): unknown => {
      try {
        call();
      } catch (error) {
        return error;
      }
      throw new Error('it was taken');
    };
    for (const [key, value] of [
      [new Uint8Array(2), good],
      [new Uint8Array(8), good],
      [indexKey(0), good.slice(1)],
    ] as const)
      expect(thrown(() => store.put(map, key, value))).toMatchObject({ code: 'PF_MAP' });
    expect(thrown(() => store.put(map, indexKey(store.maxEntries(map)), good))).toMatchObject({ code: 'PF_MAP_FULL' });
    expect(store.get(map, indexKey(store.maxEntries(map)))).toBeNull();
    expect(store.get(map, indexKey(0))).toEqual(good);
  });

  it('resets counters of a number that is given out, and of no other', async () => {
    const onEachCpu = (one: Uint8Array) => Buffer.concat(new Array(store.cpus).fill(one));
    const hits = onEachCpu(encode('pf_hits', { bytes: 200n, packets: 2n }));
    const others = onEachCpu(encode('pf_traffic', { bytes: 300n, unused: 3n, new_flows: 1n, misses: 4n }));
    for (const number of [1, 2])
      for (const maps of Object.values(trafficMaps)) {
        store.put(maps.hits, indexKey(number), hits);
        store.put(maps.others, indexKey(number), others);
      }
    const full = Object.fromEntries(
      Object.entries({ packets: 10n, bytes: 500n, newFlows: 1n, hits: 2n, misses: 4n }).map(([name, count]) => [
        name,
        count * BigInt(store.cpus),
      ]),
    );
    const zero = { packets: 0n, bytes: 0n, newFlows: 0n, hits: 0n, misses: 0n };
    await dataPlane.apply({ op: 'put-real', number: 1, real, fresh: true });
    await dataPlane.apply({ op: 'put-real', number: 2, real, fresh: false });
    await dataPlane.apply({ op: 'swap-directory', directory: directoryOf('192.0.2.1|80|tcp'), fresh: [1] });
    for (const of of ['real', 'vip'] as const)
      expect([1, 2].map((number) => readTraffic(store, of, number))).toEqual([zero, full]);
  });

  it('counts nothing before the first packet', () => {
    expect(readReasons(store)).toEqual(Object.fromEntries(reasonNames.map((name) => [name, 0n])));
    expect(readEvents(store)).toEqual(Object.fromEntries(eventNames.map((name) => [name, 0n])));
  });

  it('says what is full, and how full, and changes nothing', async () => {
    const directory = directoryOf('192.0.2.1|80|tcp');
    await dataPlane.apply({ op: 'swap-directory', directory, fresh: [] });
    const before = dataPlane.observe();
    const places = store.tableSize('directory');
    const ids = Array.from({ length: places }, (_, i): VipId => `192.0.2.1|${i + 1}|tcp`);
    const error = await failureOf(dataPlane.apply({ op: 'swap-directory', directory: directoryOf(...ids), fresh: [] }));
    expect(error).toMatchObject({ code: 'PF_MAP_FULL', fix: expect.stringContaining('limits.vips') });
    expect(error.message).toContain(`needs more than ${places} entries`);
    expect(dataPlane.observe()).toEqual(before);
  });

  it('refuses more prefixes than the map has room for, and is put right afterwards', async () => {
    const room = store.maxEntries('prefixes');
    const clients = Array.from({ length: room + 1 }, (_, i) => ({ prefix: `10.${i >> 8}.${i & 255}.0/24`, pool: 1 }));
    const id = '192.0.2.1|80|tcp';
    const many: Directory = { vips: new Map([[id, { ...plain, clients }]]), tunnels: [], own: [] };
    const error = await failureOf(dataPlane.apply({ op: 'swap-directory', directory: many, fresh: [] }));
    expect(error.code).toBe('PF_MAP_FULL');
    const few: Directory = { vips: new Map([[id, { ...plain, clients: clients.slice(1) }]]), tunnels: [], own: [] };
    await dataPlane.apply({ op: 'swap-directory', directory: few, fresh: [] });
    expect(dataPlane.observe().directory).toEqual(few);
    expect([...store.entries('prefixes')]).toHaveLength(room);
  });

  it('refuses a number beyond the map', async () => {
    const error = await failureOf(dataPlane.apply({ op: 'put-real', number: 2 * sizes.reals + 1, real, fresh: true }));
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
