/**
 * The 64-bit steps of docs/decisions/0005-directory.md in halves of 32 bits, since BigInt costs ten times as much and a
 * table has tens of thousands of keys.
 */

/** A 64-bit number; both halves unsigned. */
export interface Word64 {
  high: number;
  low: number;
}

/** Upper half of the product of two unsigned 32-bit numbers. */
function upperProduct(a: number, b: number): number {
  const [a0, a1, b0, b1] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  return a1 * b1 + (middle >>> 16) + ((a0 * b1 + (middle & 0xffff)) >>> 16);
}

/** `word *= by; word ^= word >> 32`, modulo 2^64, in place. */
export function mix(word: Word64, by: Readonly<Word64>): void {
  const { high, low } = word;
  word.high = (upperProduct(low, by.low) + Math.imul(low, by.high) + Math.imul(high, by.low)) >>> 0;
  word.low = (Math.imul(low, by.low) ^ word.high) >>> 0;
}

export const MIX_1: Readonly<Word64> = { high: 0x9e3779b9, low: 0x7f4a7c15 };
export const MIX_2: Readonly<Word64> = { high: 0xc2b2ae3d, low: 0x27d4eb4f };
export const MIX_3: Readonly<Word64> = { high: 0x165667b1, low: 0x9e3779f9 };
