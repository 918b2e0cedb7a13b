import { describe, expect, it } from 'vitest';
import { Comparison } from '../fuzz/compare.ts';
import { FrameFuzzer, shares } from '../fuzz/frames.ts';
import { resized } from '../fuzz/mutate.ts';
import { Random } from '../fuzz/random.ts';
import { cases } from '../fuzz/state.ts';
import { zeroSums } from '../fuzz/zero-sum.ts';

/**
 * The program against a model of it that was written from docs/reference alone, frame by frame: what becomes of each, for
 * what reason, at which real, and every byte that leaves. PILOTFISH_FUZZ_FRAMES says how many frames (`npm run fuzz`: a
 * million), PILOTFISH_SEED which ones; `random` takes others each time.
 */

const total = Number(process.env.PILOTFISH_FUZZ_FRAMES ?? 30_000);
const DEFAULT_SEED = 20_261_121;
const wish = process.env.PILOTFISH_SEED ?? String(DEFAULT_SEED);
const seed = wish === 'random' ? Date.now() % 2 ** 32 : Number(wish);

const onAStick = cases[0]!;

/** So many are printed; they tend to have one cause. */
const SHOWN = 5;
/** Of milliseconds: a thousand frames have two seconds. */
const timeout = 60_000 + 2 * total;

/** What frames can come to. The others are faults of the agent, or want a driver without headroom. */
const reachable = [
  'not_ip',
  'unreadable',
  'not_vip',
  'malformed',
  'fragment',
  'ip_options',
  'icmp_other',
  'echo_answered',
  'no_real',
  'local_real',
  'no_gateway',
  'no_neighbour',
  'too_big',
  'too_big_answered',
  'nested',
  'expired',
  'forwarded',
];

function merged(into: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [reason, count] of from) into.set(reason, (into.get(reason) ?? 0) + count);
}

describe('the program agrees with the model', () => {
  it(
    `over ${total} frames of seed ${seed}`,
    async () => {
      const reasons = new Map<string, number>();
      const found: string[] = [];
      let frames = 0;
      for (const [fuzzCase, count] of shares(total)) {
        using comparison = await Comparison.load(fuzzCase, count);
        const fuzzer = new FrameFuzzer(seed, fuzzCase);
        for (let n = 1; n <= count && found.length < SHOWN; n++) {
          const disagreement = comparison.disagreement(fuzzer.next().bytes);
          if (disagreement !== null) found.push(`seed ${seed}, frame ${n} of its case\n${disagreement}`);
        }
        merged(reasons, comparison.reasons);
        frames += count;
      }
      expect(found.join('\n\n')).toBe('');
      expect([...reasons.keys()]).toEqual(expect.arrayContaining(reachable));
      expect(reasons.get('forwarded')).toBeGreaterThan(0.3 * frames);
    },
    timeout,
  );

  it(
    'over packets of flows that come again and again',
    async () => {
      const LENGTH = 12;
      const found: string[] = [];
      let forwarded = 0;
      for (const [fuzzCase, count] of shares(total)) {
        using comparison = await Comparison.load(fuzzCase, count);
        const fuzzer = new FrameFuzzer(seed, fuzzCase);
        for (let n = 0; n < count && found.length < SHOWN; n += LENGTH)
          for (const frame of fuzzer.train(LENGTH)) {
            const disagreement = comparison.disagreement(frame);
            if (disagreement !== null) found.push(`seed ${seed}, train of frame ${n} of its case\n${disagreement}`);
          }
        forwarded += comparison.reasons.get('forwarded') ?? 0;
      }
      expect(found.join('\n\n')).toBe('');
      expect(forwarded).toBeGreaterThan(0.4 * total);
    },
    timeout,
  );

  it(
    'over every length from 0 to 200 of frames of every kind',
    async () => {
      const BASES = 40;
      const LENGTHS = 201;
      const found: string[] = [];
      using comparison = await Comparison.load(onAStick, BASES * LENGTHS);
      const fuzzer = new FrameFuzzer(seed, onAStick);
      const random = new Random(seed);
      for (let base = 0; base < BASES; base++) {
        const frame = Buffer.from(fuzzer.next(0).bytes);
        for (let length = 0; length < LENGTHS && found.length < SHOWN; length++) {
          const disagreement = comparison.disagreement(resized(random, frame, length));
          if (disagreement !== null) found.push(disagreement);
        }
      }
      expect(found.join('\n\n')).toBe('');
    },
    timeout,
  );

  it('over outer checksums that come out as 0', async () => {
    using comparison = await Comparison.load(onAStick, 10);
    const frames = zeroSums(onAStick);
    expect(frames.map(({ checksum }) => checksum)).toEqual([0xffff, 0xffff]);
    expect(frames.map(({ frame }) => comparison.disagreement(frame))).toEqual([null, null]);
  });
});
