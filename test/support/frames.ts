/** Frames as they stand on the wire. Shares no code with src/, so that a mistake there cannot hide here. */

/** What an IP header carries. */
export interface Segment {
  /** IANA protocol number. */
  readonly protocol: number;
  readonly bytes: Uint8Array;
  /** Where its checksum over the pseudo header and itself goes; null when it has none of this kind. */
  readonly checksumAt: number | null;
}

export interface Ports {
  readonly from: number;
  readonly to: number;
  readonly payload?: Uint8Array;
}

/** Flags of a TCP header (RFC 9293, section 3.1). */
export const tcpFlags = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10, urg: 0x20 } as const;

const nothing = new Uint8Array();

function bytesOf(length: number, write: (view: DataView) => void, ...rest: readonly Uint8Array[]): Uint8Array {
  const head = new Uint8Array(length);
  write(new DataView(head.buffer));
  return Buffer.concat([head, ...rest]);
}

/** RFC 1071. @returns 0 over anything that contains its own right checksum */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** `options` must be a multiple of 4 bytes. */
export function tcp(of: Ports & { readonly flags?: number; readonly options?: Uint8Array }): Segment {
  const { from, to, payload = nothing, flags = tcpFlags.ack, options = nothing } = of;
  const bytes = bytesOf(
    20,
    (view) => {
      view.setUint16(0, from);
      view.setUint16(2, to);
      view.setUint32(4, 0x01020304);
      view.setUint32(8, 0x05060708);
      view.setUint8(12, (5 + options.length / 4) << 4);
      view.setUint8(13, flags);
      view.setUint16(14, 0xffff);
    },
    options,
    payload,
  );
  return { protocol: 6, bytes, checksumAt: 16 };
}

export function udp({ from, to, payload = nothing }: Ports): Segment {
  const bytes = bytesOf(
    8,
    (view) => {
      view.setUint16(0, from);
      view.setUint16(2, to);
      view.setUint16(4, 8 + payload.length);
    },
    payload,
  );
  return { protocol: 17, bytes, checksumAt: 6 };
}

export interface IcmpFields {
  readonly code?: number;
  /** The four bytes after the checksum. */
  readonly rest?: number;
}

function icmpBytes(type: number, payload: Uint8Array, { code = 0, rest = 0 }: IcmpFields): Uint8Array {
  return bytesOf(
    8,
    (view) => {
      view.setUint8(0, type);
      view.setUint8(1, code);
      view.setUint32(4, rest);
    },
    payload,
  );
}

/** An ICMP message; an echo request unless told otherwise. */
export function icmp(type = 8, payload: Uint8Array = nothing, fields: IcmpFields = {}): Segment {
  const bytes = icmpBytes(type, payload, fields);
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(2, internetChecksum(bytes));
  return { protocol: 1, bytes, checksumAt: null };
}

/** The same for IPv6. */
export function icmp6(type = 128, payload: Uint8Array = nothing, fields: IcmpFields = {}): Segment {
  return { protocol: 58, bytes: icmpBytes(type, payload, fields), checksumAt: 2 };
}

export function rawSegment(protocol: number, bytes: Uint8Array): Segment {
  return { protocol, bytes, checksumAt: null };
}

export interface Ipv4Header {
  readonly from: string;
  readonly to: string;
  readonly tos?: number;
  readonly id?: number;
  readonly ttl?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In units of 8 bytes. */
  readonly fragmentOffset?: number;
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** What the header says instead of the truth. */
  readonly totalLength?: number;
  readonly headerWords?: number;
  readonly version?: number;
}

export function ipv4Bytes(address: string): Uint8Array {
  return Uint8Array.from(address.split('.'), Number);
}

function withChecksum({ bytes, checksumAt }: Segment, pseudoHeader: Uint8Array): Uint8Array {
  if (checksumAt === null) return bytes;
  const out = Uint8Array.from(bytes);
  const sum = internetChecksum(pseudoHeader, out);
  new DataView(out.buffer).setUint16(checksumAt, sum);
  return out;
}

/** A packet; a fragment’s bytes are given as `rawSegment`. */
export function ipv4(header: Ipv4Header, segment: Segment): Uint8Array {
  const { from, to, options = nothing, dontFragment = true, moreFragments = false, fragmentOffset = 0 } = header;
  const pseudo = bytesOf(4, (view) => {
    view.setUint8(1, segment.protocol);
    view.setUint16(2, segment.bytes.length);
  });
  const body = withChecksum(segment, Buffer.concat([ipv4Bytes(from), ipv4Bytes(to), pseudo]));
  const head = Uint8Array.from([...new Uint8Array(20), ...options]);
  const view = new DataView(head.buffer);
  view.setUint8(0, ((header.version ?? 4) << 4) | (header.headerWords ?? head.length / 4));
  view.setUint8(1, header.tos ?? 0);
  view.setUint16(2, header.totalLength ?? head.length + body.length);
  view.setUint16(4, header.id ?? 0x1234);
  view.setUint16(6, (dontFragment ? 0x4000 : 0) | (moreFragments ? 0x2000 : 0) | fragmentOffset);
  view.setUint8(8, header.ttl ?? 61);
  view.setUint8(9, segment.protocol);
  head.set(ipv4Bytes(from), 12);
  head.set(ipv4Bytes(to), 16);
  view.setUint16(10, internetChecksum(head));
  return Buffer.concat([head, body]);
}

/** A header between IPv6 header and segment: its number, and bytes whose first is overwritten with that of what follows. */
export interface Extension {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export interface Ipv6Options {
  readonly trafficClass?: number;
  readonly hopLimit?: number;
  readonly extensions?: readonly Extension[];
  /** Payload length to write instead of the true one. */
  readonly length?: number;
}

/** An IPv6 packet (RFC 8200) between two addresses of 16 bytes. */
export function ipv6(from: Uint8Array, to: Uint8Array, segment: Segment, options: Ipv6Options = {}): Uint8Array {
  const { trafficClass = 0, hopLimit = 61, extensions = [], length } = options;
  const pseudo = bytesOf(8, (view) => {
    view.setUint32(0, segment.bytes.length);
    view.setUint8(7, segment.protocol);
  });
  const between = extensions.map(({ bytes }, i) => bytes.with(0, extensions[i + 1]?.type ?? segment.protocol));
  const body = Buffer.concat([...between, withChecksum(segment, Buffer.concat([from, to, pseudo]))]);
  const fixed = bytesOf(8, (view) => {
    view.setUint32(0, ((6 << 28) | (trafficClass << 20)) >>> 0);
    view.setUint16(4, length ?? body.length);
    view.setUint8(6, extensions[0]?.type ?? segment.protocol);
    view.setUint8(7, hopLimit);
  });
  return Buffer.concat([fixed, from, to, body]);
}

/** Who has `target`? (RFC 826) */
export function arp(sender: string, target: string): Uint8Array {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  const fixed = Uint8Array.of(0, 1, 8, 0, 6, 4, 0, 1);
  return Buffer.concat([fixed, mac, ipv4Bytes(sender), new Uint8Array(6), ipv4Bytes(target)]);
}

export interface EthernetHeader {
  readonly from?: string;
  readonly to?: string;
  /** Default IPv4. */
  readonly type?: number;
  /** Ethertype and control word of VLAN tags, outermost first. */
  readonly tags?: readonly (readonly [type: number, control: number])[];
  /** Zeros behind the payload up to this length of the frame, as a NIC adds them. */
  readonly padTo?: number;
}

export const etherTypes = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  qinq: 0x88a8,
  ipv6: 0x86dd,
  lldp: 0x88cc,
} as const;

function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}

export function ethernet(payload: Uint8Array, header: EthernetHeader = {}): Uint8Array {
  const { from = '02:00:00:00:00:09', to = '02:00:00:00:00:02', type = etherTypes.ipv4, tags = [], padTo = 0 } = header;
  const words = Uint8Array.from([...tags.flat(), type].flatMap((word) => [word >> 8, word & 0xff]));
  const frame = Buffer.concat([macBytes(to), macBytes(from), words, payload]);
  return Buffer.concat([frame, new Uint8Array(Math.max(0, padTo - frame.length))]);
}

export function parseEthernet(frame: Uint8Array) {
  const mac = (at: number): string =>
    Array.from(frame.subarray(at, at + 6), (byte) => byte.toString(16).padStart(2, '0')).join(':');
  const type = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
  return { to: mac(0), from: mac(6), type, payload: frame.subarray(14) };
}

/** @param packet 20 bytes or more; what follows the packet by its own length belongs to `payload` too */
export function parseIpv4(packet: Uint8Array) {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const headerLength = (view.getUint8(0) & 0xf) * 4;
  return {
    version: view.getUint8(0) >> 4,
    headerLength,
    tos: view.getUint8(1),
    totalLength: view.getUint16(2),
    id: view.getUint16(4),
    flags: view.getUint16(6) >> 13,
    fragmentOffset: view.getUint16(6) & 0x1fff,
    ttl: view.getUint8(8),
    protocol: view.getUint8(9),
    checksumOk: internetChecksum(packet.subarray(0, headerLength)) === 0,
    from: packet.subarray(12, 16).join('.'),
    to: packet.subarray(16, 20).join('.'),
    payload: packet.subarray(headerLength),
  };
}

export function parseIpv6(packet: Uint8Array) {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const first = view.getUint32(0);
  return {
    version: first >>> 28,
    trafficClass: (first >>> 20) & 0xff,
    flowLabel: first & 0xfffff,
    payloadLength: view.getUint16(4),
    nextHeader: view.getUint8(6),
    hopLimit: view.getUint8(7),
    from: packet.subarray(8, 24),
    to: packet.subarray(24, 40),
    payload: packet.subarray(40),
  };
}
