/** Packets built from the inside out, which know where their header fields are. */

export interface Field {
  readonly at: number;
  /** Bytes. */
  readonly size: number;
}

export interface Layers {
  readonly bytes: Buffer;
  readonly fields: readonly Field[];
}

/** Fields that follow one another without a gap. @param sizes in bytes */
function fieldsOf(sizes: readonly number[], start = 0): Field[] {
  let at = start;
  return sizes.map((size) => {
    at += size;
    return { at: at - size, size };
  });
}

export function payload(bytes: Uint8Array): Layers {
  return { bytes: Buffer.from(bytes), fields: [] };
}

/** @param sizes of the header’s fields, in bytes */
export function wrap(header: Uint8Array, sizes: readonly number[], inner: Layers, trailer?: Uint8Array): Layers {
  const moved = inner.fields.map(({ at, size }) => ({ at: at + header.length, size }));
  return {
    bytes: Buffer.concat([header, inner.bytes, trailer ?? Buffer.alloc(0)]),
    fields: [...fieldsOf(sizes), ...moved],
  };
}

/** RFC 1071. */
function internetChecksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Source and destination; both of 4 or of 16 bytes. */
export interface Ends {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** Writes the checksum over pseudo header and segment. */
function seal(segment: Layers, at: number, { source, destination }: Ends, protocol: number): void {
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(segment.bytes.length);
  pseudo.writeUInt32BE(protocol, 4);
  segment.bytes.writeUInt16BE(internetChecksum(source, destination, pseudo, segment.bytes) || 0xffff, at);
}

export interface Ports {
  readonly source: number;
  readonly destination: number;
}

/** @param options a multiple of 4 bytes, up to 40 */
export function tcpSegment(ends: Ends, ports: Ports, flags: number, options: Uint8Array, data: Uint8Array): Layers {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(ports.source, 0);
  header.writeUInt16BE(ports.destination, 2);
  header.writeUInt32BE(0x01020304, 4);
  header[12] = (5 + options.length / 4) << 4;
  header[13] = flags;
  header.writeUInt16BE(0xffff, 14);
  const sizes = [2, 2, 4, 4, 1, 1, 2, 2, 2, ...Array.from(options, () => 1)];
  const segment = wrap(Buffer.concat([header, options]), sizes, payload(data));
  seal(segment, 16, ends, 6);
  return segment;
}

/** @param sealed false: without a checksum */
export function udpSegment(ends: Ends, ports: Ports, data: Layers, sealed = true): Layers {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(ports.source, 0);
  header.writeUInt16BE(ports.destination, 2);
  header.writeUInt16BE(8 + data.bytes.length, 4);
  const segment = wrap(header, [2, 2, 2, 2], data);
  if (sealed) seal(segment, 6, ends, 17);
  return segment;
}

/** @param rest the four bytes after the checksum */
export function icmpMessage(ends: Ends, type: number, code: number, rest: number, data: Layers): Layers {
  const header = Buffer.from([type, code, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(rest, 4);
  const message = wrap(header, [1, 1, 2, 4], data);
  if (ends.source.length === 16) seal(message, 2, ends, 58);
  else message.bytes.writeUInt16BE(internetChecksum(message.bytes), 2);
  return message;
}

export interface IpFields {
  readonly protocol: number;
  readonly trafficClass: number;
  readonly ttl: number;
}

export interface Ipv4Fields extends IpFields {
  /** Three flag bits and 13 of the offset. */
  readonly fragment: number;
  /** A multiple of 4 bytes, up to 40. */
  readonly options: Uint8Array;
}

export function ipv4Packet({ source, destination }: Ends, fields: Ipv4Fields, inner: Layers): Layers {
  const header = Buffer.concat([Buffer.alloc(12), source, destination, fields.options]);
  header[0] = 0x45 + fields.options.length / 4;
  header[1] = fields.trafficClass;
  header.writeUInt16BE(header.length + inner.bytes.length, 2);
  header.writeUInt16BE(0x4321, 4);
  header.writeUInt16BE(fields.fragment, 6);
  header[8] = fields.ttl;
  header[9] = fields.protocol;
  header.writeUInt16BE(internetChecksum(header), 10);
  return wrap(header, [1, 1, 2, 2, 2, 1, 1, 2, 4, 4, ...Array.from(fields.options, () => 1)], inner);
}

export interface Extension {
  /** Its own number, as the header before it names it. */
  readonly type: number;
  /** A multiple of 4 bytes; the first is overwritten with the type of what follows. */
  readonly bytes: Uint8Array;
}

export interface Ipv6Fields extends IpFields {
  readonly flowLabel: number;
  readonly extensions: readonly Extension[];
}

export function ipv6Packet({ source, destination }: Ends, fields: Ipv6Fields, inner: Layers): Layers {
  let next = fields.protocol;
  let body = inner;
  for (const { type, bytes } of fields.extensions.toReversed()) {
    const extension = Buffer.from(bytes);
    extension[0] = next;
    body = wrap(extension, [1, 1, 2, 4], body);
    next = type;
  }
  const header = Buffer.alloc(8);
  header.writeUInt32BE(6 * 2 ** 28 + fields.trafficClass * 2 ** 20 + fields.flowLabel);
  header.writeUInt16BE(body.bytes.length, 4);
  header[6] = next;
  header[7] = fields.ttl;
  return wrap(Buffer.concat([header, source, destination]), [1, 1, 2, 2, 1, 1, 16, 16], body);
}

export interface LinkFields {
  readonly to: Uint8Array;
  readonly from: Uint8Array;
  /** Ethertype and tag, outermost first. */
  readonly tags: readonly (readonly [type: number, tag: number])[];
  readonly type: number;
  readonly padding: Uint8Array;
}

export function ethernetFrame({ to, from, tags, type, padding }: LinkFields, inner: Layers): Layers {
  const words = Buffer.alloc(4 * tags.length + 2);
  for (const [i, [tagType, tag]] of tags.entries()) {
    words.writeUInt16BE(tagType, 4 * i);
    words.writeUInt16BE(tag, 4 * i + 2);
  }
  words.writeUInt16BE(type, 4 * tags.length);
  return wrap(Buffer.concat([to, from, words]), [6, 6, ...tags.flatMap(() => [2, 2]), 2], inner, padding);
}
