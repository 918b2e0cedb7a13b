import { decode, indexKey } from '../../src/dataplane/codec.ts';
import { enums, structs } from '../../src/dataplane/layout.gen.ts';
import type { Entries, MapName, MapStore, RingFill, TableName, TrieName } from '../../src/dataplane/map-store.ts';
import type { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { decodeReal } from '../../src/dataplane/records.ts';

const { PF_VIP, PF_FRAGMENTS, PF_CLIENTS } = enums.pf_flag;
const { PF_SCOPE_CLIENTS } = enums.pf_scope;

const numbersOfRing = new WeakMap<Uint16Array, readonly number[]>();

/** The numbers of reals that the slots of a ring name. */
function numbersIn(slots: Uint16Array): readonly number[] {
  let numbers = numbersOfRing.get(slots);
  if (numbers === undefined) {
    numbers = [...new Set(slots)].filter((number) => number !== 0);
    numbersOfRing.set(slots, numbers);
  }
  return numbers;
}

/** The entries of a table that are not empty. */
function* used(table: Uint8Array | null, size: number, isUsed: (entry: Uint8Array) => boolean): Iterable<Uint8Array> {
  if (table === null) return;
  // As docs/decisions/0005-directory.md has it.
  const places = new DataView(table.buffer, table.byteOffset).getUint32(0, true) + 1;
  for (let place = 0; place < places; place++) {
    const entry = table.subarray((1 + place) * size, (2 + place) * size);
    if (isUsed(entry)) yield entry;
  }
}

/** Is there a VIP behind an entry, or does it only say that something is served? */
function isVip({ flags }: { readonly flags: number }): boolean {
  return (flags & (PF_VIP | PF_FRAGMENTS)) !== 0;
}

/** Numbers of the pools that a ring chooses a real from, by who leads there. */
function poolsReached(store: MemoryMapStore): Map<string, number> {
  const reached = new Map<string, number>();
  const scopes = new Map<number, number[]>();
  for (const [key, value] of store.entries('prefixes')) {
    const { scope } = decode('pf_prefix_key', key);
    const pool = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
    if (scope >= PF_SCOPE_CLIENTS) scopes.set(scope, [...(scopes.get(scope) ?? []), pool]);
  }
  const { size, fields } = structs.pf_entry;
  for (const bytes of used(store.tableBytes('directory'), size, (entry) => entry[fields.family.offset] !== 0)) {
    const entry = decode('pf_entry', bytes);
    if (!isVip(entry)) continue;
    const name = `VIP ${entry.number} at ${entry.address.join('.')} ${entry.port}/${entry.protocol}`;
    reached.set(name, entry.pool);
    if ((entry.flags & PF_CLIENTS) === 0) continue;
    for (const pool of scopes.get(entry.clients) ?? []) reached.set(`${name}, clients in pool ${pool}`, pool);
  }
  return reached;
}

/** What packets could meet in these maps that they must not; the same as `unsound` of planning.ts, read from bytes. */
export function unsoundMaps(store: MemoryMapStore): Set<string> {
  const found = new Set<string>();
  const realAt = (number: number) => decodeReal(store.get('reals', indexKey(number)) ?? new Uint8Array());
  for (const [from, pool] of poolsReached(store)) {
    const slots = store.slots(pool);
    if (slots === null) found.add(`${from}: no ring`);
    for (const number of slots === null ? [] : numbersIn(slots)) {
      const real = realAt(number);
      if (real.address === null) found.add(`${from}: no real ${number}`);
      else if (real.pool !== pool) found.add(`${from}: real ${number} is of another pool`);
    }
  }
  const { size } = structs.pf_server_id;
  const real = structs.pf_server_id.fields.real.offset;
  for (const bytes of used(store.tableBytes('server_ids'), size, (e) => e[real] !== 0 || e[real + 1] !== 0)) {
    const entry = decode('pf_server_id', bytes);
    if (realAt(entry.real).address === null) found.add(`id ${entry.pool}|${entry.id}: no real ${entry.real}`);
  }
  return found;
}

/** Maps in memory that are looked at after every change: nothing may become wrong that was not wrong before. */
export class WatchedStore implements MapStore {
  readonly #maps: MemoryMapStore;
  #wrong: Set<string>;
  /** What became wrong by a change, one text each; stays empty if all is well. */
  readonly faults: string[] = [];

  constructor(maps: MemoryMapStore) {
    this.#maps = maps;
    this.#wrong = unsoundMaps(maps);
  }

  get cpus(): number {
    return this.#maps.cpus;
  }

  get toLine(): number {
    return this.#maps.toLine;
  }

  get tickMs(): number {
    return this.#maps.tickMs;
  }

  maxEntries(map: MapName | 'rings'): number {
    return this.#maps.maxEntries(map);
  }

  put(map: MapName, key: Uint8Array, value: Uint8Array): void {
    this.#maps.put(map, key, value);
    this.#look(`put ${map}`);
  }

  get(map: MapName, key: Uint8Array): Uint8Array | null {
    return this.#maps.get(map, key);
  }

  entries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]> {
    return this.#maps.entries(map);
  }

  async putMany(map: TrieName, entries: Entries): Promise<void> {
    await this.#maps.putMany(map, entries);
    this.#look(`putMany ${map}`);
  }

  async deleteMany(map: TrieName, entries: Entries): Promise<void> {
    await this.#maps.deleteMany(map, entries);
    this.#look(`deleteMany ${map}`);
  }

  tableSize(table: TableName): number {
    return this.#maps.tableSize(table);
  }

  async swapTable(table: TableName, bytes: Uint8Array): Promise<number> {
    const id = await this.#maps.swapTable(table, bytes);
    this.#look(`swapTable ${table}`);
    return id;
  }

  tableId(table: TableName): number | null {
    return this.#maps.tableId(table);
  }

  tableBytes(table: TableName): Uint8Array | null {
    return this.#maps.tableBytes(table);
  }

  async swapRings(rings: readonly RingFill[]): Promise<readonly number[]> {
    const ids = await this.#maps.swapRings(rings);
    this.#look('swapRings');
    return ids;
  }

  unsettle(pools: Iterable<number>): void {
    this.#maps.unsettle(pools);
  }

  settle(): void {
    this.#maps.settle();
  }

  async removeRings(pools: readonly number[]): Promise<void> {
    await this.#maps.removeRings(pools);
    this.#look('removeRings');
  }

  ringIds(): ReadonlyMap<number, number> {
    return this.#maps.ringIds();
  }

  #look(call: string): void {
    const now = unsoundMaps(this.#maps);
    for (const fault of now.difference(this.#wrong)) this.faults.push(`after ${call}: ${fault}`);
    this.#wrong = now;
  }
}
