import { add, checksum, complement, corrected, onesSum, pseudoHeader } from './checksum.ts';
import type { ModelFlow } from './flow-hash.ts';
import { ICMPV6, linkHeader, type Packet, TCP, UDP } from './packet.ts';

/** Step 5, and the answers to what is too big (step 10). */

const ANSWER_TTL = 64;

export function isEchoRequest({ version, frame, at, transport }: Packet): boolean {
  if (version === 6 && transport > at + 40) return false;
  return frame[transport] === (version === 4 ? 8 : 128) && frame[transport + 1] === 0;
}

/** May the sender be answered? */
export function mayAnswer({ version, frame, source }: Packet): boolean {
  if ((frame[6]! & 1) === 1) return false;
  const first = source[0]!;
  if (version === 4) return first !== 0 && first !== 127 && first < 224;
  return first !== 0xff && source.some((byte) => byte !== 0);
}

function isError({ version, frame, transport }: Packet): boolean {
  const type = frame[transport]!;
  return version === 4 ? [3, 11, 12].includes(type) : type >= 1 && type <= 4;
}

export function echoReply({ version, frame, at, transport }: Packet): Buffer {
  const reply = Buffer.from(frame);
  frame.copy(reply, 0, 6, 12);
  frame.copy(reply, 6, 0, 6);
  const [sourceAt, width] = version === 4 ? [at + 12, 4] : [at + 8, 16];
  frame.copy(reply, sourceAt, sourceAt + width, sourceAt + 2 * width);
  frame.copy(reply, sourceAt + width, sourceAt, sourceAt + width);
  reply[transport] = version === 4 ? 0 : 129;
  const sum = frame.readUInt16BE(transport + 2);
  reply.writeUInt16BE(corrected(sum, frame.readUInt16BE(transport), reply.readUInt16BE(transport)), transport + 2);
  reply[at + (version === 4 ? 8 : 7)] = ANSWER_TTL;
  if (version === 4) {
    const before = frame.readUInt16BE(at + 8);
    reply.writeUInt16BE(corrected(frame.readUInt16BE(at + 10), before, reply.readUInt16BE(at + 8)), at + 10);
  }
  return reply;
}

/** The flow that an error is about, as its client sent it; null when it is no error, or does not say. */
export function quotedFlow(packet: Packet): ModelFlow | null {
  const { version, frame, destination, end } = packet;
  if (!isError(packet)) return null;
  const quoted = frame.subarray(packet.transport + 8, end);
  const fixed = version === 4 ? 20 : 40;
  if (quoted.length < fixed || quoted[0]! >> 4 !== version) return null;
  const [protocol, from, width] = version === 4 ? [quoted[9]!, 12, 4] : [quoted[6]!, 8, 16];
  if (protocol !== TCP && protocol !== UDP) return null;
  const length = version === 4 ? (quoted[0]! & 0xf) * 4 : fixed;
  if (length < fixed || (version === 4 && (quoted.readUInt16BE(6) & 0x1fff) !== 0)) return null;
  const source = quoted.subarray(from, from + width);
  if (quoted.length < length + 8 || Buffer.compare(source, destination) !== 0) return null;
  return {
    source: quoted.subarray(from + width, from + 2 * width),
    destination: source,
    protocol,
    sourcePort: quoted.readUInt16BE(length + 2),
    destinationPort: quoted.readUInt16BE(length),
  };
}

function swapped(packet: Packet): Buffer {
  return linkHeader(packet.frame, packet.frame.subarray(6, 12), packet.frame.subarray(0, 6), packet.version, true);
}

/** @param mtu that the sender is told */
export function tooBigAnswer(packet: Packet, mtu: number): Buffer {
  const { version, frame, at, end, source, destination } = packet;
  const [most, least] = version === 4 ? [548, 28] : [1232, 48];
  const whole = frame.subarray(at, end);
  const quoted = whole.subarray(0, whole.length >= most ? most : least);
  const message = Buffer.concat([Buffer.alloc(8), quoted]);
  message[0] = version === 4 ? 3 : 2;
  message[1] = version === 4 ? 4 : 0;
  message.writeUInt32BE(mtu, 4);
  if (version === 4) {
    message.writeUInt16BE(checksum(message), 2);
    const header = Buffer.alloc(12);
    header[0] = 0x45;
    header.writeUInt16BE(20 + message.length, 2);
    header.writeUInt16BE(0x4000, 6);
    header[8] = ANSWER_TTL;
    header[9] = 1;
    header.writeUInt16BE(checksum(header, destination, source), 10);
    return Buffer.concat([swapped(packet), header, destination, source, message]);
  }
  const pseudo = onesSum(pseudoHeader(destination, source, ICMPV6, message.length));
  message.writeUInt16BE(complement(add(pseudo, onesSum(message))), 2);
  const header = Buffer.alloc(8);
  header[0] = 0x60;
  header.writeUInt16BE(message.length, 4);
  header[6] = ICMPV6;
  header[7] = ANSWER_TTL;
  return Buffer.concat([swapped(packet), header, destination, source, message]);
}
