import type { RealRecord } from '../core/data-plane.ts';
import { decode, indexKey } from './codec.ts';
import { enums, structs } from './layout.gen.ts';
import type { MapStore } from './map-store.ts';
import { decodeReal } from './records.ts';

/**
 * The flow cache as bpf/flow.h keeps it: a region for each CPU, buckets of 8 entries, in the map flows a block of buckets to a key. A
 * flow may be in either of two buckets.
 */

export const BUCKET_ENTRIES: number = structs.pf_flow_bucket.fields.entry.count;
export const BLOCK_BUCKETS: number = enums.pf_block.PF_BLOCK_BUCKETS;
/** Ticks are counted modulo this plus one. */
export const TICK_MASK = 0x3ff;

const TAG_MASK = 0x7fffffffn;

/** Numbers of the two buckets, which may be one, that a CPU has for flows of this hash. */
function bucketIndices(hash: bigint, cpu: number, flowsPerCpu: number): readonly [number, number] {
  const buckets = flowsPerCpu / BUCKET_ENTRIES;
  const half = BigInt.asUintN(32, hash >> 32n);
  const turned = BigInt.asUintN(32, (half << 16n) | (half >> 16n));
  const indexOf = (bits: bigint): number => cpu * buckets + Number((bits * BigInt(buckets)) >> 32n);
  return [indexOf(half), indexOf(turned)];
}

/** Where a bucket is: the key of its block, and the first of its bytes there. */
export function bucketPlace({ toLine }: Pick<MapStore, 'toLine'>, index: number): { key: Uint8Array; at: number } {
  return {
    key: indexKey(Math.floor(index / BLOCK_BUCKETS)),
    at: toLine + (index % BLOCK_BUCKETS) * structs.pf_flow_bucket.size,
  };
}

/** The entries of a bucket; none when there is no such bucket. */
function bucketEntries(store: Pick<MapStore, 'get' | 'toLine'>, index: number): readonly FlowEntry[] {
  const { key, at } = bucketPlace(store, index);
  const block = store.get('flows', key);
  if (block === null) return [];
  return decode('pf_flow_bucket', block.subarray(at, at + structs.pf_flow_bucket.size)).entry.map(readFlowEntry);
}

/** An entry of a bucket. */
export interface FlowEntry {
  /** Low 31 bits of the flow hash. */
  readonly tag: number;
  /** Tick of the last use. */
  readonly tick: number;
  /** Of the real; 0 in an empty entry. */
  readonly number: number;
  /** Of the real at that time. */
  readonly generation: number;
}

/** As bpf/layout.h describes it. */
export function readFlowEntry(entry: bigint): FlowEntry {
  return {
    tag: Number(entry & TAG_MASK),
    tick: Number((entry >> 31n) & BigInt(TICK_MASK)),
    number: Number((entry >> 41n) & 0xffffn),
    generation: Number(entry >> 57n),
  };
}

/** What the flow cache of one CPU has of a flow. */
export interface RememberedFlow {
  readonly cpu: number;
  /** Of the real; this host’s own. */
  readonly number: number;
  /** Null: the entry is void, the number has gone on to another generation since. */
  readonly real: RealRecord | null;
  /** Since the last packet, 0 to 1,023; null when the time now was not given. Flows of UDP are void after some. */
  readonly ticksAgo: number | null;
}

/**
 * Where the flow cache remembers a flow, at most once for each CPU. Two flows are told apart by their hash alone, as the
 * program does.
 *
 * @param hash of the flow, in the mode that the flow cache knows it by
 * @param flowsPerCpu entries for each CPU, as the program was loaded
 * @param now tick of the flow cache
 */
export function rememberedFlow(
  store: Pick<MapStore, 'get' | 'cpus' | 'toLine'>,
  hash: bigint,
  flowsPerCpu: number,
  now?: number,
): RememberedFlow[] {
  const found: RememberedFlow[] = [];
  for (let cpu = 0; cpu < store.cpus; cpu++) {
    const entries = bucketIndices(hash, cpu, flowsPerCpu).flatMap((index) => bucketEntries(store, index));
    // The first one with its tag decides, whether it holds or not.
    const entry = entries.find(({ tag, number }) => BigInt(tag) === (hash & TAG_MASK) && number !== 0);
    if (entry === undefined) continue;
    const { number, generation, tick } = entry;
    const bytes = store.get('reals', indexKey(number));
    const real = bytes === null ? null : decodeReal(bytes);
    const holds = real !== null && real.address !== null && real.generation === generation;
    const ticksAgo = now === undefined ? null : (now - tick) & TICK_MASK;
    found.push({ cpu, number, real: holds ? real : null, ticksAgo });
  }
  return found;
}
