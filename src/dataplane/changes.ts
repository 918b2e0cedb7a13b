import { structs } from './layout.gen.ts';
import type { BpfMap } from './native.ts';

/**
 * Tells the program what has changed. `count` is counted up after every change: until then hot flows go by what was, for the rest of
 * their tick at most (bpf/hot.h).
 */
export class Changes {
  readonly #count: Uint32Array;

  /** @param variable the section of it; closed here */
  constructor(variable: BpfMap) {
    const memory = variable.mmap();
    variable.close();
    this.#count = new Uint32Array(memory.buffer, memory.byteOffset + structs.pf_changes.fields.count.offset, 1);
  }

  /** Calls `change`; also when it fails, for it may have done a part. */
  after<T>(change: () => T): T {
    try {
      return change();
    } finally {
      this.#add();
    }
  }

  /** The same of one that takes its time. */
  async afterAll<T>(change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } finally {
      this.#add();
    }
  }

  /** Nobody else writes here. 0 is no count: it is what a place has that was never taken. */
  #add(): void {
    Atomics.store(this.#count, 0, ((this.#count[0] ?? 0) + 1) >>> 0 || 1);
  }
}
