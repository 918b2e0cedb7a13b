import { buildRing, digestRing } from './maglev.ts';
import type { Address } from './model.ts';

interface Member {
  readonly address: Address;
  readonly weight: number;
}

export interface BuiltRing {
  /** By slot the index of the member it belongs to; null when no member has a positive weight. */
  readonly indexes: Uint16Array | null;
  /** By member: how many slots are its own. */
  readonly slots: readonly number[];
  /** Over the real’s address in every slot, and the seed; equal on every LB that has the same ring. */
  readonly digest: string;
}

/**
 * Builds rings and remembers the last ones: pools with the same reals share one, and a ring that is only renumbered
 * is not built again.
 */
export class RingBuilder {
  readonly #capacity: number;
  readonly #built = new Map<string, BuiltRing>();

  /** @param capacity rings remembered, 131 KB each */
  constructor(capacity = 64) {
    this.#capacity = capacity;
  }

  /** @param members sorted by address bytes */
  ring(seed: string, members: readonly Member[]): BuiltRing {
    const key = `${seed}:${members.map(({ address, weight }) => `${address}*${weight}`).join(',')}`;
    const known = this.#built.get(key);
    if (known !== undefined) {
      this.#built.delete(key);
      this.#built.set(key, known);
      return known;
    }
    const indexes = buildRing(members, seed);
    const slots = members.map(() => 0);
    for (const index of indexes ?? []) slots[index] = (slots[index] ?? 0) + 1;
    const built = { indexes, slots, digest: digestRing(members, indexes, seed) };
    this.#built.set(key, built);
    const oldest = this.#built.keys().next().value;
    if (this.#built.size > this.#capacity && oldest !== undefined) this.#built.delete(oldest);
    return built;
  }
}
