import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readEvents, readTraffic } from '../../src/dataplane/counters.ts';
import { ethernet, ipv4, tcp, tcpFlags, udp } from '../support/frames.ts';
import { targetPool } from '../support/planning.ts';
import { allowedCpus, ProgramBench, target } from '../support/program-bench.ts';

/** More new flows in a second than a CPU may remember: all are forwarded, some are not remembered, and that is counted. */

const VIP = '192.0.2.10';
const REAL = '10.0.0.1';
const OTHER = '10.0.0.2';
const LIMIT = 100;
const BURST = 1_000;

const segments = { tcp, udp };
const frame = (protocol: 'tcp' | 'udp', from: number, flags: number = tcpFlags.syn): Uint8Array =>
  ethernet(ipv4({ from: '198.51.100.7', to: VIP }, segments[protocol]({ from, to: 80, flags })));

const vips = {
  [`${VIP}|80|tcp`]: 'web',
  [`${VIP}|80|udp`]: 'web',
  [`${VIP}|81|tcp`]: { pool: 'web', flowCache: false },
};

async function flooded(): Promise<ProgramBench> {
  const bench = await ProgramBench.load({ newFlowsPerSecond: LIMIT });
  await bench.converge(target(vips, { web: [REAL] }));
  return bench;
}

/** Of LIMIT a second, in a window of a second to within a quarter, one of which may end in between. */
const [LEAST, MOST] = [0.75 * LIMIT, 4 * 1.3 * LIMIT];

describe('a flood of new flows', () => {
  it.each(['tcp', 'udp'] as const)('of %s is forwarded, and remembered up to the limit', async (protocol) => {
    using bench = await flooded();
    for (let port = 1; port <= BURST; port++) expect(bench.realOf(frame(protocol, port))).toBe(REAL);
    const { flood } = readEvents(bench.store);
    const number = bench.dataPlane.observe().directory?.vips.get(`${VIP}|80|${protocol}`)?.number ?? Number.NaN;
    const traffic = readTraffic(bench.store, 'vip', number);
    expect(traffic).toMatchObject({ packets: BigInt(BURST), newFlows: BigInt(BURST), hits: 0n, misses: 0n });
    const written = BURST - Number(flood);
    expect(written).toBeGreaterThanOrEqual(LEAST);
    expect(written).toBeLessThanOrEqual(MOST);
    // What was written is found again: reading is not limited.
    for (let port = 1; port <= LEAST; port++) bench.realOf(frame(protocol, port, tcpFlags.ack));
    expect(readTraffic(bench.store, 'vip', number).hits).toBe(BigInt(LEAST));
  });

  it('leaves no connection at two reals whose addresses and ports another one had, before the ring changed', async () => {
    using bench = await flooded();
    const known = [1, 2, 3];
    for (const port of known) expect(bench.realOf(frame('tcp', port))).toBe(REAL);
    // Every slot is that of another real, and the flows of this one go on.
    const pools = new Map([['web', targetPool('web', [OTHER], [REAL])]]);
    await bench.converge({ ...target(vips, {}), pools });
    for (const port of known) expect(bench.realOf(frame('tcp', port, tcpFlags.ack))).toBe(REAL);
    for (let port = 1_001; port <= 1_000 + 4 * LIMIT; port++) bench.realOf(frame('tcp', port));
    const before = readEvents(bench.store).flood;
    for (const port of known) expect(bench.realOf(frame('tcp', port))).toBe(OTHER);
    // What is written anew costs nobody a place.
    expect(readEvents(bench.store).flood).toBe(before);
    for (const port of known) expect(bench.realOf(frame('tcp', port, tcpFlags.ack))).toBe(OTHER);
    // And what nobody knows is not remembered for that.
    for (let port = 2_001; port <= 2_000 + 4 * LIMIT; port++) bench.realOf(frame('tcp', port));
    expect(Number(readEvents(bench.store).flood) - Number(before)).toBeGreaterThan(LIMIT);
  });

  it('is over when the second is', async () => {
    using bench = await flooded();
    for (let port = 1; port <= BURST; port++) bench.realOf(frame('tcp', port));
    await sleep(1_400);
    const before = readEvents(bench.store).flood;
    for (let port = 2_001; port <= 2_020; port++) bench.realOf(frame('tcp', port));
    expect(readEvents(bench.store).flood).toBe(before);
  });

  it('on one CPU does not limit another', async (context) => {
    const [, second] = allowedCpus();
    if (second === undefined) return context.skip('this process may run on one CPU only');
    using bench = await flooded();
    for (let port = 1; port <= BURST; port++) bench.realOf(frame('tcp', port));
    const before = readEvents(bench.store).flood;
    bench.cpu = second;
    for (let port = 1; port <= 20; port++) bench.realOf(frame('tcp', port));
    expect(readEvents(bench.store).flood).toBe(before);
  });

  it('is none where flows are not remembered anyway, nor with packets of one flow', async () => {
    using bench = await flooded();
    const to81 = (from: number) => ethernet(ipv4({ from: '198.51.100.7', to: VIP }, tcp({ from, to: 81 })));
    for (let port = 1; port <= BURST; port++) expect(bench.realOf(to81(port))).toBe(REAL);
    for (let n = 0; n < BURST; n++) expect(bench.realOf(frame('udp', 1))).toBe(REAL);
    expect(readEvents(bench.store).flood).toBe(0n);
  });
});
