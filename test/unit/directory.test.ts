import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { Directory, ServerIdKey, VipId, VipRecord } from '../../src/core/data-plane.ts';
import { PilotfishError } from '../../src/core/errors.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { decode, indexKey } from '../../src/dataplane/codec.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { FaultyMapStore } from '../../src/dataplane/faulty-store.ts';
import type { Entries, MapName, TableName, TrieName } from '../../src/dataplane/map-store.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { directoryArb } from '../support/directory-arb.ts';
import { found, meant } from '../support/directory-meaning.ts';
import { findDestination, findServerId } from '../support/look-up.ts';
import { plainOptions } from '../support/model.ts';

const plain: VipRecord = {
  number: 0,
  pool: 0,
  ...plainOptions,
};

function directoryOf(vips: Readonly<Record<VipId, Partial<VipRecord>>>, rest: Partial<Directory> = {}): Directory {
  const records = (Object.entries(vips) as [VipId, Partial<VipRecord>][]).map(
    ([id, what]) => [id, { ...plain, ...what }] as const,
  );
  return { vips: new Map(records), tunnels: [], own: [], ...rest };
}

const nothing = directoryOf({});

/** Calls back after each change that a packet could see. */
class WatchedMaps extends MemoryMapStore {
  onChange: () => void = () => {};

  override put(map: MapName, key: Uint8Array, value: Uint8Array): void {
    super.put(map, key, value);
    this.onChange();
  }

  /** One after the other, as in the kernel. */
  override async deleteMany(map: TrieName, { keys, values, count }: Entries): Promise<void> {
    for (let i = 0; i < count; i++) {
      const key = keys.subarray((i * keys.length) / count, ((i + 1) * keys.length) / count);
      await super.deleteMany(map, { keys: key, values, count: 1 });
      this.onChange();
    }
  }

  override async swapTable(table: TableName, bytes: Uint8Array): Promise<number> {
    const id = await super.swapTable(table, bytes);
    this.onChange();
    return id;
  }
}

const swap = (directory: Directory) => ({ op: 'swap-directory', directory, fresh: [] }) as const;

describe('a directory', () => {
  it('means in the maps what it says', async () => {
    await fc.assert(
      fc.asyncProperty(directoryArb, async (directory) => {
        const store = new MemoryMapStore();
        const dataPlane = new MapDataPlane(store, new RingBuilder());
        await dataPlane.apply(swap(directory));
        expect(found(store)).toEqual(meant(directory, store.tickMs));
        expect(dataPlane.observe().directory).toEqual(directory);
      }),
      { numRuns: 100 },
    );
  });

  it('takes the place of another at one moment for all packets, and leaves nothing of it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(directoryArb, { minLength: 2, maxLength: 4 }), async (directories) => {
        const store = new WatchedMaps();
        const dataPlane = new MapDataPlane(store, new RingBuilder());
        let before = nothing;
        for (const directory of directories) {
          const allowed = [before, directory].map((d) => JSON.stringify(meant(d, store.tickMs)));
          store.onChange = () => {
            const now = JSON.stringify(found(store));
            expect(allowed).toContain(now);
            if (now === allowed[1]) allowed[0] = now;
          };
          await dataPlane.apply(swap(directory));
          expect(JSON.stringify(found(store))).toBe(allowed[1]);
          before = directory;
        }
        store.onChange = () => {};
        const fresh = new MemoryMapStore();
        await new MapDataPlane(fresh, new RingBuilder()).apply(swap(before));
        expect(store.get('address_filter', indexKey(0))).toEqual(fresh.get('address_filter', indexKey(0)));
        expect([...store.entries('prefixes')].length).toBe([...fresh.entries('prefixes')].length);
      }),
      { numRuns: 12 },
    );
  });

  it('is right in the end whatever fails on the way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(directoryArb, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1 }),
        async (directories, seed) => {
          const maps = new MemoryMapStore();
          const faulty = new FaultyMapStore(maps, seed, 0.3);
          const dataPlane = new MapDataPlane(faulty, new RingBuilder());
          for (const directory of directories) await dataPlane.apply(swap(directory)).catch(() => {});
          faulty.rate = 0;
          const last = directories.at(-1) ?? nothing;
          const { directory, directorySound } = dataPlane.observe();
          if (directory !== last || !directorySound) await dataPlane.apply(swap(last));
          expect(found(maps)).toEqual(meant(last, maps.tickMs));
          expect(dataPlane.observe()).toMatchObject({ directory: last, directorySound: true });
        },
      ),
      { numRuns: 100 },
    );
  });

  const clients = [{ prefix: '198.51.100.0/24', pool: 3 }];
  const prefixed = directoryOf({ '192.0.2.0/24|80|tcp': { clients }, '203.0.113.1|443|tcp': {} });

  const changes: readonly [string, (store: MemoryMapStore) => unknown][] = [
    ['a byte of the table', (store) => void changeTable(store, 'directory')],
    [
      'a bit of the filter',
      (store) => store.put('address_filter', indexKey(0), store.get('address_filter', indexKey(0))!.with(9, 0)),
    ],
    ['a prefix more', (store) => store.put('prefixes', new Uint8Array(24).fill(1), indexKey(7))],
    [
      'a prefix less',
      (store) => {
        const [keys, values] = [...store.entries('prefixes')][0]!;
        return store.deleteMany('prefixes', { keys, values, count: 1 });
      },
    ],
    ['the pool of a client', (store) => store.put('prefixes', [...store.entries('prefixes')][1]![0], indexKey(7))],
  ];

  async function changeTable(store: MemoryMapStore, table: TableName): Promise<void> {
    const bytes = store.tableBytes(table)!;
    bytes[3]! ^= 1;
    await store.swapTable(table, bytes);
  }

  it.each(changes)('is not sound when somebody changed %s, and is put right', async (_what, change) => {
    const store = new MemoryMapStore();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    await dataPlane.apply(swap(prefixed));
    expect(dataPlane.observe()).toMatchObject({ directory: prefixed, directorySound: true });
    await change(store);
    expect(dataPlane.observe().directorySound).toBe(false);
    await dataPlane.apply(swap(prefixed));
    expect(dataPlane.observe()).toMatchObject({ directory: prefixed, directorySound: true });
    expect(found(store)).toEqual(meant(prefixed, store.tickMs));
  });

  it('is none of its own when somebody put another one there', async () => {
    const store = new MemoryMapStore();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    await dataPlane.apply(swap(prefixed));
    await store.swapTable('directory', store.tableBytes('directory')!);
    expect(dataPlane.observe().directory).toBeNull();
  });

  it('is still known, and so are the numbers of its VIPs, when a change of it failed half way', async () => {
    const store = new MemoryMapStore();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    const few = directoryOf({ '203.0.113.1|443|tcp': {} });
    await dataPlane.apply(swap(few));
    const broken = vi.spyOn(store, 'swapTable').mockRejectedValue(new Error('no memory'));
    const more = directoryOf({ '203.0.113.9|80|tcp': {} });
    await expect(dataPlane.apply(swap(more))).rejects.toThrow('no memory');
    broken.mockRestore();
    expect(dataPlane.observe()).toMatchObject({ directory: few, directorySound: false });
  });

  it('keeps the scope of clients that did not change, and has equal lists share one', async () => {
    const store = new MemoryMapStore();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    const scopes = (): number[] =>
      [...store.entries('prefixes')].map(([key]) => decode('pf_prefix_key', key).scope).filter((scope) => scope > 1);
    await dataPlane.apply(swap(directoryOf({ '192.0.2.1|80|tcp': { clients } })));
    const [first] = scopes();
    const other = [{ prefix: '10.0.0.0/8', pool: 1 }];
    const twice = { '192.0.2.1|80|tcp': { clients: [...clients] }, '192.0.2.2|80|tcp': { clients } };
    await dataPlane.apply(swap(directoryOf({ ...twice, '192.0.2.3|80|tcp': { clients: other } })));
    expect(scopes()).toHaveLength(2);
    expect(scopes()).toContain(first);
    await dataPlane.apply(swap(directoryOf({ '192.0.2.3|80|tcp': { clients: other } })));
    expect(scopes()).toHaveLength(1);
    expect(scopes()).not.toContain(first);
  });

  it('says which limit to raise when it does not fit, and changes nothing', async () => {
    const store = new MemoryMapStore({ directory: 16 });
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    await dataPlane.apply(swap(directoryOf({ '192.0.2.1|80|tcp': {} })));
    const before = found(store);
    const many = Array.from({ length: 15 }, (_, i) => [`192.0.2.1|${i + 1}|tcp`, {}] as const);
    const error: unknown = await dataPlane.apply(swap(directoryOf(Object.fromEntries(many)))).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(PilotfishError);
    expect(error).toMatchObject({
      code: 'PF_MAP_FULL',
      message: 'the directory of VIPs needs more than 16 entries, which do not fit into a table of 16',
      fix: expect.stringContaining('limits.vips'),
    });
    expect(found(store)).toEqual(before);
    expect(dataPlane.observe().directory).not.toBeNull();
  });

  it('stops where prefixes ask for millions of entries, and says that no larger table would help', async () => {
    const dataPlane = new MapDataPlane(new MemoryMapStore({ directory: 65_536 }), new RingBuilder());
    const ports = Array.from({ length: 2_000 }, (_, i) => [`192.0.0.0/16|${i + 1}|tcp`, {}] as const);
    const inside = Array.from({ length: 2_000 }, (_, i) => [`192.0.${i >> 8}.${i & 255}|80|tcp`, {}] as const);
    const millions = directoryOf(Object.fromEntries([...ports, ...inside]));
    await expect(dataPlane.apply(swap(millions))).rejects.toMatchObject({
      code: 'PF_MAP_FULL',
      message:
        'the directory of VIPs needs more than 65536 entries, which do not fit into the largest table that there is, one of 65536',
      fix: 'use fewer ports on prefixes, or fewer VIPs and tunnels inside of them',
    });
  });

  it('takes the place of another where both fit, but not with what prefixes of one inherit from the other', async () => {
    const store = new WatchedMaps();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    const inside = Array.from({ length: 100 }, (_, i) => [`192.0.2.${i}/31|80|udp`, {}] as const);
    const narrow = Object.fromEntries([...inside.filter((_, i) => i % 2 === 0), ['203.0.113.1|443|tcp', {}]]);
    const ports = Array.from({ length: 300 }, (_, i) => [`192.0.0.0/16|${i + 1}|tcp`, {}] as const);
    const wide = Object.fromEntries([...ports, ['203.0.113.1|443|tcp', { number: 9 }]]);
    await dataPlane.apply(swap(directoryOf(narrow)));
    for (const next of [wide, narrow, wide]) {
      const seen = new Set<number | undefined>();
      store.onChange = () => void seen.add(findDestination(store, '203.0.113.1', 443, 6)?.number);
      await dataPlane.apply(swap(directoryOf(next)));
      expect(found(store)).toEqual(meant(directoryOf(next), store.tickMs));
      // What both have is there all the time.
      expect(seen.has(undefined)).toBe(false);
      expect(seen.size).toBeGreaterThan(0);
    }
    expect([...store.entries('prefixes')]).toHaveLength(1);
  });
});

describe('the table of server ids', () => {
  const idsArb = fc
    .uniqueArray(fc.tuple(fc.nat(9), fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 1, max: 65_535 })), {
      maxLength: 200,
      selector: ([pool, id]) => `${pool}|${id}`,
    })
    .map((ids) => new Map(ids.map(([pool, id, real]): [ServerIdKey, number] => [`${pool}|${id}`, real])));

  it('leads each id of each pool to its real, and no other id to any', async () => {
    await fc.assert(
      fc.asyncProperty(idsArb, async (serverIds) => {
        const store = new MemoryMapStore();
        const dataPlane = new MapDataPlane(store, new RingBuilder());
        await dataPlane.apply({ op: 'swap-server-ids', serverIds });
        for (const [key, real] of serverIds) {
          const [pool = 0, id = 0] = key.split('|').map(Number);
          expect(findServerId(store, pool, id)).toBe(real);
          expect(findServerId(store, pool + 10, id)).toBe(0);
        }
        expect(findServerId(store, 10, 0)).toBe(0);
        expect(dataPlane.observe().serverIds).toEqual(serverIds);
      }),
    );
  });

  it('is none of its own when somebody changed it', async () => {
    const store = new MemoryMapStore();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    expect(dataPlane.observe().serverIds).toBeNull();
    const serverIds = new Map<ServerIdKey, number>([['1|7', 3]]);
    await dataPlane.apply({ op: 'swap-server-ids', serverIds });
    await store.swapTable('server_ids', store.tableBytes('server_ids')!);
    expect(dataPlane.observe().serverIds).toBeNull();
  });

  it('says that no larger one would help when it is the largest', async () => {
    const dataPlane = new MapDataPlane(new MemoryMapStore({ server_ids: 65_536 }), new RingBuilder());
    const serverIds = new Map(Array.from({ length: 65_537 }, (_, id): [ServerIdKey, number] => [`0|${id}`, 1]));
    await expect(dataPlane.apply({ op: 'swap-server-ids', serverIds })).rejects.toMatchObject({
      code: 'PF_MAP_FULL',
      fix: 'remove server ids, or pools from clients of VIPs that look for ids',
    });
  });

  it('says which limit to raise when it does not fit', async () => {
    const dataPlane = new MapDataPlane(new MemoryMapStore({ server_ids: 4 }), new RingBuilder());
    const serverIds = new Map(Array.from({ length: 5 }, (_, id): [ServerIdKey, number] => [`0|${id}`, 1]));
    await expect(dataPlane.apply({ op: 'swap-server-ids', serverIds })).rejects.toMatchObject({
      code: 'PF_MAP_FULL',
      fix: expect.stringContaining('limits.serverIds'),
    });
  });
});
