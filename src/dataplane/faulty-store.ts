import { PilotfishError } from '../core/errors.ts';
import type { Entries, MapName, MapStore, RingFill, TableName, TrieName } from './map-store.ts';

/** A call that can fail, such as `put reals` or `swapRings`. */
export type StoreCall =
  | `${'put' | 'get' | 'entries'} ${MapName}`
  | `${'putMany' | 'deleteMany'} ${TrieName}`
  | `${'swapTable' | 'tableId' | 'tableBytes'} ${TableName}`
  | 'swapRings'
  | 'removeRings'
  | 'ringIds';

/**
 * Another store whose calls fail on purpose: a share of them by chance, or one that is named. What fails has changed
 * nothing, but for the calls that deal with many pools or entries: they have done some of them, perhaps all, perhaps none.
 */
export class FaultyMapStore implements MapStore {
  readonly #inner: MapStore;
  readonly #named: StoreCall[] = [];
  #random: number;
  /** Share of the calls that fail, 0 to 1. */
  rate: number;
  /** Calls that failed. */
  failures = 0;

  /** @param seed the same seed, rate and calls give the same failures */
  constructor(inner: MapStore, seed: number, rate = 0.1) {
    this.#inner = inner;
    // Xorshift stays at 0 for ever.
    this.#random = seed >>> 0 || 1;
    this.rate = rate;
  }

  /** The next call of this kind fails. */
  failNext(call: StoreCall): void {
    this.#named.push(call);
  }

  get cpus(): number {
    return this.#inner.cpus;
  }

  get toLine(): number {
    return this.#inner.toLine;
  }

  get tickMs(): number {
    return this.#inner.tickMs;
  }

  maxEntries(map: MapName | 'rings'): number {
    return this.#inner.maxEntries(map);
  }

  put(map: MapName, key: Uint8Array, value: Uint8Array): void {
    this.#mayFail(`put ${map}`);
    this.#inner.put(map, key, value);
  }

  get(map: MapName, key: Uint8Array): Uint8Array | null {
    this.#mayFail(`get ${map}`);
    return this.#inner.get(map, key);
  }

  entries(map: MapName): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    this.#mayFail(`entries ${map}`);
    return this.#inner.entries(map);
  }

  async putMany(map: TrieName, entries: Entries): Promise<void> {
    if (!this.#fails(`putMany ${map}`)) return this.#inner.putMany(map, entries);
    await this.#inner.putMany(map, this.#first(entries));
    throw failure(`putMany ${map}`);
  }

  async deleteMany(map: TrieName, entries: Entries): Promise<void> {
    if (!this.#fails(`deleteMany ${map}`)) return this.#inner.deleteMany(map, entries);
    await this.#inner.deleteMany(map, this.#first(entries));
    throw failure(`deleteMany ${map}`);
  }

  tableSize(table: TableName): number {
    return this.#inner.tableSize(table);
  }

  async swapTable(table: TableName, bytes: Uint8Array): Promise<number> {
    this.#mayFail(`swapTable ${table}`);
    return this.#inner.swapTable(table, bytes);
  }

  tableId(table: TableName): number | null {
    this.#mayFail(`tableId ${table}`);
    return this.#inner.tableId(table);
  }

  tableBytes(table: TableName): Uint8Array | null {
    this.#mayFail(`tableBytes ${table}`);
    return this.#inner.tableBytes(table);
  }

  async swapRings(rings: readonly RingFill[]): Promise<readonly number[]> {
    if (!this.#fails('swapRings')) return this.#inner.swapRings(rings);
    await this.#inner.swapRings(this.#some(rings));
    throw failure('swapRings');
  }

  async removeRings(pools: readonly number[]): Promise<void> {
    if (!this.#fails('removeRings')) return this.#inner.removeRings(pools);
    await this.#inner.removeRings(this.#some(pools));
    throw failure('removeRings');
  }

  unsettle(pools: Iterable<number>): void {
    this.#inner.unsettle(pools);
  }

  settle(): void {
    this.#inner.settle();
  }

  ringIds(): ReadonlyMap<number, number> {
    this.#mayFail('ringIds');
    return this.#inner.ringIds();
  }

  #mayFail(call: StoreCall): void {
    if (this.#fails(call)) throw failure(call);
  }

  #fails(call: StoreCall): boolean {
    const named = this.#named.indexOf(call);
    if (named >= 0) this.#named.splice(named, 1);
    else if (this.#chance() >= this.rate) return false;
    this.failures++;
    return true;
  }

  #some<T>(all: readonly T[]): T[] {
    return all.filter(() => this.#chance() < 0.5);
  }

  /** As the kernel does them: in the order given. */
  #first({ keys, values, count }: Entries): Entries {
    const done = Math.floor(this.#chance() * (count + 1));
    const part = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, count === 0 ? 0 : (bytes.length / count) * done);
    return { keys: part(keys), values: part(values), count: done };
  }

  /** Xorshift with 32 bits (Marsaglia, 2003). @returns 0 to 1, 1 excluded */
  #chance(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x >>> 0;
    return this.#random / 2 ** 32;
  }
}

function failure(call: StoreCall): PilotfishError {
  return new PilotfishError('PF_MAP', `${call} failed on purpose`, { retryable: true });
}
