import type { MapInfo, NativeObject } from './binding.ts';
import { attempt, attemptAsync, type Doing } from './errors.ts';
import { BpfMap } from './map.ts';
import { BpfProgram } from './program.ts';

export class BpfObject {
  readonly #native: NativeObject;
  readonly #path: string;
  readonly #doing: Doing;

  /** @internal Use openObject. */
  constructor(native: NativeObject, path: string) {
    this.#native = native;
    this.#path = path;
    this.#doing = { code: 'PF_OBJECT', what: `BPF object ${path}` };
  }

  /** Those of `.rodata` and `.bss` included. */
  maps(): MapInfo[] {
    return attempt(this.#doing, () => this.#native.maps());
  }

  programs(): string[] {
    return attempt(this.#doing, () => this.#native.programs());
  }

  /** Before `load`. */
  setMaxEntries(map: string, entries: number): void {
    attempt(this.#doing, () => this.#native.setMaxEntries(map, entries));
  }

  /** Maps that go into this map of maps have to be like `inner`, not like the one that the file names. Before `load`. */
  setInnerMap(map: string, inner: BpfMap): void {
    attempt(this.#doing, () => this.#native.setInnerMap(map, inner.fd));
  }

  /** A copy of a data section as it will be, or was, at load. */
  rodata(name = '.rodata'): Uint8Array<ArrayBuffer> {
    return attempt(this.#doing, () => this.#native.rodata(name));
  }

  /**
   * Replaces a whole data section. Before `load`.
   * @throws PilotfishError PF_LAYOUT for another length than the section's
   */
  setRodata(bytes: Uint8Array, name = '.rodata'): void {
    const doing: Doing = { code: 'PF_LAYOUT', what: `section ${name} of BPF object ${this.#path}` };
    attempt(doing, () => this.#native.setRodata(name, bytes));
  }

  /**
   * Makes the maps and loads all programs, on the worker pool. Works once; after a failure open the file again.
   * @throws VerifierError; PilotfishError PF_CAPABILITY or PF_OBJECT
   */
  load(): Promise<void> {
    return attemptAsync(this.#doing, () => this.#native.load());
  }

  /** A handle of its own, which outlives this object. */
  map(name: string): BpfMap {
    return attempt(this.#doing, () => new BpfMap(this.#native.map(name)));
  }

  /** A handle of its own, which outlives this object. */
  program(name: string): BpfProgram {
    return attempt(this.#doing, () => new BpfProgram(this.#native.program(name)));
  }

  /** Maps and programs stay for as long as a handle, a pin, a link or another of them holds them. */
  close(): void {
    this.#native.close();
  }
}
