import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Vip } from '../../src/core/model.ts';
import { readTraffic } from '../../src/dataplane/counters.ts';
import { eraseFlows } from '../support/flow-buckets.ts';
import { icmp, rawSegment, tcp, tcpFlags, udp } from '../support/frames.ts';
import { benchOf, inForce, isHot, OTHER, REAL, roomInTick, VIP } from '../support/hot-flows.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';
import { NOTE_TICKS, noteAll, startOfMoment, whileNoted } from '../support/notes.ts';
import { framed, packet } from '../support/packets.ts';
import type { ProgramBench } from '../support/program-bench.ts';

/**
 * The flow cache is not asked for a flow that it had in this moment, as long as it can have no flow of its slot at another real than the
 * ring’s: and if it can, it is asked, whatever is noted.
 */

const A = REAL[4];
const B = OTHER[4];
const draining = real(A, { state: 'drain' });
const onlyA = pool('web', [A]);
/** Every slot is B’s from now on, and A keeps its flows. */
const nowB = pool('web', [draining, B]);

const web = (fields: Partial<Vip> = {}) => vip('web', fields);
const flow = (from: number, flags: number = tcpFlags.ack, to: string = VIP[4]) =>
  framed(packet(to, tcp({ from, to: 80, flags })));
const frame = flow(40_000);

/** With a second or more of its tick left. */
async function ownBench(pools = [onlyA], vips: readonly Vip[] = [web()], flowsPerCpu = 65_536): Promise<ProgramBench> {
  const bench = await benchOf(snapshot(pools, vips), { hotFlows: false, flowsPerCpu });
  onTestFinished(() => bench[Symbol.dispose]());
  await roomInTick(bench);
  return bench;
}

/** Sends the frame to a flow cache that remembers nothing: was it asked? Afterwards it remembers the flow. */
function isAsked(bench: ProgramBench, at: Uint8Array): boolean {
  const counts = () => readTraffic(bench.store, 'vip', 0);
  eraseFlows(bench);
  const before = counts();
  expect(bench.send(at).reason).toBe('forwarded');
  const { hits, misses, newFlows } = counts();
  expect(Number(hits + misses + newFlows - before.hits - before.misses - before.newFlows)).toBe(1);
  return hits === before.hits;
}

/** One packet that the flow cache does not know, and one that it knows. */
function introduce(bench: ProgramBench, at: Uint8Array): void {
  for (let i = 0; i < 2; i++) expect(bench.realOf(at)).toBe(A);
}

/** Where the flow goes, and a new one, while both are noted. */
const noted = (bench: ProgramBench) => whileNoted(bench, () => [bench.realOf(frame), bench.realOf(flow(40_001))]);

/** Every slot is B’s, and the cache has the flow at A. */
async function strayed(): Promise<ProgramBench> {
  const bench = await ownBench();
  introduce(bench, frame);
  await inForce(bench, snapshot([nowB], [web()]));
  return bench;
}

describe('the flow cache', () => {
  it.each([
    ['TCP', frame, {}],
    ['UDP', framed(packet(VIP[4], udp({ from: 40_000, to: 80 }))), { protocol: 'udp' }],
    ['IPv6', framed(packet(VIP[6], tcp({ from: 40_000, to: 80, flags: tcpFlags.ack }))), { address: VIP[6] }],
    ['a VIP that hashes sources', frame, { hash: 'source' }],
    ['a VIP of every port', frame, { port: 0 }],
  ] as const)('is not asked for a flow that it had: %s', async (_what, at, fields) => {
    const bench = await ownBench([onlyA], [web(fields)]);
    bench.send(at);
    expect(isAsked(bench, at)).toBe(true);
    bench.send(at);
    expect(isAsked(bench, at)).toBe(false);
    expect(isAsked(bench, at)).toBe(false);
  });

  it('is asked for a flow that it did not know, and for the opening of one', async () => {
    const bench = await ownBench();
    introduce(bench, frame);
    expect(isAsked(bench, flow(40_001))).toBe(true);
    expect(isAsked(bench, flow(40_000, tcpFlags.syn))).toBe(true);
  });

  it('is asked after a SYN, which no note is made of', async () => {
    const bench = await ownBench();
    bench.send(flow(40_000, tcpFlags.syn));
    expect(isAsked(bench, frame)).toBe(true);
  });

  it('is asked again after any change of a map, whatever was noted', async () => {
    const bench = await ownBench();
    introduce(bench, frame);
    await noteAll(bench);
    expect(isAsked(bench, frame)).toBe(false);
    await inForce(bench, snapshot([onlyA, pool('new', [B])], [web()]));
    expect(isAsked(bench, frame)).toBe(true);
  });

  it('is asked again for a flow of UDP in the next tick, so that it knows that the flow is alive', async () => {
    const datagram = framed(packet(VIP[4], udp({ from: 40_000, to: 80 })));
    const bench = await ownBench([onlyA], [web({ protocol: 'udp' })]);
    await startOfMoment(bench);
    await noteAll(bench);
    expect(isAsked(bench, datagram)).toBe(false);
    await sleep(bench.loaded.tickMs + 20);
    expect(isAsked(bench, datagram)).toBe(true);
  });

  it('is asked again for a flow of TCP, whose age is not asked for, only some ticks later', async () => {
    const bench = await ownBench();
    await startOfMoment(bench);
    introduce(bench, frame);
    await sleep((NOTE_TICKS - 2) * bench.loaded.tickMs);
    expect(isAsked(bench, frame)).toBe(false);
    await sleep(2 * bench.loaded.tickMs + 20);
    expect(isAsked(bench, frame)).toBe(true);
  });

  it('is asked again for it in the next tick where so many are new that the cache gives up who is silent', async () => {
    const bench = await ownBench([onlyA], [web()], 64);
    await startOfMoment(bench);
    for (let i = 0; i < 20; i++) bench.send(flow(50_000 + i, tcpFlags.syn));
    introduce(bench, frame);
    expect(isAsked(bench, frame)).toBe(false);
    await sleep(bench.loaded.tickMs + 20);
    expect(isAsked(bench, frame)).toBe(true);
  });

  it('is not asked more often for flows of TCP because of those of UDP, whose notes hold for less', async () => {
    const bench = await ownBench([onlyA], [web(), vip('datagrams', { protocol: 'udp' })], 1_024);
    // Ten for each word that has notes.
    const datagrams = Array.from({ length: 640 }, (_, i) => framed(packet(VIP[4], udp({ from: 1_000 + i, to: 80 }))));
    for (const at of [frame, ...datagrams]) bench.send(at);
    await startOfMoment(bench);
    await sleep(bench.loaded.tickMs);
    for (const at of [frame, ...datagrams]) bench.send(at);
    expect(isAsked(bench, frame)).toBe(false);
  });

  it('knows flows that send, although many are new', async () => {
    const bench = await ownBench([onlyA], [web()], 512);
    const live = Array.from({ length: 256 }, (_, i) => flow(10_000 + i));
    // They are new themselves, but not in the moment that counts.
    for (const at of live) bench.send(at);
    await startOfMoment(bench);
    for (let second = 0; second < 7; second++) {
      for (const at of live) bench.send(at);
      for (let i = 0; i < 60; i++) bench.send(flow(20_000 + 100 * second + i, tcpFlags.syn));
      await sleep(1_000);
    }
    await inForce(bench, snapshot([nowB], [web()]));
    expect(live.filter((at) => bench.realOf(at) === A).length).toBeGreaterThan(240);
  });

  it('is asked again for every flow of those whose notes are in one word', async () => {
    const bench = await ownBench([onlyA], [web()], 16);
    await noteAll(bench);
    await inForce(bench, snapshot([onlyA, pool('new', [B])], [web()]));
    introduce(bench, frame);
    expect(isAsked(bench, frame)).toBe(false);
    // One in 48 may share its note.
    const others = Array.from({ length: 48 }, (_, i) => isAsked(bench, flow(41_000 + i)));
    expect(others.filter((asked) => asked).length).toBeGreaterThan(40);
  });

  it('is asked again by another CPU', async (context) => {
    const bench = await ownBench();
    introduce(bench, frame);
    bench.cpu = bench.cpu === 0 ? 1 : 0;
    if (bench.store.cpus < 2) return context.skip('there is one CPU only');
    expect(isAsked(bench, frame)).toBe(true);
  });

  it('is asked although there was an error about the flow', async () => {
    const bench = await ownBench();
    bench.send(frame);
    const quoted = frame.subarray(14, 14 + 28);
    const turned = Uint8Array.from([...quoted.subarray(0, 12), ...quoted.subarray(16, 20), ...quoted.subarray(12, 16)]);
    const ports = Uint8Array.from([...quoted.subarray(22, 24), ...quoted.subarray(20, 22), ...quoted.subarray(24)]);
    const error = framed(packet(VIP[4], icmp(3, Uint8Array.from([...turned, ...ports]), { code: 1 })));
    expect(bench.realOf(error)).toBe(A);
    expect(isAsked(bench, frame)).toBe(true);
  });
});

describe('a flow at another real than the ring’s stays there, whatever is noted,', () => {
  it('after a change of the ring', async () => {
    const bench = await strayed();
    for (let i = 0; i < 3; i++) expect(await noted(bench)).toEqual([A, B]);
  });

  it('after a change of several rings that failed half way', async () => {
    const bench = await ownBench([pool('web', [A]), pool('other', [B])]);
    introduce(bench, frame);
    const { reals } = bench.dataPlane.observe();
    const [numberOfB = 0] = [...reals].find(([, { address }]) => address === B) ?? [];
    const fill = (slots: Uint16Array) => slots.fill(numberOfB);
    const beyond = bench.store.maxEntries('rings');
    await expect(bench.store.swapRings([0, beyond].map((at) => ({ pool: at, fill })))).rejects.toThrow();
    expect(await noted(bench)).toEqual([A, B]);
    // And on from there.
    await bench.store.swapRings([{ pool: 0, fill }]);
    expect(await noted(bench)).toEqual([A, B]);
  });

  it('after a change that failed, and nobody can read which rings there are', async () => {
    const bench = await strayed();
    const { store } = bench;
    const beyond = { pool: store.maxEntries('rings'), fill: (slots: Uint16Array) => slots.fill(1) };
    const unreadable = vi.spyOn(store, 'ringIds').mockImplementation(() => {
      throw new Error('no file descriptor is left');
    });
    // What failed first is told.
    await expect(store.swapRings([beyond])).rejects.toMatchObject({ code: 'PF_MAP_FULL' });
    unreadable.mockRestore();
    expect(await noted(bench)).toEqual([A, B]);
  });

  it('after its VIP moved to another pool', async () => {
    const pools = [onlyA, pool('other', [B])];
    const bench = await ownBench(pools);
    introduce(bench, frame);
    await inForce(bench, snapshot(pools, [web({ pool: 'other' })]));
    expect(await noted(bench)).toEqual([A, B]);
  });

  it('after its VIP was removed, and what is left is for another one', async () => {
    const pools = [onlyA, pool('other', [B])];
    const wide = vip('wide', { port: 0, pool: 'other' });
    const bench = await ownBench(pools, [web(), wide]);
    introduce(bench, frame);
    await inForce(bench, snapshot(pools, [wide]));
    expect(await noted(bench)).toEqual([A, B]);
  });

  it('after the prefixes of clients changed', async () => {
    const pools = [onlyA, pool('other', [B])];
    const near = (to: string) => [web({ clients: [{ prefix: '198.51.100.0/24', pool: to }] })];
    const bench = await ownBench(pools, near('web'));
    introduce(bench, frame);
    await inForce(bench, snapshot(pools, near('other')));
    expect(await noted(bench)).toEqual([A, B]);
  });

  it('where the prefix of its client names the pool', async () => {
    const bench = await ownBench(
      [onlyA, pool('other', [B])],
      [web({ clients: [{ prefix: '198.51.100.0/24', pool: 'other' }] })],
    );
    expect(await noted(bench)).toEqual([B, B]);
  });

  it('after its pool had no real for new flows', async () => {
    const bench = await ownBench();
    introduce(bench, frame);
    await inForce(bench, snapshot([pool('web', [draining])], [web()]));
    expect(await noted(bench)).toEqual([A, 'no_real']);
    await inForce(bench, snapshot([nowB], [web()]));
    expect(await noted(bench)).toEqual([A, B]);
  });
});

describe('a flow whose packets carry ids', () => {
  it('is asked for in the cache once one does not, for it was not seen where it is', async () => {
    const ids = web({ tcpServerId: true });
    const bench = await ownBench([onlyA], [ids]);
    introduce(bench, frame);
    await inForce(bench, snapshot([nowB], [ids]));
    for (let i = 0; i < 3; i++) bench.store.settle();
    expect(await noted(bench)).toEqual([A, B]);
  });
});

describe('a slot that changed', () => {
  it('has the flow cache asked for as long as it has flows elsewhere', async () => {
    const bench = await strayed();
    for (let i = 0; i < 4; i++) {
      expect(bench.realOf(frame)).toBe(A);
      bench.store.settle();
    }
    expect(await whileNoted(bench, () => bench.realOf(frame))).toBe(A);
  });

  it('has it asked while they are hot', async () => {
    const bench = await benchOf(snapshot([onlyA], [web()]));
    onTestFinished(() => bench[Symbol.dispose]());
    introduce(bench, frame);
    await inForce(bench, snapshot([nowB], [web()]));
    for (let i = 0; i < 3; i++) {
      await roomInTick(bench);
      expect(bench.realOf(frame)).toBe(A);
      expect(isHot(bench, frame)).toBe(true);
      bench.store.settle();
      await sleep(bench.loaded.tickMs);
    }
    expect(await noted(bench)).toEqual([A, B]);
  });

  it('is settled when none was met for long enough', async () => {
    const bench = await strayed();
    expect(bench.realOf(frame)).toBe(A);
    bench.store.settle();
    bench.store.settle();
    bench.store.settle();
    // Nothing is noted: so the flow is found, and its slot is unsettled with the next look.
    for (let i = 0; i < 3; i++) expect(bench.realOf(frame)).toBe(A);
    bench.store.settle();
    expect(await whileNoted(bench, () => bench.realOf(frame))).toBe(A);
    bench.store.settle();
    bench.store.settle();
    expect(await whileNoted(bench, () => bench.realOf(frame))).toBe(B);
  });

  it('is unsettled for pairs of addresses, too, whose flows hash otherwise', async () => {
    const fragments = web({ fragments: 'hash' });
    const bench = await ownBench([onlyA], [fragments]);
    const part = framed(packet(VIP[4], rawSegment(6, new Uint8Array(24)), { id: 7, fragmentOffset: 185 }));
    introduce(bench, part);
    await inForce(bench, snapshot([nowB], [fragments]));
    for (let i = 0; i < 3; i++) {
      expect(bench.realOf(part)).toBe(A);
      bench.store.settle();
    }
    expect(await whileNoted(bench, () => bench.realOf(part))).toBe(A);
  });
});

describe('what is noted', () => {
  it('gives no packet to a slot without a real, nor to one whose real is void', async () => {
    const bench = await ownBench();
    expect(await whileNoted(bench, () => bench.realOf(frame))).toBe(A);
    const [number] = [...bench.dataPlane.observe().reals.keys()];
    await bench.apply({ op: 'void-real', number: number ?? 0, generation: 1 });
    expect(await whileNoted(bench, () => bench.realOf(frame))).toBe('void_real');
    await bench.apply({ op: 'remove-pools', pools: [0] });
    expect(await whileNoted(bench, () => bench.realOf(frame))).toBe('no_real');
  });
});
