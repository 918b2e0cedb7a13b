import { PilotfishError } from './errors.ts';

const limitField = { vips: 'limits.vips', pools: 'limits.pools', reals: 'limits.reals' } as const;

/** Values that a generation takes, 0 among them: it has seven bits in the flow cache. */
const GENERATIONS = 128;

/** What the next user of a number gets. */
export function nextGeneration(generation: number): number {
  return (generation + 1) % GENERATIONS;
}

/** They go round, so the oldest of them is the one after the widest gap. */
function oldestOf(generations: Iterable<number>): number {
  const sorted = [...new Set(generations)].sort((a, b) => a - b);
  let oldest = 0;
  let widest = 0;
  let previous = (sorted.at(-1) ?? 0) - GENERATIONS;
  for (const generation of sorted) {
    if (generation - previous > widest) {
      widest = generation - previous;
      oldest = generation;
    }
    previous = generation;
  }
  return oldest;
}

/**
 * Hands out free numbers of one map. The number with the oldest generation comes first, so that reuse goes round all
 * of them before a generation can come back to a value that some flow still remembers.
 */
export class Numbers {
  readonly #map: keyof typeof limitField;
  readonly #limit: number;
  readonly #first: number;
  readonly #taken: ReadonlySet<number>;
  readonly #generations: ReadonlyMap<number, number>;
  #free: number[] | null = null;

  /** @param limit numbers are `first` to `limit - 1` */
  constructor(
    map: keyof typeof limitField,
    limit: number,
    first: number,
    taken: ReadonlySet<number>,
    generations: ReadonlyMap<number, number> = new Map(),
  ) {
    this.#map = map;
    this.#limit = limit;
    this.#first = first;
    this.#taken = taken;
    this.#generations = generations;
  }

  /** @throws PilotfishError PF_MAP_FULL */
  take(what: string): number {
    this.#free ??= this.#sortedFree();
    const number = this.#free.pop();
    if (number === undefined)
      throw new PilotfishError(
        'PF_MAP_FULL',
        `${this.#map} holds ${this.#limit - this.#first} entries while adding ${what}`,
        {
          fix: `raise ${limitField[this.#map]} in agent.yaml and restart the agent, or remove what is unused`,
        },
      );
    return number;
  }

  /** Descending, so that the next one is popped off the end. */
  #sortedFree(): number[] {
    const free: number[] = [];
    for (let number = this.#limit - 1; number >= this.#first; number--) if (!this.#taken.has(number)) free.push(number);
    const generation = (number: number): number => this.#generations.get(number) ?? 0;
    const oldest = oldestOf(free.map(generation));
    const age = (number: number): number => (generation(number) - oldest + GENERATIONS) % GENERATIONS;
    return free.sort((a, b) => age(b) - age(a) || b - a);
  }
}

/** @throws PilotfishError PF_STATE when there is none: a fault of the planner */
export function lookup<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined) throw new PilotfishError('PF_STATE', `the planner has no entry for ${String(key)}`);
  return value;
}
