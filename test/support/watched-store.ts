import { splitVipId } from '../../src/core/data-plane.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import type { MapName, MapStore, RingFill } from '../../src/dataplane/map-store.ts';
import type { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { decodeAddressKey, decodeReal, decodeServed, decodeVip, decodeVipKey } from '../../src/dataplane/records.ts';

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

/** What packets could meet in these maps that they must not; the same as `unsound` of planning.ts, read from bytes. */
export function unsoundMaps(store: MemoryMapStore): Set<string> {
  const found = new Set<string>();
  const served = new Map([...store.entries('vip_addresses')].map(([k, v]) => [decodeAddressKey(k), decodeServed(v)]));
  for (const [key, value] of store.entries('vips')) {
    const id = decodeVipKey(key);
    const { pool } = decodeVip(value);
    const { address, protocol } = splitVipId(id);
    if (!served.get(address)?.has(protocol)) found.add(`${id}: the address is not served`);
    const slots = store.slots(pool);
    if (slots === null) found.add(`${id}: no ring`);
    for (const number of numbersIn(slots ?? new Uint16Array())) {
      const bytes = store.get('reals', indexKey(number));
      const real = bytes === null ? null : decodeReal(bytes);
      if (real === null || real.address === null) found.add(`${id}: no real ${number}`);
      else if (real.pool !== pool) found.add(`${id}: real ${number} is of another pool`);
    }
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

  delete(map: MapName, key: Uint8Array): boolean {
    const deleted = this.#maps.delete(map, key);
    this.#look(`delete ${map}`);
    return deleted;
  }

  entries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]> {
    return this.#maps.entries(map);
  }

  async swapRings(rings: readonly RingFill[]): Promise<readonly number[]> {
    const ids = await this.#maps.swapRings(rings);
    this.#look('swapRings');
    return ids;
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
