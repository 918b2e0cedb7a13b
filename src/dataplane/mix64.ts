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

/** Modulo 2^64. */
export function product(a: Readonly<Word64>, b: Readonly<Word64>): Word64 {
  return {
    high: (upperProduct(a.low, b.low) + Math.imul(a.low, b.high) + Math.imul(a.high, b.low)) >>> 0,
    low: Math.imul(a.low, b.low) >>> 0,
  };
}

export function xor(a: Readonly<Word64>, b: Readonly<Word64>): Word64 {
  return { high: (a.high ^ b.high) >>> 0, low: (a.low ^ b.low) >>> 0 };
}

/** `word ^ word >> 32` */
export function fold({ high, low }: Readonly<Word64>): Word64 {
  return { high, low: (high ^ low) >>> 0 };
}

export const MIX_1: Readonly<Word64> = { high: 0x9e3779b9, low: 0x7f4a7c15 };
export const MIX_2: Readonly<Word64> = { high: 0xc2b2ae3d, low: 0x27d4eb4f };
export const MIX_3: Readonly<Word64> = { high: 0x165667b1, low: 0x9e3779f9 };
