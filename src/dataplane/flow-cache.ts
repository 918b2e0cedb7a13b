import type { RealRecord } from '../core/data-plane.ts';
import { decode, indexKey } from './codec.ts';
import { structs } from './layout.gen.ts';
import type { MapStore } from './map-store.ts';
import { decodeReal } from './records.ts';

/** The flow cache as bpf/flow.h keeps it: a region of the map flows for each CPU, buckets of 8 entries. */

export const BUCKET_ENTRIES: number = structs.pf_flow_bucket.fields.entry.count;

/** Key in the map flows of the bucket that a CPU has for flows of this hash. */
function bucketIndex(hash: bigint, cpu: number, flowsPerCpu: number): number {
  const buckets = flowsPerCpu / BUCKET_ENTRIES;
  return cpu * buckets + Number((hash >> 32n) & BigInt(buckets - 1));
}

/** An entry as bpf/layout.h describes it. */
function parts(entry: bigint): { tag: bigint; number: number; generation: number } {
  return {
    tag: entry & 0xffffffffn,
    number: Number((entry >> 32n) & 0xffffn),
    generation: Number((entry >> 48n) & 0xffn),
  };
}

/** What the flow cache of one CPU has of a flow. */
export interface RememberedFlow {
  readonly cpu: number;
  /** Of the real; this host’s own. */
  readonly number: number;
  /** Null: the entry is void, the number has gone on to another generation since. */
  readonly real: RealRecord | null;
}

function rememberedOn(
  store: Pick<MapStore, 'get'>,
  hash: bigint,
  cpu: number,
  flowsPerCpu: number,
): RememberedFlow | null {
  const bucket = store.get('flows', indexKey(bucketIndex(hash, cpu, flowsPerCpu)));
  if (bucket === null) return null;
  let voided: RememberedFlow | null = null;
  for (const { tag, number, generation } of decode('pf_flow_bucket', bucket).entry.map(parts)) {
    if (tag !== (hash & 0xffffffffn) || number === 0) continue;
    const found = store.get('reals', indexKey(number));
    const real = found === null ? null : decodeReal(found);
    if (real !== null && real.address !== null && real.generation === generation) return { cpu, number, real };
    voided ??= { cpu, number, real: null };
  }
  return voided;
}

/**
 * Where the flow cache remembers a flow, at most once for each CPU. Like the program it takes the first entry that still
 * holds; a void one is told only where there is none. Two flows are told apart by their hash alone, as the program does.
 *
 * @param hash of the flow
 * @param flowsPerCpu entries for each CPU, as the program was loaded
 */
export function rememberedFlow(
  store: Pick<MapStore, 'get' | 'cpus'>,
  hash: bigint,
  flowsPerCpu: number,
): RememberedFlow[] {
  return Array.from({ length: store.cpus }, (_, cpu) => rememberedOn(store, hash, cpu, flowsPerCpu)).filter(
    (found) => found !== null,
  );
}
