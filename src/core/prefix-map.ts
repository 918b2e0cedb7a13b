import { addressBytes } from './address.ts';
import type { Address } from './model.ts';

const bitsOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(2).padStart(8, '0'));

/** All bits that count, behind a letter for the family, so that one prefix contains another if its text starts the other’s. */
export function addressBits(prefix: Address): string {
  const [address = '', length] = prefix.split('/', 2);
  const bytes = addressBytes(address);
  let bits = bytes.length === 4 ? 'v' : 'w';
  for (const byte of bytes) bits += bitsOfByte[byte];
  return length === undefined ? bits : bits.slice(0, 1 + Number(length));
}

/** Names by address or aligned prefix, all of them canonical; an address counts as the prefix of all its bits. */
export class PrefixMap {
  readonly #names = new Map<string, string>();
  /** Of the keys of `names`, each once. */
  readonly #lengths = new Set<number>();
  /** Keys of `names`; null when there are new ones. */
  #sorted: string[] | null = null;

  set(prefix: Address, name: string): void {
    const bits = addressBits(prefix);
    this.#names.set(bits, name);
    this.#lengths.add(bits.length);
    this.#sorted = null;
  }

  /** The name of the longest prefix that contains this one, itself included. */
  containing(prefix: Address): string | undefined {
    const bits = addressBits(prefix);
    let longest = 0;
    for (const length of this.#lengths)
      if (length > longest && length <= bits.length && this.#names.has(bits.slice(0, length))) longest = length;
    return this.#names.get(bits.slice(0, longest));
  }

  /** The name of the lowest that lies within this one, itself included. */
  within(prefix: Address): string | undefined {
    const bits = addressBits(prefix);
    const exact = this.#names.get(bits);
    if (exact !== undefined || !prefix.includes('/')) return exact;
    this.#sorted ??= [...this.#names.keys()].sort();
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle]! < bits) low = middle + 1;
      else high = middle;
    }
    const first = this.#sorted[low];
    return first?.startsWith(bits) ? this.#names.get(first) : undefined;
  }
}
