import { decode, encode, indexKey, type StructValue } from '../../src/dataplane/codec.ts';
import { enums, structs } from '../../src/dataplane/layout.gen.ts';
import type { ProgramBench } from './program-bench.ts';

/** What the program keeps of recent VIPs, read and written past the store: it would count a change. */

const PLACES = enums.pf_recent_vips.PF_RECENT_VIPS;
const { size: BYTES } = structs.pf_recent_vip;

/** And ICMPv6: they have no ports. */
const ICMP: readonly number[] = [1, 58];

const MIX = [0x9e3779b97f4a7c15n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n] as const;

/** Where a frame’s destination has its place: docs/decisions/0009-recent-vips.md. */
export function recentPlace(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const isV4 = view.getUint8(14) >> 4 === 4;
  const protocol = view.getUint8(isV4 ? 23 : 20);
  const port = ICMP.includes(protocol) ? 0 : view.getUint16(isV4 ? 36 : 56, true);
  const tail = BigInt(port) | (BigInt(protocol) << 16n) | ((isV4 ? 4n : 6n) << 24n);
  const address = isV4
    ? BigInt(view.getUint32(30)) * MIX[0]
    : (view.getBigUint64(38) * MIX[0]) ^ (view.getBigUint64(46) * MIX[1]);
  return Number((BigInt.asUintN(64, address ^ (tail * MIX[2])) >> 32n) % BigInt(PLACES));
}

type Recent = StructValue<'pf_recent_vip'>;

/** Hands over the place of a frame’s destination on the CPU of the bench, and writes back what comes of it. */
export function changeRecent(bench: ProgramBench, frame: Uint8Array, change: (recent: Recent) => Recent): void {
  const map = bench.loaded.object.map('cpu_state');
  const all = map.get(indexKey(0)) ?? new Uint8Array();
  const at =
    bench.cpu * structs.pf_cpu_state.size + structs.pf_cpu_state.fields.recent.offset + recentPlace(frame) * BYTES;
  all.set(encode('pf_recent_vip', change(decode('pf_recent_vip', all.subarray(at, at + BYTES)))), at);
  map.put(indexKey(0), all);
  map.close();
}

export function readRecent(bench: ProgramBench, frame: Uint8Array): Recent {
  const read: Recent[] = [];
  changeRecent(bench, frame, (recent) => {
    read.push(recent);
    return recent;
  });
  return read[0]!;
}
