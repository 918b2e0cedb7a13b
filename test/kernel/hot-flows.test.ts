import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pool, Vip } from '../../src/core/model.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { readEvents, readReasons, readTraffic } from '../../src/dataplane/counters.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';
import { tcp, tcpFlags, udp } from '../support/frames.ts';
import {
  benchOf,
  datagram,
  flow,
  heat,
  hotPlace,
  hotReal,
  ID,
  inForce,
  isHot,
  MARK,
  MARKED_BYTE,
  OTHER,
  ofSameHash,
  ownBench,
  quicPayload,
  REAL,
  roomInTick,
  sendMarked,
  setMark,
  UNTIL_HOT,
  VIP,
  web,
} from '../support/hot-flows.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';
import { type Family, framed, packet } from '../support/packets.ts';
import { allowedCpus, ProgramBench } from '../support/program-bench.ts';

/** Flows whose outer header is ready: they go where all the steps would send them, in the same bytes, and are counted alike. */

const families = [4, 6] as const;

/** By port: to reals of IPv4 or IPv6, by IPIP, GUE, and GUE without checksum. */
const ways = families.flatMap((to) =>
  (['ipip', 'gue', 'bare'] as const).map((encap, i) => ({ to, encap, port: 100 * to + i })),
);

function everyWay(): { pools: Pool[]; vips: Vip[] } {
  const pools = ways.map(({ to, encap }) =>
    pool(`${encap}-${to}`, [real(REAL[to], { serverIds: [ID] })], {
      encap: encap === 'ipip' ? 'ipip' : 'gue',
      gueChecksum: encap !== 'bare',
    }),
  );
  const vips = families.flatMap((family) =>
    ways.flatMap(({ to, encap, port }) => {
      const common = { address: VIP[family], port, pool: `${encap}-${to}` };
      return [
        vip(`tcp-${family}-${port}`, common),
        vip(`udp-${family}-${port}`, { ...common, protocol: 'udp' }),
        vip(`ring-${family}-${port}`, { ...common, port: port + 10, flowCache: false }),
        vip(`quic-${family}-${port}`, { ...common, port: port + 20, protocol: 'udp', quic: 'katran' }),
      ];
    }),
  );
  return { pools, vips };
}

interface Varied {
  readonly length: number;
  readonly tos: number;
  readonly ttl: number;
  readonly flags: number;
  readonly checksum: boolean;
}

const varied = fc.record({
  length: fc.nat(1_400),
  tos: fc.nat(255),
  ttl: fc.integer({ min: 1, max: 255 }),
  flags: fc.constantFrom(tcpFlags.ack, tcpFlags.ack | tcpFlags.psh, tcpFlags.rst, tcpFlags.fin | tcpFlags.ack, 0),
  checksum: fc.boolean(),
});

function build(kind: 'tcp' | 'udp' | 'ring' | 'quic', family: Family, port: number, of: Varied): Uint8Array {
  const { length, tos, ttl, flags, checksum } = of;
  const payload = new Uint8Array(length).fill(0x5a);
  const header = { tos, trafficClass: tos, ttl };
  const segment = {
    tcp: () => tcp({ from: 7, to: port, flags, payload }),
    ring: () => tcp({ from: 7, to: port + 10, flags, payload }),
    udp: () => udp({ from: 7, to: port, payload }),
    quic: () => udp({ from: 7, to: port + 20, payload: quicPayload(length) }),
  }[kind]();
  const frame = framed(packet(VIP[family], segment, header));
  // UDP without a checksum: over IPv4 allowed, and the outer one has to be summed up.
  if (!checksum && segment.protocol === 17)
    frame.fill(0, 14 + (family === 4 ? 20 : 40) + 6, 14 + (family === 4 ? 20 : 40) + 8);
  return frame;
}

describe('frames of hot flows', () => {
  let hot: ProgramBench;
  let cold: ProgramBench;

  beforeAll(async () => {
    const { pools, vips } = everyWay();
    hot = await benchOf(snapshot(pools, vips));
    cold = await benchOf(snapshot(pools, vips), { hotFlows: false });
  });

  afterAll(() => {
    hot[Symbol.dispose]();
    cold[Symbol.dispose]();
  });

  const counters = (bench: ProgramBench) => {
    const { directory, reals } = bench.dataPlane.observe();
    return {
      reasons: readReasons(bench.store),
      events: readEvents(bench.store),
      vips: [...(directory?.vips ?? [])].map(([id, { number }]) => [id, readTraffic(bench.store, 'vip', number)]),
      reals: [...reals.keys()].map((number) => readTraffic(bench.store, 'real', number)),
    };
  };

  describe.each(families)('over IPv%i', (family) => {
    it.each(ways)('are those of all the steps, and counted as they are: IPv$to, $encap', async ({ port }) => {
      const plain: Varied = { length: 20, tos: 0xb8, ttl: 64, flags: tcpFlags.ack, checksum: true };
      let hotOnes = 0;
      await roomInTick(hot);
      for (const kind of ['tcp', 'udp', 'ring', 'quic'] as const) {
        for (const bench of [hot, cold]) heat(bench, build(kind, family, port, plain));
        fc.assert(
          fc.property(varied, (of) => {
            const frame = build(kind, family, port, of);
            const expected = cold.send(frame);
            const got = sendMarked(hot, frame);
            if (got.hot) {
              hotOnes++;
              got.frame[11] = expected.frame[11] ?? 0;
            }
            expect(got.reason).toBe(expected.reason);
            expect(Buffer.from(got.frame).toString('hex')).toBe(Buffer.from(expected.frame).toString('hex'));
          }),
          { numRuns: 60 },
        );
      }
      // Less those of UDP without a checksum, and a tick that ends meanwhile.
      expect(hotOnes).toBeGreaterThan(100);
      expect(counters(hot)).toEqual(counters(cold));
      const last = build('tcp', family, port, plain);
      for (const bench of [hot, cold]) heat(bench, last);
      expect([isHot(hot, last), isHot(cold, last)]).toEqual([true, false]);
    });
  });
});

describe('a flow', () => {
  it(`is hot after ${UNTIL_HOT} packets: the flow cache has to know it`, async () => {
    const bench = await ownBench([web()], [vip('v')]);
    expect([1, 2, 3, 4].map(() => isHot(bench, flow(1)))).toEqual([false, false, true, true]);
    expect(isHot(bench, flow(2))).toBe(false);
  });

  it('is hot on the CPU that it comes to', async (context) => {
    const [first, second] = allowedCpus();
    if (first === undefined || second === undefined) return context.skip('this process may run on one CPU only');
    const bench = await ownBench([web()], [vip('v')]);
    heat(bench, flow(1));
    bench.cpu = second;
    expect(isHot(bench, flow(1))).toBe(false);
    bench.cpu = first;
    expect(isHot(bench, flow(1))).toBe(true);
  });

  it('shares no place with the other flows of its network: addresses and ports that run together do not cancel out', async () => {
    const bench = await ownBench([web()], [vip('v')]);
    const of = (client: number, from: number) =>
      framed(packet(VIP[4], tcp({ from, to: 80, flags: tcpFlags.ack }), { from: `10.9.0.${client}` }));
    const numbers = Array.from({ length: 64 }, (_, i) => i);
    const places = numbers.flatMap((client) => numbers.map((port) => hotPlace(of(client, 256 * port))));
    expect(new Set(places.map(({ place, tag }) => place * 65_536 + tag)).size).toBe(places.length);
    // As many of 4,096 places as chance would take.
    expect(new Set(places.map(({ place }) => place)).size).toBeGreaterThan(0.6 * 4_096);
    for (const frame of [of(1, 512), of(2, 256)]) {
      heat(bench, frame);
      expect(isHot(bench, frame)).toBe(true);
    }
  });

  it('is told from flows of the same hash by its addresses', async () => {
    const [first, ...elsewhere] = ['2001:db8:ffff::10', '2001:db8:ffff::20', '2001:db8:ffff:30::10'] as const;
    const vips = [
      vip('first', { address: first }),
      ...elsewhere.map((address) => vip(address, { address, pool: 'other' })),
    ];
    const bench = await ownBench([pool('web', [REAL[6]]), pool('other', [OTHER[6]])], vips);
    const of = (to: string) => framed(packet(to, tcp({ from: 1, to: 80 }), { from: '2001:db8:1:2::5' }));
    const frame = of(first);
    const others = elsewhere.map((to) => ofSameHash(frame, of(to)));
    expect(others.map((other) => hotPlace(other))).toEqual(others.map(() => hotPlace(frame)));
    const realBytes = (one: Uint8Array) => Buffer.from(bench.send(one).frame.subarray(38, 54)).toString('hex');
    for (const other of others) {
      // A new flow frees the place that its hash leads to.
      heat(bench, frame);
      expect(isHot(bench, frame)).toBe(true);
      expect(realBytes(frame)).toBe('20010db8007700000000000000000001');
      expect(realBytes(other)).toBe('20010db8007700000000000000000002');
    }
  });

  it('is not learned from a datagram without a checksum where the outer one has one', async () => {
    const pools = [pool('web', [REAL[4]], { encap: 'gue' })];
    const vips = [vip('u', { protocol: 'udp' })];
    using cold = await benchOf(snapshot(pools, vips), { hotFlows: false });
    const hot = await ownBench(pools, vips);
    const bare = datagram(1);
    bare.fill(0, 40, 42);
    heat(hot, bare);
    expect([isHot(hot, bare), isHot(hot, datagram(1))]).toEqual([false, false]);
    cold.send(datagram(1));
    for (let i = 0; i < 4; i++) expect(hot.send(datagram(1)).frame).toEqual(cold.send(datagram(1)).frame);
  });

  it('is not learned from a packet in a tunnel', async () => {
    const tunnels = [{ address: '192.0.2.99', guePort: 6_080 }];
    const bench = await ownBench([web()], [vip('v')]);
    await inForce(bench, snapshot([web()], [vip('v')]), { tunnels });
    const inner = packet(VIP[4], tcp({ from: 1, to: 80, payload: new Uint8Array(10) }));
    const inTunnel = framed(packet('192.0.2.99', udp({ from: 1, to: 6_080, payload: inner }), { ttl: 9 }));
    for (let i = 0; i < 6; i++) expect(bench.send(inTunnel).frame[22]).toBe(8);
    for (let i = 0; i < 4; i++) expect(bench.send(flow(1)).frame[22]).toBe(64);
  });

  it('is dropped where the driver leaves no room, as others are', async () => {
    using compiler = new BpfCompiler();
    const object = compiler.compileProbe('tight-headroom');
    using bench = await ProgramBench.load({ vips: 64, pools: 8 }, object, 'tight_headroom');
    await inForce(bench, snapshot([web()], [vip('v')]));
    await roomInTick(bench);
    const withRoom = () => bench.loaded.program.testRun({ data: flow(1), cpu: bench.cpu }).data;
    for (let i = 0; i < UNTIL_HOT; i++) withRoom();
    setMark(bench, flow(1), MARK);
    expect(withRoom()[MARKED_BYTE]).toBe(MARK);
    expect(bench.send(flow(1))).toMatchObject({ reason: 'no_headroom', action: 'DROP' });
  });

  it('leaves by the egress interface as others do', async () => {
    using bench = await benchOf(snapshot([web()], [vip('v')]), { egress: 1 });
    await roomInTick(bench);
    heat(bench, flow(1));
    expect(sendMarked(bench, flow(1))).toMatchObject({ action: 'REDIRECT', hot: true });
  });

  it('keeps its place from another one for as long as it is hot there', async () => {
    const bench = await ownBench([web()], [vip('v')]);
    const { place, tag } = hotPlace(flow(1));
    const rival = Array.from({ length: 60_000 }, (_, i) => i + 2).find((port) => {
      const other = hotPlace(flow(port));
      return other.place === place && other.tag !== tag;
    });
    if (rival === undefined) throw new Error('no port leads to the same place');
    heat(bench, flow(1));
    for (let i = 0; i < 6; i++) expect([isHot(bench, flow(rival)), isHot(bench, flow(1))]).toEqual([false, true]);
    // Until anything changes.
    bench.store.put('decisions', indexKey(0), new Uint8Array(32));
    expect([1, 2].map(() => isHot(bench, flow(rival)))).toEqual([false, true]);
    expect(isHot(bench, flow(1))).toBe(false);
  });

  it('is refreshed in the flow cache as others are: a place is good for one tick', async () => {
    const bench = await ownBench([web()], [vip('v', { protocol: 'udp' })]);
    const entryTick = () => {
      const { directory } = bench.dataPlane.observe();
      expect(directory).not.toBeNull();
      const entries = [...bench.store.entries('flows')].flatMap(([, value]) => [
        ...new BigUint64Array(value.slice().buffer),
      ]);
      const [entry, ...others] = entries.filter((e) => e !== 0n);
      expect(others).toEqual([]);
      return Number(((entry ?? 0n) >> 31n) & 0x3ffn);
    };
    // Of TCP, notes hold for longer than a tick.
    const sent = datagram(1);
    heat(bench, sent);
    const before = entryTick();
    const end = performance.now() + 2 * bench.loaded.tickMs;
    while (entryTick() === before && performance.now() < end) for (let i = 0; i < 100; i++) bench.send(sent);
    expect(entryTick()).toBe((before + 1) & 0x3ff);
  });
});

describe('flows that are never hot', () => {
  const option = Uint8Array.of(0xb7, 6, 0, 0, 0, 1, 1, 1);

  it.each([
    ['pairs of addresses', { port: 0, fragments: 'hash' }, () => flow(1)],
    ['those that may carry an id in an option', { tcpServerId: true }, () => flow(1)],
    ['those with one', { tcpServerId: true }, () => framed(packet(VIP[4], tcp({ from: 1, to: 80, options: option })))],
    [
      'those that may start with a stable id',
      { protocol: 'udp', udpStableRouting: true },
      () => datagram(1, Uint8Array.of(0x52, 0, 0, 1, 0, 0, 0, 0)),
    ],
    ['QUIC without a known id', { protocol: 'udp', quic: 'katran' }, () => datagram(1)],
    [
      'QUIC with a long header',
      { protocol: 'udp', quic: 'katran' },
      () => datagram(1, Uint8Array.of(0xe0, 0, 0, 0, 1, 8, 0x80, 0, 0, 1, 5, 6, 7, 8)),
    ],
  ] as const)('%s', async (_, fields, frame) => {
    const bench = await ownBench([pool('web', [real(REAL[4], { serverIds: [1] })])], [vip('v', fields)]);
    for (let i = 0; i < 8; i++) {
      const sent = sendMarked(bench, frame());
      expect([sent.reason, sent.hot]).toEqual(['forwarded', false]);
    }
  });

  it('those to a real on the segment', async () => {
    const bench = await ownBench([pool('web', [REAL[4]], { encap: 'l2' })], [vip('v')]);
    await inForce(bench, snapshot([pool('web', [REAL[4]], { encap: 'l2' })], [vip('v')]), {
      neighbours: new Map([[REAL[4], '02:00:00:00:00:55']]),
    });
    for (let i = 0; i < 8; i++) expect(sendMarked(bench, flow(1))).toMatchObject({ reason: 'forwarded', hot: false });
  });
});

describe('a hot QUIC connection', () => {
  it('is known by its whole connection id', async () => {
    const ids = [real(REAL[4], { serverIds: [ID] }), real(OTHER[4], { serverIds: [7] })];
    const bench = await ownBench([pool('web', ids)], [vip('q', { protocol: 'udp', quic: 'katran' })]);
    const payload = quicPayload(8);
    expect(hotReal(bench, datagram(1, payload))).toBe(REAL[4]);
    const other = payload.slice();
    other.set([0x80, 0, 0, 7], 1);
    expect(bench.realOf(datagram(1, other))).toBe(OTHER[4]);
    const long = payload.slice();
    long[0] = 0xe0;
    expect(isHot(bench, datagram(1, long))).toBe(false);
    const last = payload.slice();
    last[8]! ^= 1;
    expect(isHot(bench, datagram(1, last))).toBe(false);
  });
});
