import { Changes } from './changes.ts';
import { indexKey, indexOf } from './codec.ts';
import { enums, maps, variables } from './layout.gen.ts';
import type { Entries, MapName, MapStore, RingFill, TableName, TrieName, VariableName } from './map-store.ts';
import { entryBytes } from './map-store.ts';
import type { BpfMap, BpfObject } from './native.ts';
import { createMap, possibleCpus, unmap } from './native.ts';
import { tableSize } from './perfect-hash.ts';
import { RING_BYTES, RingImage } from './ring-image.ts';
import { Settling } from './settling.ts';
import { Variable } from './variable.ts';

const BPF_F_MMAPABLE = 1 << 10;

/** How the object was loaded, as far as it does not say so itself. */
export interface LoadedSizes {
  /** Places of the tables. */
  readonly tables: Readonly<Record<TableName, number>>;
  /** Numbers of reals in use, 0 included. */
  readonly reals: number;
  readonly tickMs: number;
  readonly toLine: number;
}

/** The maps of a loaded program. */
export class KernelMapStore implements MapStore {
  readonly cpus = possibleCpus();
  readonly tickMs: number;
  readonly toLine: number;
  readonly #maps: ReadonlyMap<string, BpfMap>;
  readonly #variables: ReadonlyMap<string, Variable>;
  readonly #changes: Changes;
  readonly #tableSizes: Readonly<Record<TableName, number>>;
  /** Those that were put into place last. */
  readonly #tables = new Map<TableName, BpfMap>();
  readonly #settling = new Settling(({ memory }) => unmap(memory));
  /** Stands where a pool was removed; made when first needed. */
  #empty: BpfMap | undefined;

  /** @param object loaded */
  constructor(object: BpfObject, { tables, reals, tickMs, toLine }: LoadedSizes) {
    this.#maps = new Map(Object.keys(maps).map((name) => [name, object.map(name)]));
    const used: Record<VariableName, number> = { settings: 1, address_filter: 1, reals };
    this.#variables = new Map(
      (Object.keys(used) as VariableName[]).map((name) => [
        name,
        new Variable(name, variableOf(object, name), used[name]),
      ]),
    );
    this.#changes = new Changes(variableOf(object, 'changes'));
    this.#tableSizes = tables;
    this.tickMs = tickMs;
    this.toLine = toLine;
  }

  maxEntries(map: MapName | 'rings'): number {
    return this.#variables.get(map)?.maxEntries ?? this.#map(map).info.maxEntries;
  }

  put(map: MapName, key: Uint8Array, value: Uint8Array): void {
    this.#changes.after(() => (this.#variables.get(map) ?? this.#map(map)).put(key, value));
  }

  get(map: MapName, key: Uint8Array): Uint8Array | null {
    return (this.#variables.get(map) ?? this.#map(map)).get(key);
  }

  entries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]> {
    return readEntries(this.#variables.get(map) ?? this.#map(map));
  }

  async putMany(map: TrieName, { keys, values, count }: Entries): Promise<void> {
    if (count > 0) await this.#putBatch(map, { keys, values, count });
  }

  async deleteMany(map: TrieName, { keys, count }: Entries): Promise<void> {
    if (count > 0) await this.#changes.afterAll(() => this.#map(map).deleteBatch(keys, count));
  }

  tableSize(table: TableName): number {
    return this.#tableSizes[table];
  }

  async swapTable(table: TableName, bytes: Uint8Array): Promise<number> {
    const made = newTable(table, this.tableSize(table));
    try {
      made.put(indexKey(0), this.#valueOf(table, bytes));
      // In a batch of one, for it runs off this thread: it returns after an RCU grace period.
      await this.#putBatch(table, { keys: indexKey(0), values: indexKey(made.fd), count: 1 });
    } catch (error) {
      made.close();
      throw error;
    }
    this.#tables.get(table)?.close();
    this.#tables.set(table, made);
    return made.id;
  }

  tableId(table: TableName): number | null {
    const value = this.#map(table).get(indexKey(0));
    return value === null ? null : indexOf(value);
  }

  tableBytes(table: TableName): Uint8Array | null {
    const last = this.#tables.get(table);
    // Another one cannot be opened by its id without CAP_SYS_ADMIN.
    if (last === undefined || last.id !== this.tableId(table)) return null;
    const { toLine } = this;
    return last.entries().values.slice(toLine, toLine + tableSize(this.tableSize(table), entryBytes[table]));
  }

  async swapRings(rings: readonly RingFill[]): Promise<readonly number[]> {
    const made: MadeRing[] = [];
    try {
      try {
        for (const ring of rings) made.push(makeRing(ring));
      } catch (error) {
        for (const { image } of made) unmap(image.memory);
        throw error;
      }
      for (const { pool, image } of made) this.#settling.add(pool, image);
      try {
        await this.#putRings(made.map(({ pool, map }) => [pool, map] as const));
      } catch (error) {
        this.#sortOut(made);
        throw error;
      }
      for (const { pool, image } of made) this.#settling.placed(pool, image);
      return made.map(({ map }) => map.id);
    } finally {
      // The outer map holds what it needs, and their memory lives by itself.
      for (const { map } of made) map.close();
    }
  }

  /** Finds out which of these rings the program has. If that fails too, it may have any, and the first failure is the one to tell. */
  #sortOut(made: readonly MadeRing[]): void {
    let ids: ReadonlyMap<number, number>;
    try {
      ids = this.ringIds();
    } catch {
      return;
    }
    for (const { pool, map, image } of made)
      if (ids.get(pool) === map.id) this.#settling.placed(pool, image);
      else this.#settling.dropped(pool, image);
  }

  /**
   * Deleting from a map of maps has no batch: every pool would wait for a grace period of its own. One empty ring in
   * the place of all of them takes a single one.
   */
  async removeRings(pools: readonly number[]): Promise<void> {
    const present = this.ringIds();
    const gone = pools.filter((pool) => present.has(pool));
    if (gone.length > 0) {
      this.#empty ??= newRing('pf_ring_empty');
      const empty = this.#empty;
      await this.#putRings(gone.map((pool) => [pool, empty] as const));
    }
    for (const pool of pools) this.#settling.removed(pool);
  }

  unsettle(pools: Iterable<number>): void {
    this.#settling.unsettle(pools);
  }

  settle(): void {
    this.#settling.settle();
  }

  ringIds(): ReadonlyMap<number, number> {
    const ids = new Map<number, number>();
    for (const [key, value] of readEntries(this.#map('rings'))) {
      const id = indexOf(value);
      if (id !== 0 && id !== this.#empty?.id) ids.set(indexOf(key), id);
    }
    return ids;
  }

  /** The call returns after an RCU grace period: from then on no packet reads an old ring. */
  #putRings(rings: readonly (readonly [pool: number, ring: BpfMap])[]): Promise<void> {
    const keys = Uint32Array.from(rings, ([pool]) => pool);
    const descriptors = Uint32Array.from(rings, ([, ring]) => ring.fd);
    return this.#putBatch('rings', {
      keys: new Uint8Array(keys.buffer),
      values: new Uint8Array(descriptors.buffer),
      count: rings.length,
    });
  }

  #putBatch(map: string, { keys, values, count }: Entries): Promise<void> {
    return this.#changes.afterAll(() => this.#map(map).putBatch(keys, values, count));
  }

  /** What an inner map has: the table, from a cache line on. */
  #valueOf(table: TableName, bytes: Uint8Array): Uint8Array {
    const value = new Uint8Array(tableSize(this.tableSize(table), entryBytes[table]) + enums.pf_line.PF_LINE);
    value.set(bytes, this.toLine);
    return value;
  }

  #map(name: string): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`the object has no map ${name}`);
    return map;
  }
}

/** The section of the program that holds a variable and nothing else. */
export function variableOf(object: BpfObject, name: keyof typeof variables): BpfMap {
  return object.map(variables[name].section);
}

/** An inner map of a table with so many places, all of it zeros. */
export function newTable(table: TableName, places: number): BpfMap {
  return createMap({
    type: 'array',
    name: `pf_${table}`,
    keySize: 4,
    valueSize: tableSize(places, entryBytes[table]) + enums.pf_line.PF_LINE,
    maxEntries: 1,
  });
}

/** An inner map of rings, and its memory. */
interface MadeRing {
  readonly pool: number;
  readonly map: BpfMap;
  readonly image: RingImage;
}

function makeRing({ pool, fill }: RingFill): MadeRing {
  const map = newRing(`pf_ring_${pool}`);
  try {
    const image = new RingImage(map.mmap());
    image.fill(fill);
    return { pool, map, image };
  } catch (error) {
    map.close();
    throw error;
  }
}

/** An inner map of rings, all of it zeros. */
function newRing(name: string): BpfMap {
  return createMap({
    type: 'array',
    name,
    keySize: 4,
    valueSize: RING_BYTES,
    maxEntries: 1,
    flags: BPF_F_MMAPABLE,
  });
}

function* readEntries(map: Pick<BpfMap, 'entries'>): Iterable<readonly [Uint8Array, Uint8Array]> {
  const { keys, values, count } = map.entries();
  const keySize = keys.length / count;
  const valueSize = values.length / count;
  for (let i = 0; i < count; i++)
    yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize)] as const;
}
