import type { FamilyWords, Words } from './address-words.ts';
import { addressWords, maskedWords } from './address-words.ts';
import { enums } from './layout.gen.ts';

/** The range of addresses that a text stands for: an address, or an aligned prefix such as `192.0.2.0/24`. */
export interface Range extends FamilyWords {
  /** Bits that count. */
  readonly length: number;
}

/** @param text canonical: what is not has been refused when it was read */
export function rangeOf(text: string): Range {
  const [address = '', length] = text.split('/');
  const { words, family } = addressWords(address);
  const whole = family === enums.pf_family.PF_FAMILY_V4 ? 32 : 128;
  return { words, family, length: length === undefined ? whole : Number(length) };
}

function keyOf(words: Words, family: number, length: number): string {
  return `${family}/${length}/${maskedWords(words, length).join()}`;
}

/** Things that stand at addresses and prefixes. */
export class VipPlaces<T> {
  readonly #places = new Map<string, { readonly range: Range; readonly things: T[] }>();
  /** By family: lengths in use, longest first. */
  readonly #lengths = new Map<number, number[]>();

  add(text: string, thing: T): void {
    const range = rangeOf(text);
    const key = keyOf(range.words, range.family, range.length);
    const place = this.#places.get(key);
    if (place !== undefined) {
      place.things.push(thing);
      return;
    }
    this.#places.set(key, { range, things: [thing] });
    const lengths = this.#lengths.get(range.family) ?? [];
    if (!lengths.includes(range.length)) lengths.push(range.length);
    this.#lengths.set(
      range.family,
      lengths.sort((a, b) => b - a),
    );
  }

  /** What stands at this range and at those that contain it, the most specific one first; none of the lists is empty. */
  containing({ words, family, length }: Range): (readonly T[])[] {
    const levels: (readonly T[])[] = [];
    for (const shorter of this.#lengths.get(family) ?? []) {
      const place = shorter > length ? undefined : this.#places.get(keyOf(words, family, shorter));
      if (place !== undefined) levels.push(place.things);
    }
    return levels;
  }
}
