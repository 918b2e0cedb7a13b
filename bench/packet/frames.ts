import { addressFromBytes } from '../../src/core/address.ts';
import type { Address, Protocol } from '../../src/core/model.ts';

/** Frames that the wrapper varies; see bench/bpf/wrapper.bpf.c. Checksums are 0: nothing that is measured reads them. */

/** As few bytes as Ethernet allows, and as many as the wrapper writes. */
export const FRAME_BYTES = 64;

/** Bits above the lowest 16 belong to the client’s network; the wrapper fills those. */
export const CLIENT = 0x0a_80_00_00;
export const CLIENT_PORT = 10_000;
/** 198.18.0.0: the range set aside for benchmarks (RFC 2544, RFC 6890). */
export const FIRST_VIP = 0xc6_12_00_00;
/** 198.19.0.0: never a VIP. */
export const OTHER = 0xc6_13_00_00;

const ETHERNET = 14;
const IPV4 = 20;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const TCP_SYN = 0x02;
const TCP_ACK = 0x10;

function ethernet(type: number): DataView {
  const view = new DataView(new ArrayBuffer(FRAME_BYTES));
  view.setUint32(2, 2);
  view.setUint32(8, 1);
  view.setUint8(0, 0x02);
  view.setUint8(6, 0x02);
  view.setUint16(12, type);
  return view;
}

function ipv4(protocol: number, destination: number, destinationPort: number): DataView {
  const view = ethernet(ETHERTYPE_IPV4);
  view.setUint8(ETHERNET, 0x45);
  view.setUint16(ETHERNET + 2, FRAME_BYTES - ETHERNET);
  view.setUint8(ETHERNET + 8, 64);
  view.setUint8(ETHERNET + 9, protocol);
  view.setUint32(ETHERNET + 12, CLIENT);
  view.setUint32(ETHERNET + 16, destination);
  view.setUint16(ETHERNET + IPV4, CLIENT_PORT);
  view.setUint16(ETHERNET + IPV4 + 2, destinationPort);
  return view;
}

function tcp(flags: number, destination: number, port: number): DataView {
  const view = ipv4(6, destination, port);
  view.setUint8(ETHERNET + IPV4 + 12, 5 << 4);
  view.setUint8(ETHERNET + IPV4 + 13, flags);
  return view;
}

function udp(destination: number, port: number): DataView {
  const view = ipv4(17, destination, port);
  view.setUint16(ETHERNET + IPV4 + 4, FRAME_BYTES - ETHERNET - IPV4);
  return view;
}

export type FrameKind = 'tcp' | 'tcp-syn' | 'udp' | 'arp';

/** The first frame of its kind to this address (host byte order) and port. */
export function frameOf(kind: FrameKind, destination: number, port: number): Uint8Array {
  const view = {
    tcp: () => tcp(TCP_ACK, destination, port),
    'tcp-syn': () => tcp(TCP_SYN, destination, port),
    udp: () => udp(destination, port),
    arp: () => ethernet(ETHERTYPE_ARP),
  }[kind]();
  return new Uint8Array(view.buffer);
}

/** Null for what no VIP can be for. */
export function protocolOf(kind: FrameKind): Protocol | null {
  return kind === 'arp' ? null : kind === 'udp' ? 'udp' : 'tcp';
}

/** Address of VIP `index`, 0 to 4,095. */
export function vipAddress(index: number): Address {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, FIRST_VIP + index);
  return addressFromBytes(new Uint8Array(view.buffer));
}
