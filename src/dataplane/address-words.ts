import { addressBytes, addressFromBytes } from '../core/address.ts';
import type { Address } from '../core/model.ts';
import { enums } from './layout.gen.ts';

const { PF_FAMILY_V4, PF_FAMILY_V6 } = enums.pf_family;

/** An address as the structs of bpf/layout.h have it: four big-endian words, those that IPv4 does not need being 0. */
export type Words = readonly [number, number, number, number];

export interface FamilyWords {
  readonly words: Words;
  readonly family: typeof PF_FAMILY_V4 | typeof PF_FAMILY_V6;
}

export function addressWords(address: Address): FamilyWords {
  const bytes = addressBytes(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (i: number): number => (i * 4 < bytes.length ? view.getUint32(i * 4) : 0);
  return { words: [word(0), word(1), word(2), word(3)], family: bytes.length === 4 ? PF_FAMILY_V4 : PF_FAMILY_V6 };
}

export function wordsAddress(words: readonly number[], family: number): Address {
  const bytes = new Uint8Array(family === PF_FAMILY_V4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < bytes.length / 4; i++) view.setUint32(i * 4, words[i] ?? 0);
  return addressFromBytes(bytes);
}

/** The words with every bit after the first `length` of the address 0. */
export function maskedWords(words: Words, length: number): Words {
  const mask = (word: number, i: number): number => {
    const bits = Math.min(32, Math.max(0, length - 32 * i));
    return bits === 0 ? 0 : (word & (0xffffffff << (32 - bits))) >>> 0;
  };
  return [mask(words[0], 0), mask(words[1], 1), mask(words[2], 2), mask(words[3], 3)];
}
