import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { indexKey } from '../../src/dataplane/codec.ts';
import type { BpfMap, BpfProgram } from '../../src/dataplane/native.ts';
import { createMap, unmap } from '../../src/dataplane/native.ts';
import type { LoadedProgram } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { RING_BYTES, RingImage } from '../../src/dataplane/ring-image.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';
import { allowedCpus } from '../support/program-bench.ts';
import { type Need, need, skipUnless } from '../support/require.ts';

/**
 * A packet sees the old ring or the new one, never a mix: a probe program looks at 4,096 slots of the ring at a time,
 * over and over on another CPU, while rings, each of one real there, come and go.
 */

const cpus = allowedCpus();
const twoCpus: Need = cpus.length > 1 ? need('taskset') : { ok: false, reason: 'this process may run on one CPU only' };

/** Where struct probe_counts of test/support/bpf/ring-probe.bpf.c has them. */
const counts = { looks: 0, mixed: 8, changes: 16 } as const;

/** How often the ring should have changed in the middle of the probe’s runs. */
const ENOUGH = 300;

/** All slots that the probe looks at, every 16th, are of one real, another one in each generation. The rest makes the ring a wide one. */
function fill(slots: Uint16Array, generation: number): void {
  for (let slot = 0; slot < slots.length; slot++)
    slots[slot] = 1 + ((slot % 16 === 0 ? generation : slot % 400) % 0x7fff);
}

/** Keeps all threads of this process on these CPUs; a test run on another one goes there for as long as it lasts. */
function stayOn(list: readonly number[]): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', list.join(','), String(process.pid)]);
}

describe.skipIf(skipUnless(['two-cpus'], twoCpus))('a ring that changes under the eyes of the program', () => {
  let compiler: BpfCompiler;
  let loaded: LoadedProgram;
  let program: BpfProgram;
  let probe: BpfMap;

  beforeAll(async () => {
    // On one CPU nothing would ever change in the middle of a run, and this would prove nothing.
    stayOn(cpus.slice(0, 1));
    compiler = new BpfCompiler();
    loaded = await loadProgram({ vips: 1, pools: 1, reals: 1, flowsPerCpu: 8 }, compiler.compileProbe('ring-probe'));
    program = loaded.object.program('ring_probe');
    probe = loaded.object.map('probe');
  });

  afterAll(() => {
    stayOn(cpus);
    loaded?.object.close();
    compiler[Symbol.dispose]();
  });

  beforeEach(() => {
    probe.put(indexKey(0), new Uint8Array(24));
  });

  function count(what: keyof typeof counts): number {
    const value = probe.get(indexKey(0));
    return value === null ? Number.NaN : Number(new DataView(value.buffer).getBigUint64(counts[what], true));
  }

  /**
   * Probes without a pause while `change` is called again and again: for so long, and on until `enough`, which a busy
   * machine reaches late. Returns how often it was called.
   */
  async function probeWhile(
    ms: number,
    enough: () => boolean,
    change: (generation: number) => Promise<unknown>,
  ): Promise<number> {
    const end = performance.now() + ms;
    const latest = end + 40_000;
    const goesOn = () => performance.now() < end || (!enough() && performance.now() < latest);
    const probing = (async () => {
      const run = { data: new Uint8Array(64), cpu: cpus[1] ?? 0 };
      while (goesOn()) expect((await program.testRunAsync(run)).retval).toBe(2);
    })();
    let generation = 0;
    while (goesOn()) await change(++generation);
    await probing;
    return generation;
  }

  it('is never a mix when rings are swapped', async () => {
    const swap = async (generation: number) => {
      // A swap ends with a run of the probe, for whose end it waits: the next one must not begin there too.
      await sleep(generation % 5);
      await loaded.store.swapRings([{ pool: 0, fill: (slots) => fill(slots, generation) }]);
    };
    await swap(0);
    const generations = await probeWhile(10_000, () => count('changes') >= ENOUGH, swap);
    console.info(`${generations} swaps, ${count('changes')} seen in ${count('looks')} looks, ${count('mixed')} mixed`);
    expect(count('mixed')).toBe(0);
    expect(count('changes')).toBeGreaterThanOrEqual(ENOUGH);
  });

  it.each<[string, (ring: BpfMap, image: RingImage, generation: number) => void]>([
    ['written into in place', (_ring, image, generation) => image.fill((slots) => fill(slots, generation))],
    [
      'replaced by one update of its only element',
      (ring, _image, generation) => {
        const image = RingImage.blank();
        image.fill((slots) => fill(slots, generation));
        ring.put(indexKey(0), image.memory);
      },
    ],
  ])('is seen as a mix, control: when it is %s', async (_how, write) => {
    const shape = { keySize: 4, valueSize: RING_BYTES, maxEntries: 1, flags: 1 << 10 } as const;
    const ring = createMap({ type: 'array', name: 'control', ...shape });
    const memory = ring.mmap();
    const image = new RingImage(memory);
    const descriptor = new Uint8Array(Uint32Array.of(ring.fd).buffer);
    await loaded.object.map('rings').putBatch(indexKey(0), descriptor, 1);
    await probeWhile(
      1_000,
      () => count('mixed') > 0,
      async (generation) => {
        for (let i = 0; i < 20; i++) write(ring, image, 20 * generation + i);
        // Lets the probe’s next call begin.
        await sleep(0);
      },
    );
    unmap(memory);
    ring.close();
    console.info(`${count('mixed')} of ${count('looks')} looks saw a mix`);
    expect(count('mixed')).toBeGreaterThan(0);
  });
});
