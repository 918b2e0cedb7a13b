import { addressBytes } from './address.ts';
import type { EchoWords, PacketWords, SegmentWords, TcpFlag, TooBigWords } from './packet-words.ts';

/** Packets that were given in words, as they stand on the wire: all numbers big-endian, all checksums right. */

/** Bits in byte 13 of a TCP header (RFC 9293, section 3.1). */
const flagBits: Readonly<Record<TcpFlag, number>> = { fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10 };
/** IANA protocol numbers. */
const [TCP, UDP, ICMP, FRAGMENT, ICMPV6] = [6, 17, 1, 44, 58] as const;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
/** Two no-operations behind the server id bring the header to whole words. */
const serverIdOption = { kind: 0xb7, length: 6, noOperation: 1 } as const;
const VLAN = '8100';
/** Of fragments, by which they are put together. */
const FRAGMENT_ID = 1;
/** Types and codes by family (RFC 792, RFC 4443). */
const icmpTypes = {
  echo: { v4: [8, 0], v6: [128, 0] },
  'too-big': { v4: [3, 4], v6: [2, 0] },
} as const;

type Addresses = readonly [source: Uint8Array, destination: Uint8Array];

/** What an IP header carries, its checksum right. */
interface Body {
  readonly protocol: number;
  readonly bytes: Uint8Array;
}

function header(length: number, write: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
}

/** RFC 1071. */
function checksum(parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) sum += at % 2 === 0 ? bytes[at]! << 8 : bytes[at]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Sets the checksum over these bytes and their pseudo header. A sum of 0 is sent as its complement: in UDP 0 says that there is none (RFC 768). */
function summed(bytes: Buffer, at: number, protocol: number, addresses: Addresses): Body {
  const pseudo = header(8, (view) => {
    view.setUint32(0, bytes.length);
    view.setUint32(4, protocol);
  });
  bytes.writeUInt16BE(checksum([...addresses, pseudo, bytes]) || 0xffff, at);
  return { protocol, bytes };
}

function tcp({ flow, flags, payload, serverId }: SegmentWords, addresses: Addresses): Body {
  const length = serverId === null ? 20 : 28;
  const head = header(length, (view) => {
    view.setUint16(0, flow.sourcePort);
    view.setUint16(2, flow.destinationPort);
    view.setUint32(4, 1);
    view.setUint32(8, flags.has('ack') ? 1 : 0);
    view.setUint8(12, (length / 4) << 4);
    view.setUint8(
      13,
      [...flags].reduce((bits, flag) => bits | flagBits[flag], 0),
    );
    view.setUint16(14, 0xffff);
    if (serverId === null) return;
    view.setUint8(20, serverIdOption.kind);
    view.setUint8(21, serverIdOption.length);
    view.setUint32(22, serverId);
    view.setUint8(26, serverIdOption.noOperation);
    view.setUint8(27, serverIdOption.noOperation);
  });
  return summed(Buffer.concat([head, payload]), 16, TCP, addresses);
}

function udp({ flow, payload }: SegmentWords, addresses: Addresses): Body {
  const head = header(8, (view) => {
    view.setUint16(0, flow.sourcePort);
    view.setUint16(2, flow.destinationPort);
    view.setUint16(4, 8 + payload.length);
  });
  return summed(Buffer.concat([head, payload]), 6, UDP, addresses);
}

/** The packet of the flow, or what a later fragment has of it. */
function segment(words: SegmentWords, addresses: Addresses): Body {
  const whole = words.flow.protocol === 'tcp' ? tcp(words, addresses) : udp(words, addresses);
  return words.fragment === null || words.fragment === 0 ? whole : { protocol: whole.protocol, bytes: words.payload };
}

/** @param rest the four bytes behind the checksum */
function icmp(kind: keyof typeof icmpTypes, rest: number, payload: Uint8Array, addresses: Addresses): Body {
  const v4 = addresses[0].length === 4;
  const head = header(8, (view) => {
    const [type, code] = icmpTypes[kind][v4 ? 'v4' : 'v6'];
    view.setUint8(0, type);
    view.setUint8(1, code);
    view.setUint32(4, rest);
  });
  const bytes = Buffer.concat([head, payload]);
  if (!v4) return summed(bytes, 2, ICMPV6, addresses);
  bytes.writeUInt16BE(checksum([bytes]), 2);
  return { protocol: ICMP, bytes };
}

function echo({ id, sequence, payload }: EchoWords, addresses: Addresses): Body {
  return icmp('echo', id * 2 ** 16 + sequence, payload, addresses);
}

/** Quotes the beginning of an answer that the flow's real has sent. */
function tooBig({ flow, mtu, tos }: TooBigWords, addresses: Addresses): Body {
  const [client, vip] = [addressBytes(flow.source), addressBytes(flow.destination)];
  const answer: SegmentWords = {
    kind: 'segment',
    source: flow.destination,
    destination: flow.source,
    tos,
    ttl: 60,
    vlans: [],
    dontFragment: true,
    flow: {
      protocol: flow.protocol,
      source: flow.destination,
      sourcePort: flow.destinationPort,
      destination: flow.source,
      destinationPort: flow.sourcePort,
    },
    flags: new Set(['ack']),
    payload: new Uint8Array(),
    serverId: null,
    fragment: null,
  };
  return icmp('too-big', mtu, packetOf(answer, [vip, client], segment(answer, [vip, client])), addresses);
}

function ipv4(
  words: PacketWords,
  fragment: number | null,
  addresses: Addresses,
  { protocol, bytes }: Body,
): Uint8Array {
  const fixed = header(12, (view) => {
    view.setUint8(0, 0x45);
    view.setUint8(1, words.tos);
    view.setUint16(2, 20 + bytes.length);
    if (fragment !== null) view.setUint16(4, FRAGMENT_ID);
    view.setUint16(
      6,
      (words.dontFragment ? DONT_FRAGMENT : 0) | (fragment === 0 ? MORE_FRAGMENTS : (fragment ?? 0) / 8),
    );
    view.setUint8(8, words.ttl);
    view.setUint8(9, protocol);
  });
  const head = Buffer.concat([fixed, ...addresses]);
  head.writeUInt16BE(checksum([head]), 10);
  return Buffer.concat([head, bytes]);
}

function ipv6({ tos, ttl }: PacketWords, fragment: number | null, addresses: Addresses, body: Body): Uint8Array {
  // RFC 8200, section 4.5: the offset stands in the upper 13 bits, and the lowest says that more follow.
  const between = header(fragment === null ? 0 : 8, (view) => {
    if (fragment === null) return;
    view.setUint8(0, body.protocol);
    view.setUint16(2, fragment === 0 ? 1 : fragment);
    view.setUint32(4, FRAGMENT_ID);
  });
  const fixed = header(8, (view) => {
    view.setUint32(0, 0x60000000 + tos * 2 ** 20);
    view.setUint16(4, between.length + body.bytes.length);
    view.setUint8(6, fragment === null ? body.protocol : FRAGMENT);
    view.setUint8(7, ttl);
  });
  return Buffer.concat([fixed, ...addresses, between, body.bytes]);
}

function packetOf(words: PacketWords, addresses: Addresses, body: Body): Uint8Array {
  const fragment = words.kind === 'segment' ? words.fragment : null;
  return (addresses[0].length === 4 ? ipv4 : ipv6)(words, fragment, addresses, body);
}

function bodyOf(words: PacketWords, addresses: Addresses): Body {
  switch (words.kind) {
    case 'segment':
      return segment(words, addresses);
    case 'echo':
      return echo(words, addresses);
    case 'too-big':
      return tooBig(words, addresses);
  }
}

/**
 * An Ethernet frame with the packet.
 * @param macs such as `02:00:00:00:00:01`
 */
export function frameOf(words: PacketWords, macs: { readonly from: string; readonly to: string }): Uint8Array {
  const addresses: Addresses = [addressBytes(words.source), addressBytes(words.destination)];
  const tags = words.vlans.map((id) => `${VLAN}${id.toString(16).padStart(4, '0')}`);
  const type = addresses[0].length === 4 ? '0800' : '86dd';
  const head = Buffer.from([macs.to, macs.from, ...tags, type].join('').replaceAll(':', ''), 'hex');
  return Buffer.concat([head, packetOf(words, addresses, bodyOf(words, addresses))]);
}
