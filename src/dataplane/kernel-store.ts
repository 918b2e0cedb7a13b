import { RING_SLOTS } from '../core/data-plane.ts';
import { indexOf } from './codec.ts';
import { maps } from './layout.gen.ts';
import type { MapName, MapStore, RingFill } from './map-store.ts';
import type { BpfMap, BpfObject } from './native.ts';
import { createMap, possibleCpus, unmap } from './native.ts';

const BPF_F_MMAPABLE = 1 << 10;
const RING_BYTES = RING_SLOTS * Uint16Array.BYTES_PER_ELEMENT;

/** The maps of a loaded program. */
export class KernelMapStore implements MapStore {
  readonly cpus = possibleCpus();
  readonly #maps: ReadonlyMap<string, BpfMap>;
  /** Stands where a pool was removed; made when first needed. */
  #empty: BpfMap | undefined;

  /** @param object loaded */
  constructor(object: BpfObject) {
    this.#maps = new Map(Object.keys(maps).map((name) => [name, object.map(name)]));
  }

  maxEntries(map: MapName | 'rings'): number {
    return this.#map(map).info.maxEntries;
  }

  put(map: MapName, key: Uint8Array, value: Uint8Array): void {
    this.#map(map).put(key, value);
  }

  get(map: MapName, key: Uint8Array): Uint8Array | null {
    return this.#map(map).get(key);
  }

  delete(map: MapName, key: Uint8Array): boolean {
    return this.#map(map).delete(key);
  }

  entries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]> {
    return readEntries(this.#map(map));
  }

  async swapRings(rings: readonly RingFill[]): Promise<readonly number[]> {
    const made: BpfMap[] = [];
    try {
      for (const { pool, fill } of rings) made.push(makeRing(`pf_ring_${pool}`, fill));
      await this.#putRings(rings.map(({ pool }, i) => [pool, made[i]!] as const));
      return made.map(({ id }) => id);
    } finally {
      // The outer map holds what it needs.
      for (const ring of made) ring.close();
    }
  }

  /**
   * Deleting from a map of maps has no batch: every pool would wait for a grace period of its own. One empty ring in
   * the place of all of them takes a single one.
   */
  async removeRings(pools: readonly number[]): Promise<void> {
    const present = this.ringIds();
    const gone = pools.filter((pool) => present.has(pool));
    if (gone.length === 0) return;
    this.#empty ??= makeRing('pf_ring_empty', (slots) => slots.fill(0));
    const empty = this.#empty;
    await this.#putRings(gone.map((pool) => [pool, empty] as const));
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
    return this.#map('rings').putBatch(new Uint8Array(keys.buffer), new Uint8Array(descriptors.buffer), rings.length);
  }

  #map(name: string): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`the object has no map ${name}`);
    return map;
  }
}

function makeRing(name: string, fill: (slots: Uint16Array) => void): BpfMap {
  const ring = createMap({
    type: 'array',
    name,
    keySize: 4,
    valueSize: RING_BYTES,
    maxEntries: 1,
    flags: BPF_F_MMAPABLE,
  });
  try {
    const memory = ring.mmap();
    fill(new Uint16Array(memory.buffer, memory.byteOffset, RING_SLOTS));
    unmap(memory);
    return ring;
  } catch (error) {
    ring.close();
    throw error;
  }
}

function* readEntries(map: BpfMap): Iterable<readonly [Uint8Array, Uint8Array]> {
  const { keys, values, count } = map.entries();
  const keySize = keys.length / count;
  const valueSize = values.length / count;
  for (let i = 0; i < count; i++)
    yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize)] as const;
}
