import { describe, expect, it, onTestFinished } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import { flowHash } from '../../src/core/flow-hash.ts';
import type { Target } from '../../src/core/target.ts';
import { readBucket, writeBucket } from '../support/flow-buckets.ts';
import { ethernet, ipv4, tcp, tcpFlags } from '../support/frames.ts';
import { targetPool } from '../support/planning.ts';
import { ProgramBench, settings, target } from '../support/program-bench.ts';

const [VIP, CLIENT, A, B] = ['192.0.2.10', '198.51.100.7', '10.0.0.1', '10.0.0.2'] as const;
const BUCKET = 8;
const TAG = 0x7fff_ffffn;
const keys = BigUint64Array.from(settings.hashKeys.split(','), (word) => BigInt(`0x${word}`));
const vips = { [`${VIP}|80|tcp`]: 'web' };

const frame = (port: number) => ethernet(ipv4({ from: CLIENT, to: VIP }, tcp({ from: port, to: 80 })));

function hashOf(sourcePort: number): bigint {
  const flow = { protocol: 'tcp', source: CLIENT, sourcePort, destination: VIP, destinationPort: 80 } as const;
  return flowHash(keys, flow, '5-tuple');
}

/** The keys with another first one, so that this is the hash of the port’s flow: docs/reference/flow-hash.md, read backwards. */
function keysFor(hash: bigint, port: number): string {
  const wrap = (word: bigint): bigint => BigInt.asUintN(64, word);
  // Newton’s iteration: each step doubles the bits that are right, of which an odd number has three.
  const inverse = (odd: bigint): bigint => [1, 2, 3, 4, 5].reduce((x) => wrap(x * (2n - odd * x)), odd);
  const wordBefore = (after: bigint, word: bigint, key: bigint): bigint =>
    wrap((after ^ (after >> 32n)) * inverse(key)) ^ word;
  const [, first = 1n, second = 1n, , , , last = 1n] = keys;
  const l4 = Buffer.alloc(8);
  l4.writeUInt16BE(port, 0);
  l4.writeUInt16BE(80, 2);
  l4.writeUInt8(6, 4);
  const addresses = Buffer.from([...addressBytes(CLIENT), ...addressBytes(VIP)]).readBigUInt64LE();
  const beforeLast = wordBefore(hash, 0n, last);
  const start = wordBefore(wordBefore(beforeLast, l4.readBigUInt64LE(), second), addresses, first);
  return [start.toString(16).padStart(16, '0'), ...settings.hashKeys.split(',').slice(1)].join(',');
}

/** As docs/decisions/0001-flow-cache.md has it. */
function bucketsOf(port: number, count: number): readonly [number, number] {
  const half = Number(hashOf(port) >> 32n);
  const changed = (half % 2 ** 16) * 2 ** 16 + Math.floor(half / 2 ** 16);
  return [Math.floor((half * count) / 2 ** 32), Math.floor((changed * count) / 2 ** 32)];
}

function goal(ring: readonly string[], kept: readonly string[] = ring, hashKeys = settings.hashKeys): Target {
  const others = kept.filter((address) => !ring.includes(address));
  return { ...target(vips, {}, { hashKeys }), pools: new Map([['web', targetPool('web', ring, others)]]) };
}

class Cache {
  readonly bench: ProgramBench;
  readonly count: number;

  private constructor(bench: ProgramBench, count: number) {
    this.bench = bench;
    this.count = count;
  }

  /** Of so many buckets for each CPU; new flows go to A. */
  static async of(count: number): Promise<Cache> {
    const bench = await ProgramBench.load({ flowsPerCpu: count * BUCKET });
    onTestFinished(() => bench[Symbol.dispose]());
    await bench.converge(goal([A]));
    return new Cache(bench, count);
  }

  /** New flows go to B, and those that are remembered stay with A. */
  turn(): Promise<void> {
    return this.bench.converge(goal([B], [A, B]));
  }

  realOf(port: number): string {
    return this.bench.realOf(frame(port));
  }

  read(bucket: number): readonly bigint[] {
    return readBucket(this.bench.store, this.bench.cpu * this.count + bucket);
  }

  write(bucket: number, entries: readonly bigint[]): void {
    writeBucket(this.bench.store, this.bench.cpu * this.count + bucket, entries);
  }

  /** Places in use, from 0 to 7. */
  used(bucket: number): number[] {
    return this.read(bucket).flatMap((entry, place) => (entry === 0n ? [] : [place]));
  }

  /** As if all that is in the bucket had been used so many ticks ago; by place if they differ. */
  stamp(bucket: number, ago: number | ((place: number) => number)): void {
    const now = this.bench.loaded.tick();
    const stamped = this.read(bucket).map((entry, place) => {
      const tick = BigInt((now - (typeof ago === 'number' ? ago : ago(place))) & 0x3ff);
      return entry === 0n ? entry : (entry & ~(0x3ffn << 31n)) | (tick << 31n);
    });
    this.write(bucket, stamped);
  }

  has(bucket: number, port: number): boolean {
    return this.read(bucket).some((entry) => entry !== 0n && (entry & TAG) === (hashOf(port) & TAG));
  }
}

const ports = Array.from({ length: 4_000 }, (_, i) => 10_000 + i);
const between = (first: number, second: number, count: number): number[] =>
  ports.filter((port) => {
    const [one, other] = bucketsOf(port, count);
    return one === first && other === second;
  });

describe.each([1, 2, 3, 37, 1_000, 4_096])('where there are %i buckets', (count) => {
  it('a flow is in one of the two that its hash names', async () => {
    const cache = await Cache.of(count);
    let second = 0;
    for (const port of ports.slice(0, 300)) {
      cache.realOf(port);
      const found = [...new Set(bucketsOf(port, count))].filter((bucket) => cache.has(bucket, port));
      expect(found).toHaveLength(1);
      if (found[0] !== bucketsOf(port, count)[0]) second++;
    }
    if (count > 1) expect(second).toBeGreaterThan(5);
  });
});

describe('a new flow', () => {
  it('goes where fewer are, and buckets fill from below', async () => {
    const cache = await Cache.of(3);
    for (const port of ports.slice(0, 16)) {
      const [first, second] = bucketsOf(port, 3);
      const before = [0, 1, 2].map((bucket) => cache.used(bucket).length);
      cache.realOf(port);
      const grown = [0, 1, 2].filter((bucket) => cache.used(bucket).length > (before[bucket] ?? 0));
      expect(grown).toHaveLength(1);
      expect(before[grown[0] ?? 0]).toBe(Math.min(before[first] ?? 0, before[second] ?? 0));
      for (const bucket of [0, 1, 2]) expect(cache.used(bucket)).toEqual(cache.used(bucket).map((_, place) => place));
    }
  });

  it.each([0, 1])('takes the place of the longest unused of both buckets, in bucket %i', async (bucket) => {
    const cache = await Cache.of(2);
    const [one, ...others] = [...between(0, 1, 2), ...between(1, 0, 2)];
    const kept = others.slice(0, 2 * BUCKET);
    for (const port of kept) cache.realOf(port);
    expect([cache.used(0).length, cache.used(1).length]).toEqual([8, 8]);
    await cache.turn();
    for (const of of [0, 1]) cache.stamp(of, (place) => (of === bucket && place === 5 ? 90 : 20 + place * 2 + of));
    const before = [cache.read(0), cache.read(1)];
    expect(cache.realOf(one ?? 0)).toBe(B);
    const changed = [0, 1].flatMap((of) =>
      cache.read(of).flatMap((entry, place) => (entry === before[of]?.[place] ? [] : [`${of}.${place}`])),
    );
    expect(changed).toEqual([`${bucket}.5`]);
  });

  it('takes its own old place in either bucket, although others are empty', async () => {
    const cache = await Cache.of(2);
    const both = between(0, 1, 2).slice(0, 12);
    for (const port of both) cache.realOf(port);
    const used = [cache.used(0).length, cache.used(1).length];
    await cache.turn();
    for (const port of both) {
      const syn = ethernet(ipv4({ from: CLIENT, to: VIP }, tcp({ from: port, to: 80, flags: tcpFlags.syn })));
      expect(cache.bench.realOf(syn)).toBe(B);
      expect([cache.used(0).length, cache.used(1).length]).toEqual(used);
    }
    expect(both.map((port) => cache.realOf(port))).toEqual(both.map(() => B));
  });
});

describe('entries of one tick', () => {
  it('are given up one like the other', async () => {
    const count = 64;
    const cache = await Cache.of(count);
    for (const port of ports) cache.realOf(port);
    const places = new Set<string>();
    for (let port = 30_000; port < 50_000; port++) {
      const [first, second] = bucketsOf(port, count);
      if (first !== 7 || second === first) continue;
      cache.stamp(first, 0);
      cache.stamp(second, 0);
      const before = [cache.read(first), cache.read(second)];
      cache.realOf(port);
      [first, second].forEach((bucket, which) => {
        for (const [place, entry] of cache.read(bucket).entries())
          if (entry !== before[which]?.[place]) places.add(`${which}.${place}`);
      });
    }
    expect(places.size).toBe(2 * BUCKET);
  });
});

describe('a flow whose tag is 0, as an empty entry has it', () => {
  it('is remembered once, too', async () => {
    const hashKeys = keysFor(0x1234_5678_0000_0000n, 1_000);
    using bench = await ProgramBench.load({ flowsPerCpu: BUCKET });
    const syn = ethernet(ipv4({ from: CLIENT, to: VIP }, tcp({ from: 1_000, to: 80, flags: tcpFlags.syn })));
    await bench.converge(goal([A], [A], hashKeys));
    expect(bench.realOf(syn)).toBe(A);
    await bench.converge(goal([B], [A, B], hashKeys));
    expect(bench.realOf(syn)).toBe(B);
    const used = readBucket(bench.store, bench.cpu).filter((entry) => entry !== 0n);
    expect(used.map((entry) => entry & TAG)).toEqual([0n]);
    expect(bench.realOf(frame(1_000))).toBe(B);
  });
});

describe('use', () => {
  it('is noted in either bucket', async () => {
    const cache = await Cache.of(2);
    const both = between(0, 1, 2).slice(0, 8);
    for (const port of both) cache.realOf(port);
    const now = cache.bench.loaded.tick();
    for (const bucket of [0, 1]) cache.stamp(bucket, 100);
    // Else a flow that shares the note of another one is not looked for.
    cache.bench.store.unsettle([0]);
    for (const port of both) cache.realOf(port);
    const ages = [0, 1].flatMap((bucket) =>
      cache.read(bucket).flatMap((entry) => (entry === 0n ? [] : [(now - Number((entry >> 31n) & 0x3ffn)) & 0x3ff])),
    );
    expect(ages).toHaveLength(8);
    // A tick may have ended in between.
    for (const age of ages) expect([0, 0x3ff]).toContain(age);
  });
});

describe('a cache that is four fifths full', () => {
  it('has lost next to nobody', async () => {
    const cache = await Cache.of(2_000);
    const flows = Array.from({ length: 12_800 }, (_, i) => 20_000 + i);
    for (const port of flows) cache.realOf(port);
    await cache.turn();
    // With one bucket for each flow it would be one in ten.
    expect(flows.filter((port) => cache.realOf(port) !== A).length).toBeLessThan(flows.length / 200);
  });
});
