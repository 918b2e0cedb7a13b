import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Pool } from '../../src/core/model.ts';
import { decode, encode, indexKey } from '../../src/dataplane/codec.ts';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import {
  ethernet,
  etherTypes,
  icmp,
  icmp6,
  internetChecksum,
  ipv4,
  parseEthernet,
  rawSegment,
  tcp,
  tcpFlags,
  udp,
} from '../support/frames.ts';
import { host } from '../support/in-force.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { clients, type Family, framed, packet, tracerOf } from '../support/packets.ts';
import { ProgramBench, target } from '../support/program-bench.ts';

/** Packets that the outer header makes too long, and what their senders are told (RFC 1191, RFC 8201). */

const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const reals = { 4: '10.0.0.1', 6: '2001:db8:77::1' } as const;

interface Way {
  readonly encap: Pool['encap'];
  readonly real: Family;
  readonly overhead: number;
}

const ways: readonly Way[] = [
  { encap: 'ipip', real: 4, overhead: 20 },
  { encap: 'ipip', real: 6, overhead: 40 },
  { encap: 'gue', real: 4, overhead: 28 },
  { encap: 'gue', real: 6, overhead: 48 },
  { encap: 'l2', real: 4, overhead: 0 },
  { encap: 'l2', real: 6, overhead: 0 },
];
const families = [4, 6] as const;
const neighbours = new Map(families.map((family) => [reals[family], '02:00:00:00:00:77']));

function load({ encap, real }: Way, mtu = 1500, fields: object = {}): Promise<Tracer> {
  const vips = families.flatMap((family) => [
    vip(`web-${family}`, { address: VIP[family], ...fields }),
    vip(`dns-${family}`, { address: VIP[family], protocol: 'udp', ...fields }),
  ]);
  return tracerOf(snapshot([pool('web', [reals[real]], { encap })], vips), { mtu, neighbours });
}

/** A packet of this length, header included. */
function sized(family: Family, length: number, header: object = {}): Uint8Array {
  const payload = Uint8Array.from({ length: length - (family === 4 ? 40 : 60) }, (_, i) => i * 7);
  return packet(VIP[family], tcp({ from: 4000, to: 80, payload }), { tos: 0xfe, trafficClass: 0xfe, ...header });
}

const macs = { from: host.ownMac, to: '02:00:00:00:00:09' };

/** What has to come back, made from the packet that was too long and nothing else. */
function answer(family: Family, whole: Uint8Array, mtu: number): Uint8Array {
  const [most, least] = family === 4 ? [548, 28] : [1232, 48];
  const quote = whole.subarray(0, whole.length >= most ? most : least);
  const header = { from: VIP[family], ttl: 64, hopLimit: 64, id: 0, tos: 0 };
  const segment = family === 4 ? icmp(3, quote, { code: 4, rest: mtu }) : icmp6(2, quote, { rest: mtu });
  return framed(packet(clients[family], segment, header), macs);
}

function expectAnswered(tracer: Tracer, family: Family, whole: Uint8Array, mtu: number): void {
  const { action, reason, frame } = tracer.trace(framed(whole));
  expect({ action, reason }).toEqual({ action: 'TX', reason: 'too_big_answered' });
  expect(Buffer.from(frame ?? [])).toEqual(Buffer.from(answer(family, whole, mtu)));
}

describe.each(ways)('encap $encap to an IPv$real real', (way) => {
  it.each([1500, 3001])('lets what fits an MTU of %i through, and tells of what does not', async (mtu) => {
    using tracer = await load(way, mtu);
    const fits = mtu - way.overhead;
    for (const family of families) {
      const sent = tracer.trace(framed(sized(family, fits)));
      expect(sent).toMatchObject({ action: 'TX', reason: 'forwarded' });
      expect(sent.frame).toHaveLength(14 + mtu);
      for (const length of [fits + 1, fits + 2, fits + 3, fits + 200])
        expectAnswered(tracer, family, sized(family, length), fits);
    }
  });
});

describe('the answer', () => {
  const way = { encap: 'ipip', real: 4, overhead: 20 } as const;

  it('quotes 548 bytes of IPv4 and 1,232 of IPv6, and of shorter packets the least', async () => {
    using short = await load(way, 100);
    for (const length of [81, 100, 547, 548, 549, 550, 1500]) expectAnswered(short, 4, sized(4, length), 80);
    for (const length of [81, 100, 1231, 1232, 1233, 1500]) expectAnswered(short, 6, sized(6, length), 80);
  });

  it('has checksums that a computation over all of it finds right', async () => {
    using tracer = await load(way, 1000);
    for (let length = 981; length < 1400; length += 7) {
      const four = parseEthernet(tracer.trace(framed(sized(4, length))).frame ?? new Uint8Array()).payload;
      expect([internetChecksum(four.subarray(0, 20)), internetChecksum(four.subarray(20))]).toEqual([0, 0]);
      const six = parseEthernet(tracer.trace(framed(sized(6, length))).frame ?? new Uint8Array()).payload;
      const size = six.length - 40;
      const pseudo = Buffer.concat([six.subarray(8, 40), Uint8Array.of(0, 0, size >> 8, size & 255, 0, 0, 0, 58)]);
      expect(internetChecksum(pseudo, six.subarray(40))).toBe(0);
    }
  });

  it('leaves out the padding, and keeps VLAN tags', async () => {
    using tracer = await load(way, 100);
    for (const tags of [
      [[0x8100, 0xe007]],
      [
        [0x88a8, 0x0123],
        [0x8100, 0x0fff],
      ],
    ] as const)
      for (const family of families) {
        const whole = sized(family, 90);
        const { frame } = tracer.trace(framed(whole, { tags, padTo: 200 }));
        const { payload } = parseEthernet(answer(family, whole, 80));
        expect(Buffer.from(frame ?? [])).toEqual(Buffer.from(framed(payload, { ...macs, tags })));
      }
  });

  it('goes to whoever sends a new connection’s first packet, UDP, and packets with extension headers too', async () => {
    using tracer = await load(way, 200);
    const payload = new Uint8Array(160);
    expectAnswered(tracer, 4, packet(VIP[4], tcp({ from: 1, to: 80, flags: tcpFlags.syn, payload })), 180);
    expectAnswered(tracer, 4, packet(VIP[4], udp({ from: 1, to: 80, payload })), 180);
    const extensions = [{ type: 60, bytes: new Uint8Array(16).with(1, 1) }];
    expectAnswered(tracer, 6, packet(VIP[6], tcp({ from: 1, to: 80, payload }), { extensions }), 180);
  });

  it('goes back by the interface that the packet came in by, though others leave by egress', async () => {
    const state = snapshot([pool('web', [reals[4]])], [vip('web', { address: VIP[4] })]);
    using tracer = await tracerOf(state, { egress: true });
    expect(tracer.trace(framed(sized(4, 1480))).action).toBe('REDIRECT');
    expectAnswered(tracer, 4, sized(4, 1481), 1480);
  });
});

describe('nobody is told, and the packet is dropped,', () => {
  const way = { encap: 'ipip', real: 4, overhead: 20 } as const;
  const drop = { action: 'DROP', reason: 'too_big' };

  it('when IPv4 may be fragmented', async () => {
    using tracer = await load(way);
    expect(tracer.trace(framed(sized(4, 1481, { dontFragment: false })))).toMatchObject(drop);
    expect(tracer.trace(framed(sized(4, 1480, { dontFragment: false }))).reason).toBe('forwarded');
  });

  it('about a fragment', async () => {
    using tracer = await load(way, 1500, { port: 0, fragments: 'hash' });
    const part = rawSegment(6, new Uint8Array(1461));
    expect(tracer.trace(framed(packet(VIP[4], part, { moreFragments: true })))).toMatchObject(drop);
    expect(tracer.trace(framed(packet(VIP[4], part, { fragmentOffset: 5 })))).toMatchObject(drop);
    const extensions = [{ type: 44, bytes: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 9) }];
    expect(tracer.trace(framed(packet(VIP[6], part, { extensions })))).toMatchObject(drop);
    expectAnswered(tracer, 4, sized(4, 1481), 1480);
  });

  it('when the sender cannot be answered', async () => {
    using tracer = await load(way);
    for (const from of ['0.1.2.3', '127.0.0.1', '224.0.0.1', '255.255.255.255'])
      expect(tracer.trace(framed(sized(4, 1481, { from })))).toMatchObject(drop);
    for (const from of ['::', 'ff02::1']) expect(tracer.trace(framed(sized(6, 1481, { from })))).toMatchObject(drop);
    for (const family of families)
      expect(tracer.trace(framed(sized(family, 1481), { from: '33:33:00:00:00:01' }))).toMatchObject(drop);
  });

  it('about an ICMP error', async () => {
    using tracer = await load(way, 100);
    for (const family of families) {
      const quote = packet(clients[family], tcp({ from: 80, to: 1, payload: new Uint8Array(60) }), {
        from: VIP[family],
      });
      const segment = family === 4 ? icmp(3, quote) : icmp6(1, quote);
      const traced = tracer.trace(framed(packet(VIP[family], segment)));
      expect(traced).toMatchObject({ ...drop, path: 'icmp' });
    }
  });
});

describe('the rate', () => {
  it('is 1,000 answers a second of one CPU, and all others are counted as not told', async () => {
    using bench = await ProgramBench.load();
    await bench.converge(target({ [`${VIP[4]}|80|tcp`]: 'web' }, { web: [reals[4]] }));
    const frame = ethernet(
      ipv4({ from: clients[4], to: VIP[4] }, tcp({ from: 1, to: 80, payload: new Uint8Array(1460) })),
      {
        type: etherTypes.ipv4,
      },
    );
    const count = { too_big_answered: 0, too_big_limited: 0 };
    const burst = (): void => {
      for (let n = 0; n < 3_000; n++) {
        const { action, reason } = bench.send(frame);
        expect(action).toBe(reason === 'too_big_answered' ? 'TX' : 'DROP');
        count[reason as keyof typeof count]++;
      }
    };
    const start = performance.now();
    burst();
    // A second is a power of two of the kernel’s ticks, to within a quarter; one may end during the burst.
    const windows = 2 + Math.floor((performance.now() - start) / 750);
    expect(count.too_big_answered + count.too_big_limited).toBe(3_000);
    expect(count.too_big_answered).toBeGreaterThanOrEqual(750);
    expect(count.too_big_answered).toBeLessThanOrEqual(1_300 * windows);
    const before = count.too_big_answered;
    await sleep(1_400);
    expect(bench.send(frame).reason).toBe('too_big_answered');
    burst();
    expect(count.too_big_answered).toBeGreaterThan(before + 700);
  });
});

describe('a sender', () => {
  it('is not told of what fits while there is no room yet', async () => {
    using bench = await ProgramBench.load();
    await bench.converge(target({ [`${VIP[4]}|80|tcp`]: 'web' }, { web: [reals[4]] }));
    expect(bench.send(framed(sized(4, 100))).reason).toBe('forwarded');
    const now = decode('pf_settings', bench.store.get('settings', indexKey(0)) ?? new Uint8Array());
    bench.store.put('settings', indexKey(0), encode('pf_settings', { ...now, room: 0 }));
    expect(bench.send(framed(sized(4, 100))).reason).toBe('no_gateway');
    expect(bench.send(framed(sized(4, now.mtu))).reason).toBe('too_big_answered');
  });
});
