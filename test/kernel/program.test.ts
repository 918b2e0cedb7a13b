import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VipId } from '../../src/core/data-plane.ts';
import { flowHash } from '../../src/core/flow-hash.ts';
import { frameOf } from '../../src/core/packet-frame.ts';
import { readPacket } from '../../src/core/packet-words.ts';
import { decode, indexKey } from '../../src/dataplane/codec.ts';
import { readTraffic } from '../../src/dataplane/counters.ts';
import { rememberedFlow } from '../../src/dataplane/flow-cache.ts';
import { kernelClock } from '../../src/dataplane/kernel-clock.ts';
import { directoryArb, probedAddresses, probedPorts } from '../support/directory-arb.ts';
import { meant } from '../support/directory-meaning.ts';
import type { Segment } from '../support/frames.ts';
import { ethernet, ipv4, parseEthernet, parseIpv4, tcp, tcpFlags, udp } from '../support/frames.ts';
import { gatewayMac, ownMac, ProgramBench, settings, target } from '../support/program-bench.ts';

const VIP = '192.0.2.10';
const REAL = '10.0.0.1';
const segments = { tcp, udp };

let bench: ProgramBench;

beforeAll(async () => {
  bench = await ProgramBench.load();
});

afterAll(() => bench[Symbol.dispose]());

const single = target({ [`${VIP}|80|tcp`]: 'web', [`${VIP}|80|udp`]: 'web' }, { web: [REAL] });

/** What must come out for `inner`, given the outer source that was chosen. */
function encapsulated(inner: Uint8Array, source: string, real: string, padding: Uint8Array): Uint8Array {
  const outer = ipv4(
    { from: source, to: real, ttl: 64, tos: inner[1] ?? 0, id: 0, dontFragment: true },
    { protocol: 4, bytes: inner, checksumAt: null },
  );
  return ethernet(Buffer.concat([outer, padding]), { from: ownMac, to: gatewayMac });
}

function outerSource(frame: Uint8Array): string {
  return parseIpv4(parseEthernet(frame).payload).from;
}

describe('encapsulation', () => {
  beforeAll(() => bench.converge(single));

  const headers = fc.record({
    from: fc.ipV4(),
    tos: fc.nat(255),
    id: fc.nat(0xffff),
    ttl: fc.nat(255),
    dontFragment: fc.boolean(),
  });
  const payload = fc.uint8Array({ maxLength: 1400 });

  it.each(['tcp', 'udp'] as const)('puts exactly this outer header before a %s packet and nothing else', (protocol) => {
    fc.assert(
      fc.property(headers, fc.nat(0xffff), payload, (header, from, bytes) => {
        const inner = ipv4({ ...header, to: VIP }, segments[protocol]({ from, to: 80, payload: bytes }));
        const sent = bench.send(ethernet(inner));
        expect(sent).toMatchObject({ action: 'TX', reason: 'forwarded' });
        const source = outerSource(sent.frame);
        expect(source).toMatch(/^172\.16\./);
        expect(Buffer.from(sent.frame)).toEqual(encapsulated(inner, source, REAL, new Uint8Array()));
      }),
      { numRuns: 300 },
    );
  });

  it.each(['tcp', 'udp'] as const)('takes the length of a padded %s packet from its header', (protocol) => {
    for (let length = 0; length <= 6; length++) {
      const inner = ipv4(
        { from: '198.51.100.7', to: VIP },
        segments[protocol]({ from: 4000, to: 80, payload: new Uint8Array(length) }),
      );
      const frame = ethernet(inner, { padTo: 60 });
      const padding = new Uint8Array(60 - 14 - inner.length);
      const sent = bench.send(frame);
      expect(Buffer.from(sent.frame)).toEqual(encapsulated(inner, outerSource(sent.frame), REAL, padding));
      expect(parseIpv4(parseEthernet(sent.frame).payload).totalLength).toBe(inner.length + 20);
    }
  });

  it('draws the outer source from the whole prefix, one for each flow', async () => {
    const flow = (port: number) => ethernet(ipv4({ from: '198.51.100.7', to: VIP }, tcp({ from: port, to: 80 })));
    const ports = Array.from({ length: 2000 }, (_, i) => 1024 + i);
    const sources = ports.map((port) => outerSource(bench.send(flow(port)).frame));
    expect(ports.map((port) => outerSource(bench.send(flow(port)).frame))).toEqual(sources);
    expect(new Set(sources).size).toBeGreaterThan(1900);
    for (const byte of [2, 3])
      expect(new Set(sources.map((source) => source.split('.')[byte])).size).toBeGreaterThan(250);
  });

  it.each([
    ['203.0.113.200/32', /^203\.0\.113\.200$/],
    ['10.9.8.128/25', /^10\.9\.8\.(12[89]|1[3-9]\d|2\d\d)$/],
    ['172.16.32.0/19', /^172\.16\.(3[2-9]|[45]\d|6[0-3])\./],
    ['0.0.0.0/0', /./],
  ])('stays inside the outer prefix %s, with a right checksum', async (outerV4, inside) => {
    await bench.converge({ ...single, settings: { ...single.settings, outerV4 } });
    for (let port = 1024; port < 1524; port++) {
      const sent = bench.send(ethernet(ipv4({ from: '198.51.100.7', to: VIP }, udp({ from: port, to: 80 }))));
      const outer = parseIpv4(parseEthernet(sent.frame).payload);
      expect(outer.from).toMatch(inside);
      expect(outer.checksumOk).toBe(true);
    }
  });
});

/** Do the carries of this header’s sum, taken in the byte order of the host, carry again? */
function carriesTwice(header: Uint8Array): boolean {
  const halves = new Uint16Array(Uint8Array.from(header).buffer);
  const sum = halves.reduce((total, half) => total + half, 0);
  return (sum & 0xffff) + (sum >> 16) > 0xffff;
}

describe('the checksum of the outer header', () => {
  it('is right where its sum carries twice', async () => {
    using own = await ProgramBench.load();
    // High words, or no source would make the sum carry at all.
    const real = '203.0.113.240';
    const inner = ipv4({ from: '198.51.100.7', to: VIP }, tcp({ from: 4000, to: 80 }));
    const outcomes = Array.from({ length: 0x10000 }, (_, i) => `172.16.${i >> 8}.${i & 0xff}`)
      .map((source) => ({ source, expected: encapsulated(inner, source, real, new Uint8Array()) }))
      .filter(({ expected }) => carriesTwice(Uint8Array.from(expected.subarray(14, 34)).fill(0, 10, 12)));
    expect(outcomes.length).toBeGreaterThan(0);
    for (const { source, expected } of outcomes) {
      await own.converge(target({ [`${VIP}|80|tcp`]: 'web' }, { web: [real] }, { outerV4: `${source}/32` }));
      expect(Buffer.from(own.send(ethernet(inner)).frame)).toEqual(expected);
    }
  });
});

describe('matching', () => {
  const to = (port: number, segment: typeof tcp | typeof udp, address = VIP) =>
    bench.realOf(ethernet(ipv4({ from: '198.51.100.7', to: address }, segment({ from: 4000, to: port }))));

  beforeAll(() =>
    bench.converge(
      target(
        {
          [`${VIP}|443|tcp`]: 'exact',
          [`${VIP}|0|tcp`]: 'every',
          [`${VIP}|53|udp`]: 'dns',
          '192.0.2.11|0|udp': 'every',
        },
        { exact: ['10.0.0.1'], every: ['10.0.0.2'], dns: ['10.0.0.3'] },
      ),
    ),
  );

  it('prefers the exact port to port 0', () => expect(to(443, tcp)).toBe('10.0.0.1'));

  it.each([0, 1, 442, 444, 53, 65_535])('serves port %i by port 0', (port) => expect(to(port, tcp)).toBe('10.0.0.2'));

  it('keeps TCP and UDP of one address apart', () => {
    expect(to(53, udp)).toBe('10.0.0.3');
    expect(to(443, udp)).toBe('not_vip');
    expect(to(0, udp, '192.0.2.11')).toBe('10.0.0.2');
    expect(to(443, tcp, '192.0.2.11')).toBe('not_vip');
  });

  it('follows a VIP to another pool with new flows', async () => {
    const goal = target({ [`${VIP}|443|tcp`]: 'every' }, { every: ['10.0.0.2'] });
    await bench.converge(goal);
    const syn: Segment = tcp({ from: 4000, to: 443, flags: tcpFlags.syn });
    expect(bench.realOf(ethernet(ipv4({ from: '198.51.100.7', to: VIP }, syn)))).toBe('10.0.0.2');
  });
});

/** A packet for each destination that `meant` has words on, fragments and ICMP left out. */
function probes(): Map<string, Uint8Array> {
  const frames = new Map<string, Uint8Array>();
  for (const address of probedAddresses)
    for (const [protocol, name] of [
      [6, 'tcp'],
      [17, 'udp'],
    ] as const)
      for (const port of probedPorts.filter((port) => port > 0)) {
        const [from, to] = address.includes(':') ? ['[2001:db8:ffff::7]', `[${address}]`] : ['198.51.100.7', address];
        const packet = readPacket(`${name} ${from}:4000 > ${to}:${port}`);
        frames.set(`${address} ${protocol} ${port}`, frameOf(packet, { from: gatewayMac, to: ownMac }));
      }
  return frames;
}

interface Told {
  readonly number: number;
  readonly pool: number;
  readonly clientPool: number | null;
}

describe('any directory', () => {
  it('leads the program where it should', async () => {
    using own = await ProgramBench.load({ vips: 64, pools: 64, tracing: true });
    const rings = Array.from({ length: 64 }, (_, pool) => ({ pool, spec: { seed: '00', members: [] } }));
    await own.apply({ op: 'settings', settings }, { op: 'swap-rings', rings });
    const frames = probes();
    await fc.assert(
      fc.asyncProperty(directoryArb, async (directory) => {
        await own.apply({ op: 'swap-directory', directory, fresh: [] });
        const expected = meant(directory, own.loaded.tickMs) as Record<string, string | null | Told>;
        for (const [name, frame] of frames) {
          const what = expected[name];
          const { reason } = own.send(frame);
          const decision = decode('pf_decision', own.store.get('decisions', indexKey(0)) ?? new Uint8Array());
          const { vip, pool, found } = decision;
          // There is no packet in these, which only the end of a tunnel looks for.
          const opened = reason === 'malformed';
          const now = found === 0 ? (opened ? 'opened' : 'passed') : { vip, pool };
          const told = typeof what === 'object' && what !== null;
          const wanted = told
            ? { vip: what.number, pool: what.clientPool ?? what.pool }
            : what === 'opened'
              ? what
              : 'passed';
          expect([name, now]).toEqual([name, wanted]);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('traffic counters', () => {
  it('count packets and bytes of the inner packet, and what the flow cache knew, by VIP and by real', async () => {
    using own = await ProgramBench.load();
    await own.converge(
      target({ [`${VIP}|80|tcp`]: 'one', [`${VIP}|53|udp`]: 'two' }, { one: ['10.0.0.1'], two: ['10.0.0.2'] }),
    );
    const sendOf = (segment: Segment, padTo = 0) => {
      const inner = ipv4({ from: '198.51.100.7', to: VIP }, segment);
      own.send(ethernet(inner, { padTo }));
      return BigInt(inner.length);
    };
    const web =
      sendOf(tcp({ from: 1, to: 80, flags: tcpFlags.syn }), 60) +
      sendOf(tcp({ from: 1, to: 80 }), 60) +
      sendOf(tcp({ from: 2, to: 80, payload: new Uint8Array(901) }));
    const dns = sendOf(udp({ from: 3, to: 53, payload: new Uint8Array(3) }), 60) + sendOf(udp({ from: 3, to: 53 }));
    // Neither passed nor dropped packets count.
    sendOf(tcp({ from: 1, to: 81 }));
    sendOf(tcp({ from: 1, to: 80, payload: new Uint8Array(1480) }));

    const { directory, reals } = own.dataPlane.observe();
    const numberOf = (address: string): number =>
      [...reals].find(([, real]) => real.address === address)?.[0] ?? Number.NaN;
    const vipNumber = (id: VipId): number => directory?.vips.get(id)?.number ?? Number.NaN;
    const ofWeb = { packets: 3n, bytes: web, newFlows: 1n, hits: 1n, misses: 1n };
    const ofDns = { packets: 2n, bytes: dns, newFlows: 1n, hits: 1n, misses: 0n };
    expect(readTraffic(own.store, 'vip', vipNumber(`${VIP}|80|tcp`))).toEqual(ofWeb);
    expect(readTraffic(own.store, 'vip', vipNumber(`${VIP}|53|udp`))).toEqual(ofDns);
    expect(readTraffic(own.store, 'real', numberOf('10.0.0.1'))).toEqual(ofWeb);
    expect(readTraffic(own.store, 'real', numberOf('10.0.0.2'))).toEqual(ofDns);
  });
});

it('gives no number to a pool or a VIP that 16 bits do not hold, whatever the limits', async () => {
  using own = await ProgramBench.load({ vips: 10_240, pools: 65_535 });
  const { limits } = own.dataPlane.observe();
  expect([limits.pools, limits.vips]).toEqual([65_536, 20_480]);
});

describe('the clock', () => {
  it('has a rate that kernels are built with, which agrees with the time of day', async () => {
    const clock = await kernelClock();
    const [before, start] = [clock.jiffies(), performance.now()];
    await sleep(300);
    const seconds = (performance.now() - start) / 1_000;
    expect([100, 250, 300, 1_000]).toContain(clock.rate);
    expect(Math.abs(((clock.jiffies() - before) >>> 0) - seconds * clock.rate)).toBeLessThan(2);
  });

  it('tells how long ago the flow cache has used an entry', async () => {
    using own = await ProgramBench.load();
    await own.converge(single);
    own.send(ethernet(ipv4({ from: '198.51.100.7', to: VIP }, udp({ from: 1, to: 80 }))));
    const keys = BigUint64Array.from(settings.hashKeys.split(','), (word) => BigInt(`0x${word}`));
    const flow = {
      protocol: 'udp',
      source: '198.51.100.7',
      sourcePort: 1,
      destination: VIP,
      destinationPort: 80,
    } as const;
    const { tick, tickMs, flowsPerCpu } = own.loaded;
    const ago = (now: number): (number | null)[] =>
      rememberedFlow(own.store, flowHash(keys, flow, '5-tuple'), flowsPerCpu, now).map(({ cpu, real, ticksAgo }) => {
        expect([cpu, real?.address]).toEqual([own.cpu, REAL]);
        return ticksAgo;
      });
    const [now] = ago(tick());
    // A tick may have ended in between.
    expect([0, 1]).toContain(now);
    expect([7, 8]).toContain(ago(tick() + 7)[0]);
    expect(tickMs).toBeGreaterThan(1_000);
    expect(tickMs).toBeLessThan(4_000);
  });
});
