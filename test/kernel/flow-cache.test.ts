import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { RealRecord } from '../../src/core/data-plane.ts';
import type { Target } from '../../src/core/target.ts';
import { readTraffic } from '../../src/dataplane/counters.ts';
import { readBucket, writeBucket } from '../support/flow-buckets.ts';
import { ethernet, ipv4, tcp, tcpFlags, udp } from '../support/frames.ts';
import { targetPool } from '../support/planning.ts';
import { allowedCpus, ProgramBench, target } from '../support/program-bench.ts';

const VIP = '192.0.2.10';
const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'] as const;
const vips = { [`${VIP}|80|tcp`]: 'web', [`${VIP}|53|udp`]: 'web' };

const frames = {
  tcp: (port: number, flags: number = tcpFlags.ack) =>
    ethernet(ipv4({ from: '198.51.100.7', to: VIP }, tcp({ from: port, to: 80, flags }))),
  udp: (port: number) => ethernet(ipv4({ from: '198.51.100.7', to: VIP }, udp({ from: port, to: 53 }))),
};

/** New flows go to `ring`; those of `kept` stay with the real that they have. */
function goal(ring: readonly string[], kept: readonly string[] = ring): Target {
  const others = kept.filter((address) => !ring.includes(address));
  return { ...target(vips, {}), pools: new Map([['web', targetPool('web', ring, others)]]) };
}

async function benchWith(ring: readonly string[], flowsPerCpu?: number): Promise<ProgramBench> {
  const bench = await ProgramBench.load(flowsPerCpu === undefined ? {} : { flowsPerCpu });
  onTestFinished(() => bench[Symbol.dispose]());
  await bench.converge(goal(ring));
  return bench;
}

const recordOf = (address: string): RealRecord => ({ address, pool: 0, generation: 0, encap: { kind: 'ipip' } });

function numberOf(bench: ProgramBench, address: string): number {
  const found = [...bench.dataPlane.observe().reals].find(([, real]) => real.address === address);
  if (found === undefined) throw new Error(`no real ${address}`);
  return found[0];
}

describe.each(['tcp', 'udp'] as const)('a %s flow', (protocol) => {
  const frame = frames[protocol];
  let bench: ProgramBench;

  beforeEach(async () => {
    bench = await benchWith([A]);
  });

  it('keeps its real across a ring change; a new one follows the new ring', async () => {
    expect(bench.realOf(frame(1))).toBe(A);
    await bench.converge(goal([B], [A, B]));
    expect(bench.realOf(frame(1))).toBe(A);
    expect(bench.realOf(frame(2))).toBe(B);
    await bench.converge(goal([A], [A, B]));
    expect([bench.realOf(frame(1)), bench.realOf(frame(2))]).toEqual([A, B]);
  });

  it('keeps its real when the ring becomes empty, or goes', async () => {
    expect(bench.realOf(frame(1))).toBe(A);
    await bench.converge(goal([], [A]));
    expect([bench.realOf(frame(1)), bench.realOf(frame(2))]).toEqual([A, 'no_real']);
    await bench.apply({ op: 'remove-pools', pools: [0] });
    expect([bench.realOf(frame(1)), bench.realOf(frame(2))]).toEqual([A, 'no_real']);
  });

  it('goes by the ring at once when its real is voided', async () => {
    expect(bench.realOf(frame(1))).toBe(A);
    await bench.converge(goal([B], [B]));
    expect(bench.realOf(frame(1))).toBe(B);
    await bench.converge(goal([C], [B, C]));
    expect(bench.realOf(frame(1))).toBe(B);
  });

  it('never goes to a void number, not even with the generation that the flow remembers', async () => {
    expect(bench.realOf(frame(1))).toBe(A);
    const number = numberOf(bench, A);
    const { generation } = bench.dataPlane.observe().reals.get(number) ?? { generation: -1 };
    await bench.converge(goal([B], [A, B]));
    await bench.apply({ op: 'void-real', number, generation });
    expect(bench.realOf(frame(1))).toBe(B);
  });

  it('is not inherited by the next user of its real’s number', async () => {
    expect(bench.realOf(frame(1))).toBe(A);
    const number = numberOf(bench, A);
    const { generation } = bench.dataPlane.observe().reals.get(number) ?? { generation: -1 };
    await bench.converge(goal([B], [A, B]));
    await bench.apply({ op: 'void-real', number, generation: generation + 1 });
    await bench.apply({ op: 'put-real', number, real: { ...recordOf(C), generation: generation + 1 }, fresh: true });
    expect(bench.realOf(frame(1))).toBe(B);
    await bench.converge(goal([C], [B, C]));
    expect([bench.realOf(frame(1)), bench.realOf(frame(2))]).toEqual([B, C]);
  });

  it('is not inherited either when a plan hands the number on', async () => {
    using small = await ProgramBench.load({ reals: 1 });
    await small.converge(goal([A]));
    expect(small.realOf(frame(1))).toBe(A);
    const number = numberOf(small, A);
    await small.converge(goal([B]));
    await small.converge(goal([B, C]));
    expect(numberOf(small, C)).toBe(number);
    await small.store.swapRings([{ pool: 0, fill: (slots) => slots.fill(numberOf(small, B)) }]);
    expect(small.realOf(frame(1))).toBe(B);
  });

  it('stops with its VIP', async () => {
    expect(bench.realOf(frame(1))).toBe(A);
    await bench.converge(target({}, { web: [A] }));
    expect(bench.realOf(frame(1))).toBe('not_vip');
  });

  it('is remembered by the CPU that it runs on', async (context) => {
    const [first, second] = allowedCpus();
    if (first === undefined || second === undefined) return context.skip('this process may run on one CPU only');
    expect(bench.realOf(frame(1))).toBe(A);
    await bench.converge(goal([B], [A, B]));
    bench.cpu = second;
    expect(bench.realOf(frame(1))).toBe(B);
    bench.cpu = first;
    expect(bench.realOf(frame(1))).toBe(A);
  });
});

describe('the opening of a TCP connection', () => {
  const { syn, ack, fin, rst, psh } = tcpFlags;

  it('is a new flow, whatever the same ports did before', async () => {
    const bench = await benchWith([A]);
    expect(bench.realOf(frames.tcp(1))).toBe(A);
    await bench.converge(goal([B], [A, B]));
    expect(bench.realOf(frames.tcp(1, syn))).toBe(B);
    await bench.converge(goal([A], [A, B]));
    expect(bench.realOf(frames.tcp(1))).toBe(B);
  });

  it.each([syn | 0x40 | 0x80, syn | psh, syn | fin])('is told by SYN without ACK, as in flags %i', async (flags) => {
    const bench = await benchWith([A]);
    bench.realOf(frames.tcp(1));
    await bench.converge(goal([B], [A, B]));
    expect(bench.realOf(frames.tcp(1, flags))).toBe(B);
  });

  it.each([syn | ack, ack, rst, fin | ack, psh | ack, 0])('is not flags %i', async (flags) => {
    const bench = await benchWith([A]);
    bench.realOf(frames.tcp(1));
    await bench.converge(goal([B], [A, B]));
    expect(bench.realOf(frames.tcp(1, flags))).toBe(A);
  });
});

/** An entry as bpf/layout.h describes it: tag, tick of the last use, real, generation, from the low bits. */
const tagOf = (entry: bigint): bigint => entry & 0x7fffffffn;
const realOfEntry = (entry: bigint): number => Number((entry >> 41n) & 0xffffn);
const withTick = (entry: bigint, tick: number): bigint => (entry & ~(0x3ffn << 31n)) | (BigInt(tick & 0x3ff) << 31n);

/** Places at which two buckets differ. */
function changedPlaces(before: readonly bigint[], after: readonly bigint[]): number[] {
  return before.flatMap((entry, place) => (entry === after[place] ? [] : [place]));
}

describe('a full bucket', () => {
  const FIRST_PORT = 1000;

  /** Ports by the place that their flow has in the bucket. */
  async function full(): Promise<{ bench: ProgramBench; ports: number[] }> {
    const bench = await benchWith([A], 8);
    const ports = new Array<number>(8).fill(0);
    for (let port = FIRST_PORT; port < FIRST_PORT + 8; port++) {
      const before = readBucket(bench.store, bench.cpu);
      bench.realOf(frames.tcp(port));
      const [place, ...others] = changedPlaces(before, readBucket(bench.store, bench.cpu));
      expect(others).toEqual([]);
      expect(before[place!]).toBe(0n);
      ports[place!] = port;
    }
    expect(new Set(readBucket(bench.store, bench.cpu).map(tagOf)).size).toBe(8);
    return { bench, ports };
  }

  /** Stamps the entry at each place as last used so many ticks ago. */
  function age(bench: ProgramBench, ages: readonly number[]): void {
    const now = bench.loaded.tick();
    writeBucket(
      bench.store,
      bench.cpu,
      readBucket(bench.store, bench.cpu).map((entry, place) => withTick(entry, now - (ages[place] ?? 0))),
    );
  }

  it('is filled entry by entry and lost by nobody', async () => {
    const { bench, ports } = await full();
    await bench.converge(goal([B], [A, B]));
    expect(ports.map((port) => bench.realOf(frames.tcp(port)))).toEqual(ports.map(() => A));
    expect(readBucket(bench.store, bench.cpu).map(realOfEntry)).toEqual(ports.map(() => numberOf(bench, A)));
  });

  // Whatever the tick is now, some of these ages reach back over its wrap from 1,023 to 0.
  it.each([
    [[20, 30, 40, 10, 50, 60, 70, 5], 6],
    [[1000, 30, 40, 10, 50, 60, 70, 5], 0],
    [[3, 530, 750, 10, 749, 60, 700, 5], 2],
    [[10, 20, 300, 400, 500, 600, 700, 900], 7],
    [[10, 20, 256, 40, 255, 60, 70, 80], 2],
  ])('gives up the longest unused of ages %j', async (ages, evicted) => {
    const { bench, ports } = await full();
    age(bench, ages);
    const before = readBucket(bench.store, bench.cpu);
    await bench.converge(goal([B], [A, B]));
    expect(bench.realOf(frames.tcp(2000))).toBe(B);
    const after = readBucket(bench.store, bench.cpu);
    expect(changedPlaces(before, after)).toEqual([evicted]);
    expect(realOfEntry(after[evicted] ?? 0n)).toBe(numberOf(bench, B));
    // Asked last: a flow that is not remembered any more takes another one’s place.
    const others = ports.filter((_, place) => place !== evicted);
    expect(others.map((port) => bench.realOf(frames.tcp(port)))).toEqual(others.map(() => A));
    expect(bench.realOf(frames.tcp(2000))).toBe(B);
    expect(bench.realOf(frames.tcp(ports[evicted] ?? 0))).toBe(B);
  });

  it('gives up any of those that are equally old, by the hash of the flow that comes', async () => {
    const { bench } = await full();
    const evictions = new Array<number>(8).fill(0);
    for (let port = 2000; port < 2400; port++) {
      age(bench, [9, 9, 9, 9, 9, 9, 9, 9]);
      const before = readBucket(bench.store, bench.cpu);
      bench.realOf(frames.tcp(port));
      for (const place of changedPlaces(before, readBucket(bench.store, bench.cpu))) evictions[place]!++;
    }
    expect(evictions.reduce((sum, count) => sum + count, 0)).toBe(400);
    for (const count of evictions) expect(count).toBeGreaterThan(20);
  });

  it('is not full while an entry is empty, however old the others are', async () => {
    const { bench } = await full();
    age(bench, [1000, 999, 998, 997, 996, 995, 994, 0]);
    const others = readBucket(bench.store, bench.cpu).with(7, 0n);
    writeBucket(bench.store, bench.cpu, others);
    bench.realOf(frames.tcp(2000));
    expect(readBucket(bench.store, bench.cpu).with(7, 0n)).toEqual(others);
    expect(realOfEntry(readBucket(bench.store, bench.cpu)[7] ?? 0n)).toBe(numberOf(bench, A));
  });

  it('counts every packet of a flow as use', async () => {
    const { bench, ports } = await full();
    age(bench, [170, 20, 30, 40, 50, 60, 100, 80]);
    bench.realOf(frames.tcp(ports[0] ?? 0));
    await bench.converge(goal([B], [A, B]));
    bench.realOf(frames.tcp(2000));
    expect(bench.realOf(frames.tcp(ports[0] ?? 0))).toBe(A);
    expect(bench.realOf(frames.tcp(ports[6] ?? 0))).toBe(B);
  });

  it('takes the entry of the flow itself for its new choice', async () => {
    const { bench, ports } = await full();
    age(bench, [1000, 999, 998, 997, 996, 0, 995, 994]);
    await bench.converge(goal([B], [A, B]));
    expect(bench.realOf(frames.tcp(ports[5] ?? 0, tcpFlags.syn))).toBe(B);
    expect(ports.map((port) => bench.realOf(frames.tcp(port)))).toEqual(ports.map((_, place) => (place === 5 ? B : A)));
  });
});

describe('a cache of many buckets', () => {
  it('remembers a tenth of its size without loss', async () => {
    const bench = await benchWith([A], 16_384);
    expect(bench.loaded.flowsPerCpu).toBe(16_384);
    const ports = Array.from({ length: 1600 }, (_, i) => 10_000 + i);
    for (const port of ports) bench.realOf(frames.udp(port));
    await bench.converge(goal([B], [A, B]));
    expect(ports.filter((port) => bench.realOf(frames.udp(port)) !== A)).toEqual([]);
  });
});

describe('recycled numbers', () => {
  it('of a pool inherit no ring', async () => {
    const bench = await benchWith([A]);
    await bench.converge(target({}, {}));
    expect(bench.dataPlane.observe().rings.size).toBe(0);
    const { vips } = target({ [`${VIP}|80|tcp`]: 'again' }, {});
    const record = { ...[...vips.values()][0]!, number: 0, pool: 0, clients: [] };
    const directory = { vips: new Map([[`${VIP}|80|tcp` as const, record]]), tunnels: [], own: [] };
    await bench.apply({ op: 'swap-directory', directory, fresh: [0] });
    expect(bench.realOf(frames.tcp(1))).toBe('no_real');
    // A number that a VIP names is given to nobody.
    await bench.apply({ op: 'swap-directory', directory: { vips: new Map(), tunnels: [], own: [] }, fresh: [] });
    await bench.converge(target({ [`${VIP}|80|tcp`]: 'again' }, { again: [C] }));
    expect(bench.dataPlane.observe().pools).toEqual(new Map([['again', 0]]));
    expect(bench.realOf(frames.tcp(1))).toBe(C);
  });

  it('of a VIP and a real start their counters at 0', async () => {
    const bench = await benchWith([A]);
    bench.realOf(frames.tcp(1));
    const vipNumber = bench.dataPlane.observe().directory?.vips.get(`${VIP}|80|tcp`)?.number ?? Number.NaN;
    const realNumber = numberOf(bench, A);
    const counters = () => [readTraffic(bench.store, 'vip', vipNumber), readTraffic(bench.store, 'real', realNumber)];
    const counted = { packets: 1n, bytes: 40n, newFlows: 0n, hits: 0n, misses: 1n };
    expect(counters()).toEqual([counted, counted]);

    await bench.converge(target({}, {}));
    const { vips } = target({ '192.0.2.11|443|tcp': 'other' }, {});
    const record = { ...[...vips.values()][0]!, number: vipNumber, pool: 1, clients: [] };
    const directory = { vips: new Map([['192.0.2.11|443|tcp' as const, record]]), tunnels: [], own: [] };
    const real = { ...recordOf(C), pool: 1, generation: 1 };
    await bench.apply(
      { op: 'put-real', number: realNumber, real, fresh: true },
      { op: 'swap-rings', rings: [{ pool: 1, spec: { seed: '00', members: [] } }] },
      { op: 'swap-directory', directory, fresh: [vipNumber] },
    );
    const zero = { packets: 0n, bytes: 0n, newFlows: 0n, hits: 0n, misses: 0n };
    expect(counters()).toEqual([zero, zero]);
  });
});
