import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Target } from '../../src/core/target.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';
import { readBucket, writeBucket } from '../support/flow-buckets.ts';
import { ethernet, icmp, ipv4, tcp, udp } from '../support/frames.ts';
import { targetPool } from '../support/planning.ts';
import { ProgramBench, target } from '../support/program-bench.ts';

/** A UDP flow that falls silent is forgotten after `udpTimeout`, to within one tick; one of TCP is not. */

const VIP = '192.0.2.10';
const [A, B] = ['10.0.0.1', '10.0.0.2'] as const;
const TIMEOUT_MS = 30_000;

const frames = {
  tcp: ethernet(ipv4({ from: '198.51.100.7', to: VIP }, tcp({ from: 1, to: 80 }))),
  udp: ethernet(ipv4({ from: '198.51.100.7', to: VIP }, udp({ from: 1, to: 53 }))),
};

function goal(real: string, fields: object = {}): Target {
  const vips = { [`${VIP}|80|tcp`]: { pool: 'web', ...fields }, [`${VIP}|53|udp`]: { pool: 'web', ...fields } };
  const pools = new Map([['web', targetPool('web', [real], [real === A ? B : A])]]);
  return { ...target(vips, {}, {}), pools };
}

/** The one bucket of the CPU has one entry at most: says when it was used last. */
class OneFlow {
  readonly #bench: ProgramBench;

  constructor(bench: ProgramBench) {
    this.#bench = bench;
  }

  get entries(): readonly bigint[] {
    return readBucket(this.#bench.store, this.#bench.cpu);
  }

  #restamp(tick: (before: number) => number): void {
    const entry = this.entries.map((one) => {
      const stamp = BigInt(tick(Number((one >> 31n) & 0x3ffn)) & 0x3ff) << 31n;
      return one === 0n ? one : (one & ~(0x3ffn << 31n)) | stamp;
    });
    writeBucket(this.#bench.store, this.#bench.cpu, entry);
  }

  /** Has its last use so many ticks ago. */
  age(ticks: number): void {
    const now = this.#bench.loaded.tick();
    this.#restamp(() => now - ticks);
  }

  /** Has its last use so many ticks earlier than it was. */
  older(ticks: number): void {
    this.#restamp((before) => before - ticks);
  }

  get count(): number {
    return this.entries.filter((entry) => entry !== 0n).length;
  }
}

async function remembered(
  protocol: 'tcp' | 'udp',
  fields: object = {},
): Promise<{ bench: ProgramBench; flow: OneFlow }> {
  const bench = await ProgramBench.load({ flowsPerCpu: 8 });
  await bench.converge(goal(A, { udpTimeoutMs: TIMEOUT_MS, ...fields }));
  expect(bench.realOf(frames[protocol])).toBe(A);
  await bench.converge(goal(B, { udpTimeoutMs: TIMEOUT_MS, ...fields }));
  return { bench, flow: new OneFlow(bench) };
}

describe('a UDP flow', () => {
  it('is forgotten when it was silent for longer than its VIP says, to within a tick', async () => {
    const { bench, flow } = await remembered('udp');
    using _ = bench;
    const ticks = TIMEOUT_MS / bench.loaded.tickMs;
    for (const kept of [0, 1, Math.floor(ticks) - 1]) {
      flow.age(kept);
      expect([kept, bench.realOf(frames.udp)]).toEqual([kept, A]);
    }
    flow.age(Math.ceil(ticks) + 1);
    expect(bench.realOf(frames.udp)).toBe(B);
    expect(flow.count).toBe(1);
  });

  it.each([100, 500, 1_000])('is still forgotten after %i ticks, the clock of the cache going round', async (ticks) => {
    const { bench, flow } = await remembered('udp');
    using _ = bench;
    flow.age(ticks);
    expect(bench.realOf(frames.udp)).toBe(B);
  });

  it('begins anew with every packet', async () => {
    const { bench, flow } = await remembered('udp');
    using _ = bench;
    const most = Math.floor(TIMEOUT_MS / bench.loaded.tickMs) - 1;
    for (let n = 0; n < 5; n++) {
      flow.older(most);
      expect(bench.realOf(frames.udp)).toBe(A);
    }
  });

  it('is not used by an error about it', async () => {
    const { bench, flow } = await remembered('udp');
    using _ = bench;
    const quote = ipv4({ from: VIP, to: '198.51.100.7' }, udp({ from: 53, to: 1 }));
    const error = ethernet(ipv4({ from: '203.0.113.9', to: VIP }, icmp(3, quote, { code: 1 })));
    const most = Math.floor(TIMEOUT_MS / bench.loaded.tickMs) - 1;
    flow.age(most);
    const before = flow.entries;
    expect(bench.realOf(error)).toBe(A);
    expect(flow.entries).toEqual(before);
    flow.age(most + 3);
    expect(bench.realOf(error)).toBe(B);
    expect(bench.realOf(frames.udp)).toBe(B);
  });

  it('of a VIP that takes fragments ages as any other', async () => {
    const { bench, flow } = await remembered('udp', { fragments: 'hash' });
    using _ = bench;
    flow.age(1);
    expect(bench.realOf(frames.udp)).toBe(A);
    flow.age(Math.ceil(TIMEOUT_MS / bench.loaded.tickMs) + 1);
    expect(bench.realOf(frames.udp)).toBe(B);
  });

  it.each([2_000, 1_800_000])('may have a timeout of %i ms', async (udpTimeoutMs) => {
    const { bench, flow } = await remembered('udp', { udpTimeoutMs });
    using _ = bench;
    const ticks = udpTimeoutMs / bench.loaded.tickMs;
    flow.age(Math.max(0, Math.floor(ticks) - 1));
    expect(bench.realOf(frames.udp)).toBe(A);
    flow.age(Math.ceil(ticks) + 2);
    expect(bench.realOf(frames.udp)).toBe(B);
  });

  it('is forgotten by the real clock, too', async () => {
    using compiler = new BpfCompiler();
    // Ticks of a 32nd of their length: 64 ms or so where the kernel’s own are 4 ms.
    const quick = compiler.compileChanged('tick.h', '>> constants.tick_shift', '>> (constants.tick_shift - 5)');
    using bench = await ProgramBench.load({}, quick);
    await bench.converge(goal(A, { udpTimeoutMs: 32_000 }));
    expect(bench.realOf(frames.udp)).toBe(A);
    await bench.converge(goal(B, { udpTimeoutMs: 32_000 }));
    for (let n = 0; n < 6; n++) {
      await sleep(300);
      expect(bench.realOf(frames.udp)).toBe(A);
    }
    await sleep(1_500);
    expect(bench.realOf(frames.udp)).toBe(B);
  });
});

describe('a TCP flow', () => {
  it('is remembered however long it was silent', async () => {
    const { bench, flow } = await remembered('tcp');
    using _ = bench;
    for (const ticks of [1, 14, 17, 500, 1_023]) {
      flow.age(ticks);
      expect(bench.realOf(frames.tcp)).toBe(A);
    }
  });
});
