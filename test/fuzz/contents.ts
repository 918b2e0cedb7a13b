import type { Random } from './random.ts';
import { serverIds } from './state.ts';

/** What packets carry that names a real: connection ids of QUIC, stable routing, options of TCP. */

function idOf(random: Random): number {
  return random.pick(random.chance(0.75) ? serverIds.present : serverIds.absent);
}

/** Bytes with an id at their beginning, as one of the ways has it. */
function connectionId(random: Random): Buffer {
  const id = random.bytes(random.between(8, 20));
  const wanted = idOf(random);
  const way = random.below(5);
  if (way === 1) {
    const word = ((wanted & 0xffff) << 6) | random.below(64);
    id.writeUIntBE(word, 0, 3);
  } else if (way === 2) id.writeUIntBE(wanted & 0xffffff, 1, 3);
  else id.writeUInt32BE(wanted, 1);
  id[0] = (id[0]! & 0x3f) | (way === 4 ? random.below(256) & 0xc0 : way << 6);
  if (random.chance(0.3)) id[0] = random.below(256);
  return id;
}

/** A packet of QUIC (RFC 9000, section 17), valid as far as a load balancer looks. */
function quicPacket(random: Random): Buffer {
  const id = connectionId(random);
  if (random.chance(0.5))
    return Buffer.concat([Buffer.from([0x40 | random.below(64)]), id, random.bytes(random.below(40))]);
  const first = 0xc0 | random.below(64);
  const length = random.chance(0.2) ? random.pick([0, 7, 8, 20, 255]) : id.length;
  const head = Buffer.from([first, 0, 0, 0, 1, length]);
  return Buffer.concat([head, id, random.bytes(random.below(40))]);
}

function stablePacket(random: Random): Buffer {
  const data = random.bytes(random.between(8, 40));
  data[0] = 0x52;
  data.writeUIntBE(idOf(random) & 0xffffff, 1, 3);
  return data;
}

/** Payload of a UDP packet. */
export function udpData(random: Random): Buffer {
  const data = random.weighted([
    [4, quicPacket],
    [3, stablePacket],
    [3, (): Buffer => random.bytes(random.below(120))],
  ])(random);
  return random.chance(0.15) ? data.subarray(0, random.below(16)) : data;
}

function oneOption(random: Random): Buffer {
  const id = Buffer.from([0xb7, 6, 0, 0, 0, 0]);
  id.writeUInt32BE(idOf(random), 2);
  return random.weighted([
    [6, id],
    [6, Buffer.from([1])],
    [2, Buffer.from([2, 4, 5, 0xb4])],
    [1, Buffer.from([0xb7, 3, 0])],
    [1, Buffer.from([4, 2])],
    [1, Buffer.concat([Buffer.from([8, 10]), random.bytes(8)])],
  ]);
}

/** An id behind about as many options as are looked at. */
function lateId(random: Random): Buffer {
  const id = Buffer.from([0xb7, 6, 0, 0, 0, 0]);
  id.writeUInt32BE(idOf(random), 2);
  return Buffer.concat([Buffer.alloc(random.between(11, 17), 1), id]);
}

/** Options of a TCP header, a multiple of 4 bytes; half of them have an id somewhere. */
export function tcpOptions(random: Random): Buffer {
  if (random.chance(0.3)) return Buffer.alloc(0);
  const parts = Array.from({ length: random.between(1, random.pick([2, 6, 20])) }, () => oneOption(random));
  const bytes = random.chance(0.15) ? lateId(random) : Buffer.concat(parts).subarray(0, 40);
  const filler = Buffer.alloc((4 - (bytes.length % 4)) % 4, random.below(2));
  return Buffer.concat([bytes, filler]);
}
