import { PilotfishError } from '../core/errors.ts';
import { indexOf } from './codec.ts';
import type { VariableName } from './map-store.ts';
import { mapShapes } from './map-store.ts';
import type { BpfMap, MapEntries } from './native.ts';

/** A variable of the program: an array in memory that it shares with this process. Like BpfMap, as far as an array map is. */
export class Variable {
  readonly maxEntries: number;
  readonly #name: VariableName;
  readonly #valueSize: number;
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #words: BigInt64Array;

  /**
   * @param section of the program, which holds the variable alone; closed here
   * @param entries those from 0 that are in use
   */
  constructor(name: VariableName, section: BpfMap, entries: number) {
    this.#name = name;
    this.maxEntries = entries;
    this.#valueSize = mapShapes[name].valueSize;
    const { buffer, byteOffset } = mapped(section);
    this.#memory = new Uint8Array(buffer, byteOffset, entries * this.#valueSize);
    this.#words = new BigInt64Array(buffer, byteOffset, this.#memory.length / BigInt64Array.BYTES_PER_ELEMENT);
  }

  /** Word by word of 8 bytes: a packet sees each of them as it was or as it is. @throws PilotfishError PF_MAP_FULL, PF_MAP */
  put(key: Uint8Array, value: Uint8Array): void {
    this.#checkKey(key);
    const index = indexOf(key);
    if (value.length !== this.#valueSize)
      throw new PilotfishError(
        'PF_MAP',
        `variable ${this.#name} has values of ${this.#valueSize} bytes, not ${value.length}`,
      );
    if (index >= this.maxEntries)
      throw new PilotfishError(
        'PF_MAP_FULL',
        `variable ${this.#name} has no place ${index}: it holds ${this.maxEntries}`,
      );
    const words = new BigInt64Array(Uint8Array.from(value).buffer);
    const at = index * words.length;
    for (const [i, word] of words.entries()) Atomics.store(this.#words, at + i, word);
  }

  /** Null when there is no such key. */
  get(key: Uint8Array): Uint8Array<ArrayBuffer> | null {
    this.#checkKey(key);
    const index = indexOf(key);
    return index < this.maxEntries ? this.#memory.slice(index * this.#valueSize, (index + 1) * this.#valueSize) : null;
  }

  /** Everything. */
  entries(): MapEntries {
    const keys = Uint32Array.from({ length: this.maxEntries }, (_, index) => index);
    return { keys: new Uint8Array(keys.buffer), values: this.#memory.slice(), count: this.maxEntries };
  }

  #checkKey(key: Uint8Array): void {
    if (key.length !== mapShapes[this.#name].keySize)
      throw new PilotfishError('PF_MAP', `variable ${this.#name} takes keys of 4 bytes, not ${key.length}`);
  }
}

function mapped(section: BpfMap): Uint8Array<ArrayBuffer> {
  try {
    return section.mmap();
  } finally {
    section.close();
  }
}
