import { maps, structs, variables } from './layout.gen.ts';

/** Maps that are changed as a whole: outer maps of one inner map, which is made anew. */
export type TableName = 'directory' | 'server_ids';
/** Variables that the program reads as arrays. */
export type VariableName = Exclude<keyof typeof variables, 'changes'>;
export type MapName = Exclude<keyof typeof maps, 'rings' | TableName> | VariableName;

/** Maps whose entries come and go, and are many. */
export type TrieName = 'prefixes';

interface MapShape {
  readonly keySize: number;
  readonly valueSize: number;
  /** Every entry is there from the start, and full of zeros. */
  readonly isArray: boolean;
}

/** Enum bpf_map_type: array and percpu_array. */
const ARRAY_TYPES: readonly number[] = [2, 6];

const shapes = {
  ...Object.fromEntries(
    Object.entries(maps).map(([name, { type, keySize, valueSize }]) => [
      name,
      { keySize, valueSize, isArray: ARRAY_TYPES.includes(type) },
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(variables).map(([name, { valueSize }]) => [name, { keySize: 4, valueSize, isArray: true }]),
  ),
};

/** Bytes of one key and of one value of the program; see MapStore.cpus. */
export const mapShapes = shapes as Readonly<Record<MapName, MapShape>>;

/** Bytes of one entry of a table. */
export const entryBytes: Readonly<Record<TableName, number>> = {
  directory: structs.pf_entry.size,
  server_ids: structs.pf_server_id.size,
};

/** A ring to be made: `fill` writes the number of a real, below PF_REAL_NUMBERS, or 0 into all RING_SLOTS slots. */
export interface RingFill {
  readonly pool: number;
  fill(slots: Uint16Array): void;
}

/** Keys and, in the same order, values, each list without gaps. */
export interface Entries {
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly count: number;
}

/**
 * The maps as bytes. Knows sizes and nothing else, so that the kernel’s, one in memory and one that fails on purpose
 * are each a short file.
 *
 * Every method throws PilotfishError PF_MAP (PF_MAP_FULL for no room) and then has changed nothing, but for the two
 * ring methods, which may have changed some of the pools named, and those for many entries, which may have dealt with some.
 */
export interface MapStore {
  /** Values in a per-CPU entry, one after the other. */
  readonly cpus: number;
  /** Length of a tick of the flow cache. */
  readonly tickMs: number;
  /** Bytes from the start of an array’s value to that of a cache line, where the buckets of a block of the flow cache begin. */
  readonly toLine: number;
  maxEntries(map: MapName | 'rings'): number;
  put(map: MapName, key: Uint8Array, value: Uint8Array): void;
  get(map: MapName, key: Uint8Array): Uint8Array | null;
  entries(map: MapName): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
  putMany(map: TrieName, entries: Entries): Promise<void>;
  /** By their keys; those that are not there do no harm. */
  deleteMany(map: TrieName, entries: Entries): Promise<void>;
  /** Places of every inner map of a table: a power of two. */
  tableSize(table: TableName): number;
  /**
   * Makes the table aside and puts it into place. Packets see the old one or the new one, never a mix. Resolves when no
   * packet can see the old one any more, with the id of the new one.
   *
   * @param bytes of all of it
   */
  swapTable(table: TableName, bytes: Uint8Array): Promise<number>;
  /** Id of the table in place; null when there is none. */
  tableId(table: TableName): number | null;
  /** All bytes of the table in place; null when there is none, or none that this store made. */
  tableBytes(table: TableName): Uint8Array | null;
  /**
   * Makes the rings aside and puts all of them into place in one batch. Packets see an old ring or its new one, never
   * a mix. Resolves when no packet can see an old one any more, with the id of each new ring in the order given.
   */
  swapRings(rings: readonly RingFill[]): Promise<readonly number[]>;
  removeRings(pools: readonly number[]): Promise<void>;
  /** The flow cache may have flows of these pools at any real. Before the first packet of such a flow can come. */
  unsettle(pools: Iterable<number>): void;
  /** Time has passed: slots of which no flow was met elsewhere since the last call are settled; see settling.ts. */
  settle(): void;
  /** By pool number: the id of the ring in place. */
  ringIds(): ReadonlyMap<number, number>;
}
