/** One’s complement sums over 16-bit words (RFC 1071). */

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/** 0 to 0xffff. Every part starts a word of its own; an odd last byte is the upper half of one. */
export function onesSum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
  return fold(sum);
}

export function add(...sums: readonly number[]): number {
  return fold(sums.reduce((all, sum) => all + sum, 0));
}

/** Also the negative of a sum. */
export function complement(sum: number): number {
  return ~sum & 0xffff;
}

/** Of everything that has no checksum in it yet. */
export function checksum(...parts: readonly Uint8Array[]): number {
  return complement(onesSum(...parts));
}

/** A checksum after one of the words that it covers has changed (RFC 1624, equation 3). */
export function corrected(was: number, wordBefore: number, wordAfter: number): number {
  return complement(add(complement(was), complement(wordBefore), wordAfter));
}

/** What transport checksums cover besides the segment (RFC 9293, section 3.1; RFC 8200, section 8.1). */
export function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): Buffer {
  const rest = Buffer.alloc(8);
  rest.writeUInt32BE(length, 0);
  rest.writeUInt32BE(protocol, 4);
  return Buffer.concat([source, destination, rest]);
}
