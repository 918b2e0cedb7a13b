import type { maps } from './layout.gen.ts';

export type MapName = Exclude<keyof typeof maps, 'rings'>;

/** A ring to be made: `fill` writes all RING_SLOTS slots of memory that nothing reads yet. */
export interface RingFill {
  readonly pool: number;
  fill(slots: Uint16Array): void;
}

/**
 * The maps as bytes. Knows sizes and nothing else, so that the kernel’s, one in memory and one that fails on purpose
 * are each a short file.
 *
 * Every method throws PilotfishError PF_MAP (PF_MAP_FULL for no room) and then has changed nothing, but for the two
 * ring methods, which may have changed some of the pools named.
 */
export interface MapStore {
  /** Values in a per-CPU entry, one after the other. */
  readonly cpus: number;
  maxEntries(map: MapName | 'rings'): number;
  put(map: MapName, key: Uint8Array, value: Uint8Array): void;
  get(map: MapName, key: Uint8Array): Uint8Array | null;
  /** False when there was no such key. */
  delete(map: MapName, key: Uint8Array): boolean;
  entries(map: MapName): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
  /**
   * Makes the rings aside and puts all of them into place in one batch. Packets see an old ring or its new one, never
   * a mix. Resolves when no packet can see an old one any more, with the id of each new ring in the order given.
   */
  swapRings(rings: readonly RingFill[]): Promise<readonly number[]>;
  removeRings(pools: readonly number[]): Promise<void>;
  /** By pool number: the id of the ring in place. */
  ringIds(): ReadonlyMap<number, number>;
}
