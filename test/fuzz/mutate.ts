import type { Field, Layers } from './layers.ts';
import type { Random } from './random.ts';

/** What can be wrong with a frame. */

/** Longest frame that the kernel’s test run takes in one piece. */
export const LONGEST = 3_520;
const SWEPT = 200;

function readField(bytes: Buffer, { at, size }: Field): bigint {
  return BigInt(`0x${bytes.subarray(at, at + size).toString('hex')}`);
}

function boundary(random: Random, bytes: Buffer, field: Field): bigint {
  const max = (1n << BigInt(8 * field.size)) - 1n;
  const now = readField(bytes, field);
  const high = (max >> 1n) + 1n;
  return random.pick([0n, 1n, max, max - 1n, high, high - 1n, now + 1n, now - 1n, now << 1n, now >> 1n]) & max;
}

function mutateField(random: Random, { bytes, fields }: Layers): void {
  const field = random.pick(fields);
  const how = random.below(4);
  if (how === 0) bytes[field.at + random.below(field.size)]! ^= 1 << random.below(8);
  else if (how === 1) random.bytes(field.size).copy(bytes, field.at);
  else if (how === 2)
    Buffer.from(
      boundary(random, bytes, field)
        .toString(16)
        .padStart(2 * field.size, '0'),
      'hex',
    ).copy(bytes, field.at);
  else {
    // Half a byte: versions, header lengths, data offsets.
    const low = random.chance(0.5);
    bytes[field.at] = low
      ? (bytes[field.at]! & 0xf0) | random.below(16)
      : (bytes[field.at]! & 0x0f) | (random.below(16) << 4);
  }
}

/** @param length of the result */
export function resized(random: Random, bytes: Buffer, length: number): Buffer {
  if (length <= bytes.length) return bytes.subarray(0, length);
  return Buffer.concat([bytes, random.bytes(length - bytes.length)]);
}

function pushTag(random: Random, bytes: Buffer): Buffer {
  const tag = Buffer.alloc(4);
  tag.writeUInt16BE(random.pick([0x8100, 0x88a8, 0x9100]));
  tag.writeUInt16BE(random.below(0x10000), 2);
  return Buffer.concat([bytes.subarray(0, 12), tag, bytes.subarray(12)]);
}

function mutateOnce(random: Random, { bytes, fields }: Layers): Layers {
  const how = random.weighted([
    [12, 'field'],
    [2, 'resize'],
    [1, 'cut'],
    [1, 'pad'],
    [1, 'tag'],
    [1, 'byte'],
    [1, 'group'],
  ]);
  if (how === 'resize') return { bytes: resized(random, bytes, random.between(0, SWEPT)), fields: [] };
  if (how === 'cut') return { bytes: bytes.subarray(0, random.between(0, bytes.length)), fields: [] };
  if (how === 'pad') return { bytes: resized(random, bytes, bytes.length + random.below(64)), fields };
  if (how === 'tag') return { bytes: pushTag(random, bytes), fields: [] };
  // A group address, of the frame's destination or its source.
  if (how === 'group' && bytes.length > 6) bytes[random.pick([0, 6])]! ^= 1;
  else if (how === 'byte' || fields.length === 0) bytes[random.below(bytes.length)] = random.below(256);
  else mutateField(random, { bytes, fields });
  return { bytes, fields };
}

/** The same frame with one to three mistakes. */
export function mutated(random: Random, layers: Layers): Layers {
  let now: Layers = { ...layers, bytes: Buffer.from(layers.bytes) };
  const times = random.weighted([
    [6, 1],
    [2, 2],
    [1, 3],
  ]);
  for (let i = 0; i < times && now.bytes.length > 0; i++) now = mutateOnce(random, now);
  return now;
}
