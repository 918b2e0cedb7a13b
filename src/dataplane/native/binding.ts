/**
 * What the addon exports, by shape alone: handles, bytes and numbers. The classes beside this file give it names,
 * defaults and errors for people. Every function may throw NativeFailure (errors.ts).
 */

export interface NativeAddon {
  openObject(path: string): NativeObject;
  createMap(
    type: string,
    name: string,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    flags: number,
  ): NativeMap;
  openPinnedMap(path: string): NativeMap | null;
  openPinnedProgram(path: string): NativeProgram | null;
  openPinnedLink(path: string): NativeLink | null;
  unmap(buffer: ArrayBufferLike): boolean;
  possibleCpus(): number;
  arrayValueOffset(): number | null;
  libbpfVersion(): string;
  interfaceIndex(name: string): number | null;
}

export interface NativeObject {
  maps(): MapInfo[];
  programs(): string[];
  setMaxEntries(map: string, entries: number): void;
  setInnerMap(map: string, fd: number): void;
  rodata(map: string): Uint8Array<ArrayBuffer>;
  setRodata(map: string, bytes: Uint8Array): void;
  load(): Promise<void>;
  map(name: string): NativeMap;
  program(name: string): NativeProgram;
  close(): void;
}

export interface NativeMap {
  info(): MapInfo;
  id(): number;
  fd(): number;
  put(key: Uint8Array, value: Uint8Array): void;
  get(key: Uint8Array): Uint8Array<ArrayBuffer> | null;
  delete(key: Uint8Array): boolean;
  entries(): MapEntries;
  putBatch(keys: Uint8Array, values: Uint8Array, count: number): Promise<void>;
  deleteBatch(keys: Uint8Array, count: number): Promise<number>;
  mmap(): Uint8Array<ArrayBuffer>;
  pin(path: string): void;
  close(): void;
}

export interface NativeProgram {
  info(): ProgramInfo;
  fd(): number;
  attachXdp(ifindex: number, flags: number): NativeLink;
  testRun(...run: NativeTestRun): TestRunResult;
  testRunAsync(...run: NativeTestRun): Promise<TestRunResult>;
  pin(path: string): void;
  close(): void;
}

export type NativeTestRun = [
  frame: Uint8Array,
  repeat: number,
  outSize: number,
  cpu: number | null,
  ingressIfindex: number,
  liveFrames: boolean,
  batchSize: number,
];

export interface NativeLink {
  info(): LinkInfo;
  fd(): number;
  update(programFd: number): void;
  detach(): void;
  pin(path: string): void;
  close(): void;
}

export interface MapInfo {
  /** As in the object file; the kernel’s own copy, cut to 15 characters, for a map opened by its pin. */
  readonly name: string;
  /** As libbpf and bpftool name it: `hash`, `array`, `percpu_array`, `array_of_maps`, ... */
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  /** Bytes of one value in a call: for per-CPU maps the value, rounded up to 8 bytes, for each possible CPU. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  /** BPF_F_... bits. */
  readonly flags: number;
}

/** `count` keys and, in the same order, `count` values, each list without gaps. */
export interface MapEntries {
  readonly keys: Uint8Array<ArrayBuffer>;
  readonly values: Uint8Array<ArrayBuffer>;
  readonly count: number;
}

export interface ProgramInfo {
  /** The kernel’s number of the program; of no other one until it is unloaded. */
  readonly id: number;
  readonly name: string;
  /** Instructions that the verifier walked through, branches counted each time. */
  readonly verifiedInstructions: number;
  /** Length after the kernel’s rewriting, and as machine code; 0 where the kernel does not tell this process. */
  readonly xlatedBytes: number;
  readonly jitedBytes: number;
}

export interface LinkInfo {
  readonly id: number;
  readonly progId: number;
  /** 0 once the link is detached or its interface is gone. */
  readonly ifindex: number;
}

export interface TestRunResult {
  /** The verdict: XDP_ABORTED 0, XDP_DROP 1, XDP_PASS 2, XDP_TX 3, XDP_REDIRECT 4. Of live frames always 0. */
  readonly retval: number;
  /** The frame as the program left it after the last round; empty for live frames. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Mean of one round, in whole nanoseconds. */
  readonly durationNs: number;
}
