import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Target } from '../../src/core/target.ts';
import { readTraffic } from '../../src/dataplane/counters.ts';
import { loadProgram, type ProgramSizes } from '../../src/dataplane/program.ts';
import { icmp, icmp6, rawSegment, tcp, tcpFlags, udp } from '../support/frames.ts';
import { host } from '../support/in-force.ts';
import { clients, type Family, framed, packet } from '../support/packets.ts';
import { targetPool } from '../support/planning.ts';
import { ProgramBench, settings, target } from '../support/program-bench.ts';

/** What is known to go wrong in other programs of this kind, and must not here: each test says what that would be. */

const families = [4, 6] as const;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const OTHER = { 4: '192.0.2.11', 6: '2001:db8:ffff::11' } as const;
const REAL = '10.0.0.1';
const echo = { 4: icmp(8), 6: icmp6(128) } as const;

const web = (fields: object = {}) =>
  Object.fromEntries(families.map((family) => [`${VIP[family]}|80|tcp`, { pool: 'web', ...fields }]));

let bench: ProgramBench;

beforeAll(async () => {
  bench = await ProgramBench.load();
});

afterAll(() => bench[Symbol.dispose]());

function flow(
  family: Family,
  from: number,
  flags: number = tcpFlags.ack,
  source: string = clients[family],
): Uint8Array {
  return framed(packet(VIP[family], tcp({ from, to: 80, flags }), { from: source }));
}

function expectPassed(frame: Uint8Array): void {
  const sent = bench.send(frame);
  expect(sent).toMatchObject({ action: 'PASS', reason: 'not_vip' });
  expect(Buffer.from(sent.frame)).toEqual(Buffer.from(frame));
}

describe('the host behind the load balancer keeps what is its own', () => {
  beforeAll(() => bench.converge(target(web(), { web: [REAL] })));

  it.each(families)(
    'echo requests are answered for VIPs, and not for every address that a frame is for: IPv%i',
    (family) => {
      expect(bench.send(framed(packet(VIP[family], echo[family]))).reason).toBe('echo_answered');
      expectPassed(framed(packet(OTHER[family], echo[family])));
    },
  );

  it.each(families)('fragments that are not for a VIP are not dropped: IPv%i', (family) => {
    for (const [offset, more] of [
      [0, true],
      [8, true],
      [16, false],
    ] as const) {
      const extensions = [{ type: 44, bytes: Uint8Array.of(0, 0, 0, 8 * offset + (more ? 1 : 0), 0, 0, 0, 9) }];
      const header = { moreFragments: more, fragmentOffset: offset, extensions };
      expectPassed(framed(packet(OTHER[family], rawSegment(17, new Uint8Array(64)), header)));
      // No VIP of this address has the protocol.
      expectPassed(framed(packet(VIP[family], rawSegment(17, new Uint8Array(64)), header)));
    }
  });

  it('IPv4 options of packets that are not for a VIP do no harm', () => {
    for (let length = 4; length <= 40; length += 4) {
      const options = new Uint8Array(length).fill(1);
      for (const segment of [tcp({ from: 1, to: 80 }), udp({ from: 1, to: 80 }), icmp(8)])
        expectPassed(framed(packet(OTHER[4], segment, { options })));
    }
  });
});

describe('errors about a flow', () => {
  it.each(families)('reach its real with no more than the least quote: IPv%i', async (family) => {
    const reals = Array.from({ length: 50 }, (_, i) => `10.0.0.${i + 1}`);
    await bench.converge(target(web(), { web: reals }));
    for (let port = 1; port <= 200; port++) {
      const real = bench.realOf(flow(family, port, tcpFlags.syn));
      const answer = packet(clients[family], tcp({ from: 80, to: port }), { from: VIP[family] });
      const quote = answer.subarray(0, (family === 4 ? 20 : 40) + 8);
      const error = family === 4 ? icmp(3, quote, { code: 4, rest: 1400 }) : icmp6(2, quote, { rest: 1400 });
      const from = family === 4 ? '203.0.113.9' : '2001:db8:d::9';
      expect(bench.realOf(framed(packet(VIP[family], error, { from })))).toBe(real);
    }
  });
});

describe.each(['source', 'dest-port'] as const)('with hash %s', (hash) => {
  it.each(families)(
    'the second packet of a flow is found in the flow cache, and the flow stays through a change: IPv%i',
    async (family) => {
      using own = await ProgramBench.load();
      const ringOf = (member: string, other: string): Target => ({
        ...target(web({ hash }), {}),
        pools: new Map([['web', targetPool('web', [member], [other])]]),
      });
      await own.converge(ringOf('10.0.0.1', '10.0.0.2'));
      expect([own.realOf(flow(family, 1)), own.realOf(flow(family, 1))]).toEqual(['10.0.0.1', '10.0.0.1']);
      const number = own.dataPlane.observe().directory?.vips.get(`${VIP[family]}|80|tcp`)?.number ?? Number.NaN;
      expect(readTraffic(own.store, 'vip', number)).toMatchObject({ hits: 1n, misses: 1n });
      await own.converge(ringOf('10.0.0.2', '10.0.0.1'));
      expect([own.realOf(flow(family, 1)), own.realOf(flow(family, 2))]).toEqual(['10.0.0.1', '10.0.0.2']);
    },
  );

  it.each(families)('nothing else of a new flow counts: IPv%i', async (family) => {
    const reals = Array.from({ length: 50 }, (_, i) => `10.0.0.${i + 1}`);
    await bench.converge(target(web({ hash }), { web: reals }));
    const source = (n: number): string => (family === 4 ? `198.51.100.${n}` : `2001:db8:c::${n}`);
    const chosen = (vary: (n: number) => Uint8Array): number =>
      new Set(Array.from({ length: 60 }, (_, n) => bench.realOf(vary(n + 1)))).size;
    // Opening ones, so that the flow cache has no say.
    expect(chosen((n) => flow(family, 5_000 + n, tcpFlags.syn))).toBe(1);
    const bySource = chosen((n) => flow(family, 6_000, tcpFlags.syn, source(n)));
    if (hash === 'source') expect(bySource).toBeGreaterThan(25);
    else expect(bySource).toBe(1);
  });
});

describe('the outer header', () => {
  it.each([
    ['ipip', { kind: 'ipip' }, 20, 40],
    ['gue', { kind: 'gue', port: 6080, checksum: true }, 28, 48],
  ] as const)(
    'counts in the check against the MTU: what leaves with %s is never longer',
    async (_name, encap, four, six) => {
      for (const [real, overhead] of [
        [REAL, four],
        ['2001:db8:77::1', six],
      ] as const) {
        await bench.converge(target(web(), { web: [real] }, {}, { encap }));
        for (const family of families)
          for (let length = 1500 - overhead - 2; length <= 1500; length++) {
            const payload = new Uint8Array(length - (family === 4 ? 40 : 60));
            const frame = framed(packet(VIP[family], tcp({ from: 1, to: 80, payload })));
            expect(frame).toHaveLength(14 + length);
            const sent = bench.send(frame);
            const fits = length + overhead <= settings.mtu;
            expect(sent.reason).toBe(fits ? 'forwarded' : 'too_big_answered');
            expect(sent.frame.length).toBeLessThanOrEqual(14 + settings.mtu);
          }
      }
    },
  );
});

describe('a pool that loses its last real', () => {
  const lost: Readonly<Record<string, Target>> = {
    'is empty': target(web(), { web: [] }),
    'has a real that takes no new flows': {
      ...target(web(), {}),
      pools: new Map([['web', targetPool('web', [], [REAL])]]),
    },
  };

  it.each(Object.entries(lost))('drops what is for it and sends nothing there: it %s', async (_what, after) => {
    using own = await ProgramBench.load();
    await own.converge(target(web(), { web: [REAL] }));
    expect(own.realOf(flow(4, 1))).toBe(REAL);
    await own.converge(after);
    for (let port = 1_000; port < 1_500; port++)
      for (const flags of [tcpFlags.syn, tcpFlags.ack])
        for (const family of families)
          expect(own.send(flow(family, port, flags))).toMatchObject({ action: 'DROP', reason: 'no_real' });
  });

  it('cuts the flows that it had, when the real is gone', async () => {
    using own = await ProgramBench.load();
    await own.converge(target(web(), { web: [REAL] }));
    expect(own.realOf(flow(4, 1))).toBe(REAL);
    await own.converge(target(web(), { web: [] }));
    expect(own.realOf(flow(4, 1))).toBe('no_real');
  });
});

describe('a number that is used again', () => {
  const sizes = { vips: 1, pools: 1, reals: 1 };
  const one = (address: string, pool: string, real: string): Target =>
    target({ [`${address}|80|tcp`]: pool }, { [pool]: [real] });

  /** Leads from one state to others until the numbers of VIP, pool and real come round, counting what they count then. */
  it('of a VIP, a pool and a real inherits no ring, no flow and no counter', async () => {
    using own = await ProgramBench.load(sizes);
    await own.converge(one(VIP[4], 'first', '10.0.0.1'));
    for (let n = 0; n < 20; n++) own.realOf(flow(4, 1 + n));
    const numbers = () => {
      const { directory, pools, reals } = own.dataPlane.observe();
      return {
        vip: [...(directory?.vips.values() ?? [])][0]?.number,
        pool: [...pools.values()][0],
        real: [...reals.keys()][0],
      };
    };
    const before = numbers();
    const seen = { vip: 0, pool: 0, real: 0 };
    for (let n = 2; n < 12; n++) {
      await own.converge(target({}, {}));
      // The same address again, so that remembered flows would be the same ones.
      await own.converge(one(VIP[4], `pool-${n}`, `10.0.0.${n}`));
      const now = numbers();
      for (const kind of ['vip', 'pool', 'real'] as const) if (now[kind] === before[kind]) seen[kind]++;
      const zero = { packets: 0n, bytes: 0n, newFlows: 0n, hits: 0n, misses: 0n };
      expect(readTraffic(own.store, 'vip', now.vip ?? Number.NaN)).toEqual(zero);
      expect(readTraffic(own.store, 'real', now.real ?? Number.NaN)).toEqual(zero);
      for (let port = 1; port <= 20; port++) expect(own.realOf(flow(4, port))).toBe(`10.0.0.${n}`);
      expect(readTraffic(own.store, 'vip', now.vip ?? Number.NaN)).toMatchObject({ hits: 0n, misses: 20n });
    }
    for (const times of Object.values(seen)) expect(times).toBeGreaterThan(2);
  });
});

/** Well below the million at which the kernel gives up, so that other kernels’ verifiers have room. */
const MOST_VERIFIED = 300_000;

describe('every combination of options', () => {
  const smallest: ProgramSizes = { vips: 1, pools: 1, reals: 1, clients: 0, serverIds: 1, flowsPerCpu: 1 };
  const largest: ProgramSizes = {
    vips: 10_000,
    pools: 32_768,
    reals: 32_767,
    clients: 1_000_000,
    flowsPerCpu: 2 ** 20,
  };
  const combinations = ([true, false] as const).flatMap((tracing) =>
    [0, 1].flatMap((egress) => [
      { tracing, egress, name: 'smallest', sizes: smallest },
      { tracing, egress, name: 'largest', sizes: largest },
    ]),
  );

  it.each(combinations)(
    'loads, and leaves the verifier room: tracing $tracing, egress $egress, $name sizes',
    async ({ sizes, tracing, egress }) => {
      const { program, object } = await loadProgram({ ...sizes, tracing, egress });
      try {
        expect(program.info.verifiedInstructions).toBeGreaterThan(1_000);
        expect(program.info.verifiedInstructions).toBeLessThan(MOST_VERIFIED);
        const { retval } = program.testRun({ data: framed(packet(VIP[4], tcp({ from: 1, to: 80 }))) });
        expect(retval).toBe(2);
      } finally {
        program.close();
        object.close();
      }
    },
  );

  it('works with limits of 0 and of all there is', async () => {
    for (const rate of [0, 2 ** 32 - 1]) {
      using own = await ProgramBench.load({ newFlowsPerSecond: rate, tooBigAnswersPerSecond: rate });
      await own.converge(target(web(), { web: [REAL] }, { mtu: host.mtu }));
      expect([own.realOf(flow(4, 1)), own.realOf(flow(4, 1))]).toEqual([REAL, REAL]);
      const long = framed(packet(VIP[4], tcp({ from: 1, to: 80, payload: new Uint8Array(1460) })));
      expect(own.send(long).reason).toBe(rate === 0 ? 'too_big_limited' : 'too_big_answered');
    }
  });
});
