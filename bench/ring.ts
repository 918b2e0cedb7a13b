/**
 * How long a ring takes to build: `node bench/ring.ts [--rounds 100] [--json]`. README.md says how to read it.
 */
import { parseArgs } from 'node:util';
import { RING_SLOTS } from '../src/core/data-plane.ts';
import type { RingReal } from '../src/core/maglev.ts';
import { buildRing } from '../src/core/maglev.ts';
import { preferencesOf } from '../src/core/ring-preferences.ts';
import { DEFAULT_SEED } from '../src/core/seed.ts';
import { median, percentile, printTable } from './stats.ts';

interface Result {
  readonly weights: string;
  readonly reals: number;
  /** Milliseconds. */
  readonly warmMedian: number;
  readonly warmP99: number;
  readonly coldMedian: number;
  readonly coldP99: number;
  readonly plainMedian: number;
}

const mixes: Record<string, (index: number) => number> = {
  equal: () => 100,
  '1 to 1000': (i) => 1 + ((i * 7919) % 1000),
};

function realsOf(count: number, weightOf: (index: number) => number): RingReal[] {
  return Array.from({ length: count }, (_, i) => ({ address: `10.0.${i >> 8}.${i & 255}`, weight: weightOf(i) }));
}

/**
 * Maglev as one writes it down from the paper: a remainder for each wish, an entry table, weights as credit. The
 * yardstick; it is given the hashes for nothing.
 */
function plainMaglev(reals: readonly RingReal[], preferences: ReturnType<typeof preferencesOf>): number[] {
  const heaviest = reals.reduce((most, { weight }) => Math.max(most, weight), 0);
  const next = reals.map(() => 0);
  const credit = reals.map(() => 0);
  const entry = new Array<number>(RING_SLOTS).fill(-1);
  for (let filled = 0; ; ) {
    for (const [i, { weight }] of reals.entries()) {
      credit[i]! += weight;
      if (credit[i]! < heaviest) continue;
      credit[i]! -= heaviest;
      const { offset, skip } = preferences[i]!;
      let slot = (offset + next[i]! * skip) % RING_SLOTS;
      while (entry[slot]! >= 0) {
        next[i]!++;
        slot = (offset + next[i]! * skip) % RING_SLOTS;
      }
      entry[slot] = i;
      next[i]!++;
      filled++;
      if (filled === RING_SLOTS) return entry;
    }
  }
}

function timed(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function measure(weights: string, reals: readonly RingReal[], rounds: number): Result {
  const out = new Uint16Array(RING_SLOTS);
  const warm: number[] = [];
  const cold: number[] = [];
  const plain: number[] = [];
  for (let round = -Math.ceil(rounds / 4); round < rounds; round++) {
    // A seed that was not used before finds nothing remembered.
    const fresh = (round + rounds).toString(16).padStart(16, '0');
    const coldTime = timed(() => buildRing(reals, fresh, out));
    const preferences = preferencesOf(reals, DEFAULT_SEED);
    const warmTime = timed(() => buildRing(reals, DEFAULT_SEED, out));
    const plainTime = timed(() => plainMaglev(reals, preferences));
    // The first rounds are the compiler's.
    if (round < 0) continue;
    cold.push(coldTime);
    warm.push(warmTime);
    plain.push(plainTime);
  }
  return {
    weights,
    reals: reals.length,
    warmMedian: median(warm),
    warmP99: percentile(warm, 0.99),
    coldMedian: median(cold),
    coldP99: percentile(cold, 0.99),
    plainMedian: median(plain),
  };
}

function print(results: readonly Result[]): void {
  const ms = (value: number): string => value.toFixed(2);
  printTable(
    ['weights', 'reals', 'warm', 'p99', 'cold', 'p99', 'textbook', 'textbook / warm'],
    results.map((r) => [
      r.weights,
      String(r.reals),
      ms(r.warmMedian),
      ms(r.warmP99),
      ms(r.coldMedian),
      ms(r.coldP99),
      ms(r.plainMedian),
      (r.plainMedian / r.warmMedian).toFixed(1),
    ]),
  );
}

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '100' }, json: { type: 'boolean', default: false } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error(`--rounds ${values.rounds} is no positive number.`);
  process.exit(2);
}
const results = Object.entries(mixes).flatMap(([name, weightOf]) =>
  [3, 100, 1_000, 4_000].map((count) => measure(name, realsOf(count, weightOf), rounds)),
);
if (values.json) console.log(JSON.stringify(results));
else print(results);
