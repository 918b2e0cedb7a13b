import { decode, indexKey } from './codec.ts';
import { enums, structs } from './layout.gen.ts';
import type { MapStore } from './map-store.ts';

const REASON_COUNT = enums.pf_reason.PF_REASON_COUNT;

/** Names of all reasons as metrics, trace and the reference write them: `not_vip`, `forwarded`. */
export const reasonNames: readonly string[] = Object.keys(enums.pf_reason)
  .slice(0, REASON_COUNT)
  .map((name) => name.slice('PF_'.length).toLowerCase());

export interface Traffic {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** Packets by reason since the program was loaded, over all CPUs. */
export function readReasons(store: Pick<MapStore, 'get'>): Record<string, bigint> {
  const counts: Record<string, bigint> = {};
  reasonNames.forEach((name, index) => {
    const value = store.get('reasons', indexKey(index)) ?? new Uint8Array();
    counts[name] = new BigUint64Array(value.buffer, value.byteOffset, value.length / 8).reduce((sum, n) => sum + n, 0n);
  });
  return counts;
}

/** Traffic of a VIP or a real by its number, over all CPUs. */
export function readTraffic(store: MapStore, map: 'vip_traffic' | 'real_traffic', number: number): Traffic {
  const { size } = structs.pf_traffic;
  const value = store.get(map, indexKey(number)) ?? new Uint8Array();
  let packets = 0n;
  let bytes = 0n;
  for (let at = 0; at + size <= value.length; at += size) {
    const one = decode('pf_traffic', value.subarray(at, at + size));
    packets += one.packets;
    bytes += one.bytes;
  }
  return { packets, bytes };
}
