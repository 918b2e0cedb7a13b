import { addressBytes } from './address.ts';
import type { PacketWords, TcpFlag } from './packet-words.ts';

/** Packets that were given in words, as they stand on the wire: all numbers big-endian, all checksums right. */

/** Bits in byte 13 of a TCP header (RFC 9293, section 3.1). */
const flagBits: Readonly<Record<TcpFlag, number>> = { fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10 };
const TCP = 6;
const UDP = 17;
const DONT_FRAGMENT = 0x4000;

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

function segment({ flow, flags, length }: PacketWords, addresses: readonly Uint8Array[]): Uint8Array {
  const tcp = flow.protocol === 'tcp';
  const head = header(tcp ? 20 : 8, (view) => {
    view.setUint16(0, flow.sourcePort);
    view.setUint16(2, flow.destinationPort);
    if (tcp) {
      view.setUint32(4, 1);
      view.setUint32(8, flags.has('ack') ? 1 : 0);
      view.setUint8(12, 5 << 4);
      view.setUint8(
        13,
        [...flags].reduce((bits, flag) => bits | flagBits[flag], 0),
      );
      view.setUint16(14, 0xffff);
    } else view.setUint16(4, 8 + length);
  });
  const bytes = Buffer.concat([head, new Uint8Array(length)]);
  const pseudo = header(8, (view) => {
    view.setUint32(0, bytes.length);
    view.setUint32(4, tcp ? TCP : UDP);
  });
  // A sum of 0 is sent as its complement: in UDP 0 says that there is none (RFC 768).
  bytes.writeUInt16BE(checksum([...addresses, pseudo, bytes]) || 0xffff, tcp ? 16 : 6);
  return bytes;
}

function ipv4({ flow, tos, ttl }: PacketWords, addresses: readonly Uint8Array[], payload: Uint8Array): Uint8Array {
  const fixed = header(12, (view) => {
    view.setUint8(0, 0x45);
    view.setUint8(1, tos);
    view.setUint16(2, 20 + payload.length);
    view.setUint16(6, DONT_FRAGMENT);
    view.setUint8(8, ttl);
    view.setUint8(9, flow.protocol === 'tcp' ? TCP : UDP);
  });
  const head = Buffer.concat([fixed, ...addresses]);
  head.writeUInt16BE(checksum([head]), 10);
  return Buffer.concat([head, payload]);
}

function ipv6({ flow, tos, ttl }: PacketWords, addresses: readonly Uint8Array[], payload: Uint8Array): Uint8Array {
  const fixed = header(8, (view) => {
    view.setUint32(0, 0x60000000 + tos * 2 ** 20);
    view.setUint16(4, payload.length);
    view.setUint8(6, flow.protocol === 'tcp' ? TCP : UDP);
    view.setUint8(7, ttl);
  });
  return Buffer.concat([fixed, ...addresses, payload]);
}

/**
 * An Ethernet frame with the packet.
 * @param macs such as `02:00:00:00:00:01`
 */
export function frameOf(words: PacketWords, macs: { readonly from: string; readonly to: string }): Uint8Array {
  const addresses = [addressBytes(words.flow.source), addressBytes(words.flow.destination)];
  const payload = segment(words, addresses);
  const v4 = addresses[0]!.length === 4;
  const hex = [macs.to, macs.from, v4 ? '0800' : '86dd'].join('').replaceAll(':', '');
  return Buffer.concat([Buffer.from(hex, 'hex'), (v4 ? ipv4 : ipv6)(words, addresses, payload)]);
}
