/** Numbers that a seed determines (xorshift128 of Marsaglia, 2003), so that every frame can be had again. */
export class Random {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    this.#state.set([seed, seed ^ 0x9e3779b9, ~seed, 0x2545f491]);
    for (let i = 0; i < 32; i++) this.#next();
  }

  #next(): number {
    const state = this.#state;
    const old = state[0]!;
    let word = old ^ (old << 11);
    word ^= word >>> 8;
    state.copyWithin(0, 1);
    state[3] = state[2]! ^ (state[2]! >>> 19) ^ word;
    return state[3]!;
  }

  /** 0 to `limit` - 1. @param limit up to 2^32 */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit);
  }

  /** Both ends included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** @param probability 0 to 1 */
  chance(probability: number): boolean {
    return this.#next() < probability * 2 ** 32;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** @param choices with how often each is wanted in proportion to the others */
  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, choice] of choices) {
      if (left < weight) return choice;
      left -= weight;
    }
    throw new RangeError('no choices');
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) bytes[at] = this.#next() >>> 24;
    return bytes;
  }
}
