import { addressBytes, addressFromBytes } from '../../src/core/address.ts';
import type { Address, Protocol } from '../../src/core/model.ts';

/** Frames that the wrapper varies; see bench/bpf/wrapper.h. Checksums are made up: nothing that is measured verifies one. */

/** What the wrapper restores, and the least that it takes. */
export const RESTORED_BYTES = 64;

/** Bits above the lowest 16 belong to the client’s network; the wrapper fills those. */
export const CLIENT = 0x0a_80_00_00;
export const CLIENT_PORT = 10_000;
/** 198.18.0.0 and 2001:2::c612:0: of the ranges set aside for benchmarks (RFC 2544, RFC 5180, RFC 6890). */
export const FIRST_VIP = 0xc6_12_00_00;
/** 198.19.0.0 and 2001:2::c613:0: never a VIP. */
export const OTHER = 0xc6_13_00_00;
const NETWORK_V6 = '2001:2::';

const ETHERNET = 14;
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd, arp: 0x0806 } as const;
const HEADER = { 4: 20, 6: 40 } as const;
/** IPPROTO_ICMP and IPPROTO_ICMPV6, and the types of their echo requests. */
const ICMP = { 4: { protocol: 1, request: 8 }, 6: { protocol: 58, request: 128 } } as const;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const TCP_SYN = 0x02;
const TCP_ACK = 0x10;
const UDP = 8;
/** A header byte with the fixed bit, then a connection id that begins with version 2 and 24 bits of server id. */
const QUIC_SHORT_HEADER = 0x40;
const CONNECTION_ID_V2 = 0x80;
const SOME_CHECKSUM = 0x5eed;

export type Family = 4 | 6;
export type FrameKind = 'tcp' | 'tcp-syn' | 'udp' | 'quic' | 'echo' | 'arp';

export interface Frame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Offsets of what varies: the last 4 bytes of the addresses, the source port, the last byte of the server id. */
  readonly source: number;
  readonly destination: number;
  readonly port: number;
  /** 0: it has none. */
  readonly id: number;
}

/** Writes into a frame what follows the IP header at `at`. */
type Payload = (view: DataView, at: number) => void;

const ports = (view: DataView, at: number, destination: number): void => {
  view.setUint16(at, CLIENT_PORT);
  view.setUint16(at + 2, destination);
};

function tcp(flags: number, port: number): Payload {
  return (view, at) => {
    ports(view, at, port);
    view.setUint8(at + 12, 5 << 4);
    view.setUint8(at + 13, flags);
    view.setUint16(at + 16, SOME_CHECKSUM);
  };
}

function udp(port: number): Payload {
  return (view, at) => {
    ports(view, at, port);
    view.setUint16(at + 4, view.byteLength - at);
    view.setUint16(at + 6, SOME_CHECKSUM);
  };
}

function quic(port: number): Payload {
  return (view, at) => {
    udp(port)(view, at);
    view.setUint8(at + UDP, QUIC_SHORT_HEADER);
    view.setUint8(at + UDP + 1, CONNECTION_ID_V2);
  };
}

function echo(family: Family): Payload {
  return (view, at) => {
    view.setUint8(at, ICMP[family].request);
    view.setUint16(at + 2, SOME_CHECKSUM);
  };
}

/** A frame of as few bytes as Ethernet allows; more where the headers need them. */
function blank(needed: number, ethertype: number): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(Math.max(RESTORED_BYTES, needed)));
  view.setUint32(2, 2);
  view.setUint32(8, 1);
  view.setUint8(0, 0x02);
  view.setUint8(6, 0x02);
  view.setUint16(12, ethertype);
  return view;
}

function ipv4(protocol: number, destination: number, payload: Payload): DataView<ArrayBuffer> {
  const view = blank(0, ETHERTYPE[4]);
  view.setUint8(ETHERNET, 0x45);
  view.setUint16(ETHERNET + 2, view.byteLength - ETHERNET);
  view.setUint8(ETHERNET + 8, 64);
  view.setUint8(ETHERNET + 9, protocol);
  view.setUint32(ETHERNET + 12, CLIENT);
  view.setUint32(ETHERNET + 16, destination);
  payload(view, ETHERNET + HEADER[4]);
  return view;
}

function ipv6(protocol: number, destination: number, payload: Payload): DataView<ArrayBuffer> {
  const view = blank(ETHERNET + HEADER[6] + 20, ETHERTYPE[6]);
  const network = addressBytes(NETWORK_V6);
  view.setUint8(ETHERNET, 0x60);
  view.setUint16(ETHERNET + 4, view.byteLength - ETHERNET - HEADER[6]);
  view.setUint8(ETHERNET + 6, protocol);
  view.setUint8(ETHERNET + 7, 64);
  for (const [at, address] of [
    [ETHERNET + 8, CLIENT],
    [ETHERNET + 24, destination],
  ] as const) {
    new Uint8Array(view.buffer).set(network, at);
    view.setUint32(at + 12, address);
  }
  payload(view, ETHERNET + HEADER[6]);
  return view;
}

function ip(kind: Exclude<FrameKind, 'arp'>, family: Family, destination: number, port: number): DataView<ArrayBuffer> {
  const [protocol, payload] = (
    {
      tcp: [IPPROTO_TCP, tcp(TCP_ACK, port)],
      'tcp-syn': [IPPROTO_TCP, tcp(TCP_SYN, port)],
      udp: [IPPROTO_UDP, udp(port)],
      quic: [IPPROTO_UDP, quic(port)],
      echo: [ICMP[family].protocol, echo(family)],
    } as const
  )[kind];
  return (family === 4 ? ipv4 : ipv6)(protocol, destination, payload);
}

/** The first frame of its kind to this address (its last 4 bytes, in host byte order) and port. */
export function frameOf(kind: FrameKind, family: Family, destination: number, port: number): Frame {
  const view = kind === 'arp' ? blank(0, ETHERTYPE.arp) : ip(kind, family, destination, port);
  const payload = ETHERNET + HEADER[family];
  return {
    bytes: new Uint8Array(view.buffer),
    source: family === 4 ? ETHERNET + 12 : ETHERNET + 20,
    destination: family === 4 ? ETHERNET + 16 : ETHERNET + 36,
    // An echo request has its identifier, which clients vary too, 4 bytes further on.
    port: kind === 'echo' ? payload + 4 : payload,
    id: kind === 'quic' ? payload + UDP + 4 : 0,
  };
}

/** Of the VIP that such frames are for. */
export function protocolOf(kind: FrameKind): Protocol {
  return kind === 'udp' || kind === 'quic' ? 'udp' : 'tcp';
}

/** Address of VIP `index`, 0 to 4,095. */
export function vipAddress(family: Family, index: number): Address {
  const bytes = family === 4 ? new Uint8Array(4) : addressBytes(NETWORK_V6);
  new DataView(bytes.buffer).setUint32(bytes.length - 4, FIRST_VIP + index);
  return addressFromBytes(bytes);
}
