import { fileURLToPath } from 'node:url';
import { type BpfObject, openObject } from '../../src/dataplane/native.ts';
import { CLIENT, CLIENT_PORT, FIRST_VIP, frameOf } from '../packet/frames.ts';
import type { RowEncap } from '../packet/scenarios.ts';

const OBJECT = fileURLToPath(new URL('../../build/bench/wire.bpf.o', import.meta.url));

const ETHERNET = 14;
const ETHERTYPE_IPV4 = 0x0800;
const IPV4 = 20;
const UDP = 8;
const IPPROTO = { ipip: 4, gue: 17 } as const;
/** 172.16.0.1 and 10.1.0.1: where the agent’s defaults and bench/packet/ours.ts have theirs. */
const OUTER_SOURCE = 0xac_10_00_01;
const REAL = 0x0a_01_00_01;
const GUE_PORT = 6080;
const SOME_CHECKSUM = 0x5eed;

/** Bytes that an encapsulation puts in front. */
export const outerBytes = { ipip: IPV4, gue: IPV4 + UDP } as const satisfies Record<RowEncap, number>;

/** What is sent again and again, but for its source. */
export const frame = frameOf('tcp', 4, FIRST_VIP, 80).bytes;

/** Ethernet and outer header, padded to whole words of 64 bits. Nobody looks at checksums. */
function bareHeader(encap: RowEncap): Uint8Array {
  const outer = outerBytes[encap];
  const view = new DataView(new ArrayBuffer(Math.ceil((ETHERNET + outer) / 8) * 8));
  new Uint8Array(view.buffer).set(frame.subarray(0, ETHERNET));
  view.setUint16(ETHERNET - 2, ETHERTYPE_IPV4);
  const inner = frame.length - ETHERNET;
  view.setUint8(ETHERNET, 0x45);
  view.setUint16(ETHERNET + 2, outer + inner);
  view.setUint8(ETHERNET + 8, 64);
  view.setUint8(ETHERNET + 9, IPPROTO[encap]);
  view.setUint16(ETHERNET + 10, SOME_CHECKSUM);
  view.setUint32(ETHERNET + 12, OUTER_SOURCE);
  view.setUint32(ETHERNET + 16, REAL);
  if (encap === 'gue') {
    view.setUint16(ETHERNET + IPV4, CLIENT_PORT);
    view.setUint16(ETHERNET + IPV4 + 2, GUE_PORT);
    view.setUint16(ETHERNET + IPV4 + 4, UDP + inner);
  }
  return new Uint8Array(view.buffer);
}

/** struct wire_settings of bench/bpf/wire.bpf.c. */
function settings(flows: number): Uint8Array {
  const numbers = Uint32Array.of(flows, CLIENT, CLIENT_PORT, 0);
  return Buffer.concat([frame, bareHeader('ipip'), bareHeader('gue'), new Uint8Array(numbers.buffer)]);
}

/** The programs of bench/bpf/wire.bpf.c in the kernel, with maps of their own. @param flows that take turns */
export async function loadPrograms(flows: number): Promise<BpfObject> {
  const object = openObject(OBJECT);
  object.setRodata(settings(flows));
  await object.load();
  return object;
}
