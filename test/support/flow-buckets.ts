import { decode, encode, indexKey } from '../../src/dataplane/codec.ts';
import { bucketPlace } from '../../src/dataplane/flow-cache.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { type MapStore, mapShapes } from '../../src/dataplane/map-store.ts';
import type { ProgramBench } from './program-bench.ts';

const BYTES = structs.pf_flow_bucket.size;

/** The entries of a bucket of the flow cache; with 8 entries for each CPU there is one bucket for each, and a CPU’s number is its index. */
export function readBucket(store: Pick<MapStore, 'get' | 'toLine'>, index: number): readonly bigint[] {
  const { key, at } = bucketPlace(store, index);
  const block = store.get('flows', key);
  if (block === null) throw new Error(`the map flows has no bucket ${index}`);
  return decode('pf_flow_bucket', block.subarray(at, at + BYTES)).entry;
}

/** Entries that are not given become empty. */
export function writeBucket(
  store: Pick<MapStore, 'get' | 'put' | 'toLine'>,
  index: number,
  entry: readonly bigint[],
): void {
  const { key, at } = bucketPlace(store, index);
  const block = store.get('flows', key) ?? new Uint8Array(mapShapes.flows.valueSize);
  block.set(encode('pf_flow_bucket', { entry }), at);
  store.put('flows', key, block);
}

/** Has no CPU remember any flow, past the store: it would count a change. */
export function eraseFlows({ loaded }: Pick<ProgramBench, 'loaded'>): void {
  const map = loaded.object.map('flows');
  const nothing = new Uint8Array(mapShapes.flows.valueSize);
  for (let block = 0; block < map.info.maxEntries; block++) map.put(indexKey(block), nothing);
  map.close();
}
