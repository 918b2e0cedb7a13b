/** Frames and IP headers, as steps 1 and 2 of docs/reference/packets.md read them. */

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;
export const IPIP = 4;
export const IP6IP = 41;

const IPV4_TYPE = 0x0800;
const IPV6_TYPE = 0x86dd;
const vlanTypes: readonly number[] = [0x8100, 0x88a8];
const FRAGMENT = 44;
const AUTHENTICATION = 51;
/** Hop-by-hop, routing, destination options. */
const plainExtensions: readonly number[] = [0, 43, 60];
const MOST_EXTENSIONS = 6;
const MOST_EXTENSION_BYTES = 512;

export interface Packet {
  readonly frame: Buffer;
  readonly version: 4 | 6;
  /** Offset of the IP header in the frame. */
  readonly at: number;
  /** Offset of what follows the IP header and its options or extensions. */
  readonly transport: number;
  /** Offset of the end by the packet’s own length; may be past the frame. */
  readonly end: number;
  readonly source: Buffer;
  readonly destination: Buffer;
  /** Null: the chain of extension headers is too long, or not whole. */
  readonly protocol: number | null;
  readonly fragment: boolean;
  /** IPv4: header length in bytes as it says; IPv6: 40. */
  readonly headerLength: number;
  readonly dontFragment: boolean;
  readonly trafficClass: number;
}

/** Offset of the ethertype that is no tag’s; -1 when the frame ends before. */
export function typeOffset(frame: Buffer): number {
  let at = 12;
  for (let tags = 0; tags < 2; tags++) {
    if (at + 2 > frame.length) return -1;
    if (!vlanTypes.includes(frame.readUInt16BE(at))) break;
    at += 4;
  }
  return at + 2 > frame.length ? -1 : at;
}

interface Chain {
  readonly protocol: number | null;
  readonly transport: number;
  readonly fragment: boolean;
}

function walkExtensions(frame: Buffer, at: number, first: number): Chain {
  const broken = { protocol: null, transport: at, fragment: false };
  let next = first;
  let offset = at;
  for (let seen = 0; plainExtensions.includes(next) || next === AUTHENTICATION || next === FRAGMENT; seen++) {
    if (seen === MOST_EXTENSIONS || offset + 8 > frame.length) return broken;
    const units = frame[offset + 1]!;
    const length = next === FRAGMENT ? 8 : next === AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8;
    if (offset + length > frame.length || offset + length - at > MOST_EXTENSION_BYTES) return broken;
    // Offset and the sign that more follow; two bits between them are reserved (RFC 8200, section 4.5).
    const fragment = next === FRAGMENT && (frame.readUInt16BE(offset + 2) & 0xfff9) !== 0;
    next = frame[offset]!;
    offset += length;
    if (fragment) return { protocol: next, transport: offset, fragment };
  }
  return { protocol: next, transport: offset, fragment: false };
}

function readIpv4(frame: Buffer, at: number): Packet {
  const headerLength = (frame[at]! & 0xf) * 4;
  const flags = frame.readUInt16BE(at + 6);
  return {
    frame,
    version: 4,
    at,
    transport: at + headerLength,
    end: at + frame.readUInt16BE(at + 2),
    source: frame.subarray(at + 12, at + 16),
    destination: frame.subarray(at + 16, at + 20),
    protocol: frame[at + 9]!,
    fragment: (flags & 0x3fff) !== 0,
    headerLength,
    dontFragment: (flags & 0x4000) !== 0,
    trafficClass: frame[at + 1]!,
  };
}

function readIpv6(frame: Buffer, at: number): Packet {
  return {
    frame,
    version: 6,
    at,
    ...walkExtensions(frame, at + 40, frame[at + 6]!),
    end: at + 40 + frame.readUInt16BE(at + 4),
    source: frame.subarray(at + 8, at + 24),
    destination: frame.subarray(at + 24, at + 40),
    headerLength: 40,
    dontFragment: true,
    trafficClass: (frame.readUInt16BE(at) >> 4) & 0xff,
  };
}

/** The packet in a frame, or why it is passed. */
export function readPacket(frame: Buffer): Packet | 'not_ip' | 'unreadable' {
  const typeAt = typeOffset(frame);
  if (typeAt < 0) return 'unreadable';
  const type = frame.readUInt16BE(typeAt);
  if (type !== IPV4_TYPE && type !== IPV6_TYPE) return 'not_ip';
  const [version, fixed] = type === IPV4_TYPE ? [4, 20] : [6, 40];
  const at = typeAt + 2;
  if (at + fixed > frame.length || frame[at]! >> 4 !== version) return 'unreadable';
  return version === 4 ? readIpv4(frame, at) : readIpv6(frame, at);
}

/** MAC addresses and tags stay, as does everything from `from` on; the type becomes that of the version. */
export function openedFrame(frame: Buffer, from: number, version: 4 | 6): Buffer {
  const link = Buffer.from(frame.subarray(0, typeOffset(frame) + 2));
  link.writeUInt16BE(version === 4 ? IPV4_TYPE : IPV6_TYPE, link.length - 2);
  return Buffer.concat([link, frame.subarray(from)]);
}

/** Addresses, and tags unless they go, in front of a packet of this version. */
export function linkHeader(frame: Buffer, to: Uint8Array, from: Uint8Array, version: 4 | 6, tags: boolean): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(version === 4 ? IPV4_TYPE : IPV6_TYPE);
  return Buffer.concat([to, from, tags ? frame.subarray(12, typeOffset(frame)) : Buffer.alloc(0), type]);
}
