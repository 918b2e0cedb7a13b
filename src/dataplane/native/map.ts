import type { MapEntries, MapInfo, NativeMap } from './binding.ts';
import { attempt, attemptAsync, type Doing } from './errors.ts';
import { pin } from './pin.ts';

/** The second is met first where pools are many: of each ring the agent has its memory at hand. */
const MMAP_FIX = 'Give the process more memory; with tens of thousands of pools, raise vm.max_map_count as well.';

export class BpfMap {
  readonly #native: NativeMap;
  readonly #doing: Doing;
  readonly #putting: Doing;
  readonly info: MapInfo;
  /** The kernel's number of the map; what a lookup in an array of maps returns. */
  readonly id: number;

  /** @internal Use BpfObject.map, createMap or openPinnedMap. */
  constructor(native: NativeMap) {
    this.#native = native;
    this.info = native.info();
    this.id = native.id();
    this.#doing = { code: 'PF_MAP', what: `map ${this.info.name}` };
    this.#putting = { ...this.#doing, maxEntries: this.info.maxEntries };
  }

  get fd(): number {
    return attempt(this.#doing, () => this.#native.fd());
  }

  /** Adds or replaces. @throws PilotfishError PF_MAP_FULL, PF_MAP */
  put(key: Uint8Array, value: Uint8Array): void {
    attempt(this.#putting, () => this.#native.put(key, value));
  }

  /** Null when there is no such key. */
  get(key: Uint8Array): Uint8Array<ArrayBuffer> | null {
    return attempt(this.#doing, () => this.#native.get(key));
  }

  /** False when there was no such key. */
  delete(key: Uint8Array): boolean {
    return attempt(this.#doing, () => this.#native.delete(key));
  }

  /** Everything. An entry that stays throughout the call is there once; one that comes or goes, once or not at all. */
  entries(): MapEntries {
    return attempt(this.#doing, () => this.#native.entries());
  }

  /**
   * Puts many entries with one system call where the kernel can, in the order given. In an array of maps the values are
   * descriptors of inner maps, and it resolves when no running program still uses a map that was replaced. Not atomic:
   * on failure the first ones are in. One at a time, please: calls that overlap are in no order.
   */
  putBatch(keys: Uint8Array, values: Uint8Array, count: number): Promise<void> {
    return attemptAsync(this.#putting, () => this.#native.putBatch(keys, values, count));
  }

  /** Resolves with how many of the keys were there. */
  deleteBatch(keys: Uint8Array, count: number): Promise<number> {
    return attemptAsync(this.#doing, () => this.#native.deleteBatch(keys, count));
  }

  /**
   * The memory of an array made with BPF_F_MMAPABLE; entries begin at multiples of valueSize rounded up to 8. It keeps
   * the map alive after `close`, and ends with `unmap` or when nothing refers to it. It cannot go to another thread.
   */
  mmap(): Uint8Array<ArrayBuffer> {
    return attempt({ ...this.#doing, fixes: { ENOMEM: MMAP_FIX } }, () => this.#native.mmap());
  }

  pin(path: string): void {
    pin(this.#native, this.#doing.what, path);
  }

  close(): void {
    this.#native.close();
  }
}
