import { PilotfishError } from '../core/errors.ts';
import type { BpfMap } from './native.ts';

/** Counters of every CPU in one mapped array, those of CPU 0 first, that look like the entries of a per-CPU map. */
export class TrafficMap {
  readonly numbers: number;
  readonly #memory: Uint8Array;
  readonly #size: number;
  readonly #cpus: number;
  readonly #name: string;

  constructor(map: BpfMap, cpus: number) {
    const { name, maxEntries, valueSize } = map.info;
    this.#name = name;
    this.numbers = maxEntries / cpus;
    this.#size = valueSize;
    this.#cpus = cpus;
    this.#memory = map.mmap();
  }

  /** Those of CPU 0, then those of CPU 1, and so on; null when there is no such number. */
  get(number: number): Uint8Array | null {
    if (number >= this.numbers) return null;
    return Buffer.concat(Array.from({ length: this.#cpus }, (_, cpu) => this.#of(cpu, number)));
  }

  /** @param values of every CPU, as `get` gives them. @throws PilotfishError PF_MAP_FULL */
  put(number: number, values: Uint8Array): void {
    if (number >= this.numbers)
      throw new PilotfishError('PF_MAP_FULL', `map ${this.#name} has no place ${number}: it holds ${this.numbers}`);
    for (let cpu = 0; cpu < this.#cpus; cpu++)
      this.#of(cpu, number).set(values.subarray(cpu * this.#size, (cpu + 1) * this.#size));
  }

  #of(cpu: number, number: number): Uint8Array {
    const at = (cpu * this.numbers + number) * this.#size;
    return this.#memory.subarray(at, at + this.#size);
  }
}
