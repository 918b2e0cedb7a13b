import { structs } from './layout.gen.ts';
import type { BpfMap } from './native.ts';

/**
 * Tells the program what has changed. `count` is counted up after every change: until then hot flows go by what was, for the rest of
 * their tick at most (bpf/hot.h). `vips` is what recent VIPs hold for (bpf/recent.h): from before VIPs change until they
 * have changed it is 0, and none holds.
 */
export class Changes {
  readonly #count: Uint32Array;
  readonly #vips: Uint32Array;
  /** Changes of VIPs that are under way. */
  #underWay = 0;

  /** @param variable the section of it; closed here */
  constructor(variable: BpfMap) {
    const { count, vips } = structs.pf_changes.fields;
    const memory = variable.mmap();
    variable.close();
    this.#count = new Uint32Array(memory.buffer, memory.byteOffset + count.offset, 1);
    this.#vips = new Uint32Array(memory.buffer, memory.byteOffset + vips.offset, 1);
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

  /** The same of what VIPs are found in. */
  ofVips<T>(change: () => T): T {
    this.#begin();
    try {
      return this.after(change);
    } finally {
      this.#end();
    }
  }

  /** The same of what VIPs are found in, by what takes its time. */
  async allOfVips<T>(change: () => Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await this.afterAll(change);
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    this.#underWay++;
    Atomics.store(this.#vips, 0, 0);
  }

  #end(): void {
    this.#underWay--;
    if (this.#underWay === 0) Atomics.store(this.#vips, 0, this.#count[0] ?? 0);
  }

  /** Nobody else writes here. 0 is no count: it is what a place has that was never taken. */
  #add(): void {
    Atomics.store(this.#count, 0, ((this.#count[0] ?? 0) + 1) >>> 0 || 1);
  }
}
