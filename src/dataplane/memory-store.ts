import { PilotfishError } from '../core/errors.ts';
import type { Entries, MapName, MapStore, RingFill, TableName, TrieName } from './map-store.ts';
import { entryBytes, mapShapes } from './map-store.ts';
import { tableSize } from './perfect-hash.ts';
import { RingImage } from './ring-image.ts';
import { Settling } from './settling.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export type MemorySizes = Partial<Record<MapName | 'rings' | TableName, number>>;

/** The maps in memory: array maps are full of zeros from the start, hash maps are empty, as the kernel’s are. */
export class MemoryMapStore implements MapStore {
  readonly cpus = 1;
  readonly tickMs = 2_000;
  /** As if the kernel’s. */
  readonly toLine = 8;
  readonly #sizes: Readonly<MemorySizes>;
  readonly #content = new Map<MapName, Map<string, Uint8Array>>();
  readonly #rings = new Map<number, { id: number; image: RingImage }>();
  readonly #settling = new Settling();
  readonly #tables = new Map<TableName, { id: number; bytes: Uint8Array }>();
  #nextId = 1;

  /**
   * @param sizes entries; of directory and server_ids those of the inner map, powers of two. There is room for hits of as many VIPs and reals
   * as for their other traffic.
   */
  constructor(sizes: Readonly<MemorySizes> = {}) {
    const { vip_traffic = 64, real_traffic = 256 } = sizes;
    this.#sizes = {
      rings: 64,
      vip_hits: vip_traffic,
      vip_traffic,
      reals: 256,
      real_hits: real_traffic,
      real_traffic,
      prefixes: 1_024,
      directory: 1_024,
      server_ids: 1_024,
      ...sizes,
    };
  }

  maxEntries(map: MapName | 'rings'): number {
    return this.#sizes[map] ?? 1;
  }

  put(map: MapName, key: Uint8Array, value: Uint8Array): void {
    this.#check(map, key, value);
    const content = this.#map(map);
    if (!content.has(text(key)) && content.size >= this.maxEntries(map))
      throw new PilotfishError('PF_MAP_FULL', `map ${map} holds ${content.size} of ${this.maxEntries(map)} entries`);
    content.set(text(key), value.slice());
  }

  get(map: MapName, key: Uint8Array): Uint8Array | null {
    return this.#map(map).get(text(key))?.slice() ?? null;
  }

  *entries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]> {
    for (const [key, value] of this.#map(map)) yield [Uint8Array.from(Buffer.from(key, 'hex')), value.slice()];
  }

  async putMany(map: TrieName, { keys, values, count }: Entries): Promise<void> {
    const { keySize, valueSize } = mapShapes[map];
    for (let i = 0; i < count; i++)
      this.put(map, keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize));
  }

  async deleteMany(map: TrieName, { keys, count }: Entries): Promise<void> {
    const { keySize } = mapShapes[map];
    for (let i = 0; i < count; i++) this.#map(map).delete(text(keys.subarray(i * keySize, (i + 1) * keySize)));
  }

  tableSize(table: TableName): number {
    return this.#sizes[table] ?? 1;
  }

  async swapTable(table: TableName, bytes: Uint8Array): Promise<number> {
    const expected = tableSize(this.tableSize(table), entryBytes[table]);
    if (bytes.length !== expected)
      throw new PilotfishError('PF_MAP', `table ${table} takes ${expected} bytes, not ${bytes.length}`);
    const id = this.#nextId++;
    this.#tables.set(table, { id, bytes: bytes.slice() });
    return id;
  }

  tableId(table: TableName): number | null {
    return this.#tables.get(table)?.id ?? null;
  }

  tableBytes(table: TableName): Uint8Array | null {
    return this.#tables.get(table)?.bytes.slice() ?? null;
  }

  async swapRings(rings: readonly RingFill[]): Promise<readonly number[]> {
    const beyond = rings.find(({ pool }) => pool >= this.maxEntries('rings'));
    if (beyond !== undefined)
      throw new PilotfishError(
        'PF_MAP_FULL',
        `map rings has no place ${beyond.pool}: it holds ${this.maxEntries('rings')}`,
      );
    const made = rings.map(({ pool, fill }) => {
      const image = RingImage.blank();
      image.fill(fill);
      return { pool, ring: { id: this.#nextId++, image } };
    });
    for (const { pool, ring } of made) {
      this.#settling.add(pool, ring.image);
      this.#settling.placed(pool, ring.image);
      this.#rings.set(pool, ring);
    }
    return made.map(({ ring }) => ring.id);
  }

  async removeRings(pools: readonly number[]): Promise<void> {
    for (const pool of pools) {
      this.#settling.removed(pool);
      this.#rings.delete(pool);
    }
  }

  unsettle(pools: Iterable<number>): void {
    this.#settling.unsettle(pools);
  }

  settle(): void {
    this.#settling.settle();
  }

  ringIds(): ReadonlyMap<number, number> {
    return new Map([...this.#rings].map(([pool, { id }]) => [pool, id]));
  }

  /** The slots of a pool’s ring, for tests and dumps. */
  slots(pool: number): Uint16Array | null {
    return this.#rings.get(pool)?.image.reals() ?? null;
  }

  #map(map: MapName): Map<string, Uint8Array> {
    let content = this.#content.get(map);
    if (content === undefined) {
      content = new Map();
      if (mapShapes[map].isArray)
        for (let i = 0; i < this.maxEntries(map); i++)
          content.set(text(new Uint8Array(Uint32Array.of(i).buffer)), new Uint8Array(mapShapes[map].valueSize));
      this.#content.set(map, content);
    }
    return content;
  }

  #check(map: MapName, key: Uint8Array, value: Uint8Array): void {
    const { keySize, valueSize } = mapShapes[map];
    if (key.length !== keySize || value.length !== valueSize)
      throw new PilotfishError(
        'PF_MAP',
        `map ${map} takes keys of ${keySize} and values of ${valueSize} bytes, not ${key.length} and ${value.length}`,
      );
  }
}
