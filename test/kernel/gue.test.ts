import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import type { Segment } from '../support/frames.ts';
import { icmp, icmp6, internetChecksum, parseEthernet, rawSegment, tcp, udp } from '../support/frames.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { clients, framed, inside, packet, tracerOf } from '../support/packets.ts';

/** The outer UDP header of GUE, and above all its checksum, by a computation over all that it covers. */

const families = [4, 6] as const;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const reals = { 4: '10.0.0.1', 6: '2001:db8:77::1' } as const;
/** Ports: 80 and 81 with a checksum, to a real of IPv4 or IPv6; 90 and 91 without. Whole: takes fragments. */
const WHOLE = { 4: '192.0.2.11', 6: '2001:db8:ffff::11' } as const;
const port = { 4: 80, 6: 81 } as const;

const pools = families.flatMap((real) => [
  pool(`gue-${real}`, [reals[real]], { encap: 'gue', guePort: 6081 }),
  pool(`bare-${real}`, [reals[real]], { encap: 'gue', gueChecksum: false }),
]);
const vips = families.flatMap((family) =>
  (['tcp', 'udp'] as const).flatMap((protocol) => [
    ...families.flatMap((real) => [
      vip(`sum-${family}-${protocol}-${real}`, {
        address: VIP[family],
        port: port[real],
        protocol,
        pool: `gue-${real}`,
      }),
      vip(`bare-${family}-${protocol}-${real}`, {
        ...{ address: VIP[family], port: port[real] + 10, protocol, pool: `bare-${real}` },
      }),
    ]),
    vip(`whole-${family}-${protocol}`, { address: WHOLE[family], protocol, pool: 'gue-4', fragments: 'hash' }),
  ]),
);

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(snapshot(pools, vips), {}, 65_536);
});

afterAll(() => tracer[Symbol.dispose]());

interface Outer {
  readonly checksum: number;
  /** Of everything that the checksum covers, itself included: 0 when it is right. */
  readonly residue: number;
  readonly from: number;
  readonly to: number;
  /** What follows the UDP header by its own length. */
  readonly inner: Uint8Array;
}

function outerOf(frame: Uint8Array): Outer {
  const { payload } = parseEthernet(frame);
  const { protocol, bytes } = inside(payload);
  expect(protocol).toBe(17);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint16(4);
  const datagram = bytes.subarray(0, length);
  const addresses = payload[0]! >> 4 === 4 ? payload.subarray(12, 20) : payload.subarray(8, 40);
  const pseudo = Buffer.concat([addresses, Uint8Array.of(0, 17, length >> 8, length & 0xff)]);
  return {
    checksum: view.getUint16(6),
    residue: internetChecksum(pseudo, datagram),
    from: view.getUint16(0),
    to: view.getUint16(2),
    inner: datagram.subarray(8),
  };
}

/** Sends the packet, sees that it is whole inside, and hands back the outer header. */
function through(inner: Uint8Array, header: object = {}): Outer {
  const { reason, frame } = tracer.trace(framed(inner, header));
  expect(reason).toBe('forwarded');
  const outer = outerOf(frame ?? new Uint8Array());
  expect(Buffer.from(outer.inner)).toEqual(Buffer.from(inner));
  return outer;
}

function expectRight(inner: Uint8Array, header: object = {}): void {
  const { checksum, residue } = through(inner, header);
  expect(residue).toBe(0);
  expect(checksum).not.toBe(0);
}

const segments = { tcp, udp } as const;
const ways = families.flatMap((family) =>
  families.flatMap((real) => (['tcp', 'udp'] as const).map((protocol) => ({ family, real, protocol }))),
);

describe.each(ways)('$protocol over IPv$family to an IPv$real real', ({ family, real, protocol }) => {
  const segment = (from: number, payload = new Uint8Array()): Segment =>
    segments[protocol]({ from, to: port[real], payload });

  it('gets an outer checksum that is right for any payload', () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(255), fc.uint8Array({ maxLength: 1400 }), (from, tos, payload) =>
        expectRight(packet(VIP[family], segment(from, payload), { tos, trafficClass: tos })),
      ),
      { numRuns: 200 },
    );
  });

  it('gets one for every source port, and never 0, which would mean none', () => {
    const wrong: number[] = [];
    for (let from = 0; from < 0x10000; from++) {
      const { frame } = tracer.trace(framed(packet(VIP[family], segment(from))));
      const { checksum, residue } = outerOf(frame ?? new Uint8Array());
      if (checksum === 0 || residue !== 0) wrong.push(from);
    }
    expect(wrong).toEqual([]);
  });

  it('is padded at the end without any effect', () => {
    const inner = packet(VIP[family], segment(1, Uint8Array.of(1, 2, 3)));
    const frame = Buffer.concat([framed(inner), new Uint8Array(30).fill(0xa5)]);
    const sent = tracer.trace(frame).frame ?? new Uint8Array();
    const outer = outerOf(sent);
    expect(outer).toMatchObject({ residue: 0 });
    expect(Buffer.from(outer.inner)).toEqual(Buffer.from(inner));
    expect(Buffer.from(sent.subarray(-30))).toEqual(Buffer.alloc(30, 0xa5));
  });

  it('with a wrong checksum gets one that is wrong by the same amount', () => {
    const inner = packet(VIP[family], segment(1, Uint8Array.of(1, 2, 3)));
    const at = (family === 4 ? 20 : 40) + (protocol === 'tcp' ? 16 : 6);
    const sum = Buffer.from(inner).readUInt16BE(at);
    for (let by = 1; by < 0xffff; by += 101) {
      const wrong = Buffer.from(inner);
      wrong.writeUInt16BE((sum + by) % 0xffff || 0xffff, at);
      const { residue } = through(wrong);
      expect(residue % 0xffff).toBe((0xffff - by) % 0xffff);
    }
  });

  it('leads to the configured port from one of the dynamic ports that stays the flow’s own', () => {
    const ports = new Set<number>();
    for (let from = 1; from <= 300; from++) {
      const first = through(packet(VIP[family], segment(from)));
      expect(first.to).toBe(6081);
      expect(first.from).toBeGreaterThanOrEqual(49_152);
      expect(through(packet(VIP[family], segment(from, Uint8Array.of(9)))).from).toBe(first.from);
      ports.add(first.from);
    }
    expect(ports.size).toBeGreaterThan(280);
  });

  it('has none when the pool wants none', () => {
    const bare = segments[protocol]({ from: 1, to: port[real] + 10 });
    expect(through(packet(VIP[family], bare))).toMatchObject({ checksum: 0, to: 6080 });
  });
});

describe.each(families)('over IPv%i the whole packet is summed up', (family) => {
  const payloads = [0, 1, 2, 3, 55, 56, 57, 63, 64, 65, 127, 128, 129, 500, 1001, 1400].map((length) =>
    Uint8Array.from({ length }, (_, i) => 255 - i),
  );
  const error = (payload: Uint8Array): Uint8Array => {
    const quote = packet(clients[family], tcp({ from: 80, to: 1, payload }), { from: VIP[family] });
    return packet(VIP[family], family === 4 ? icmp(3, quote) : icmp6(1, quote), { from: clients[family] });
  };

  it('of UDP without a checksum', () => {
    for (const payload of payloads)
      for (const real of families)
        expectRight(packet(VIP[family], { ...udp({ from: 1, to: port[real], payload }), checksumAt: null }));
  });

  it('of UDP whose own length is another one', () => {
    for (const payload of payloads.slice(2))
      for (const length of [0, 8, 9, 7 + payload.length, 9 + payload.length, 0xffff]) {
        const segment = udp({ from: 1, to: 80, payload });
        new DataView(segment.bytes.buffer, segment.bytes.byteOffset).setUint16(4, length);
        expectRight(packet(VIP[family], segment));
      }
  });

  it('of UDP with something behind what its length covers', () => {
    const header = family === 4 ? 20 : 40;
    for (const payload of payloads.slice(0, -1))
      for (const extra of payloads.slice(1, 8)) {
        const datagram = packet(VIP[family], udp({ from: 1, to: 80, payload })).subarray(header);
        expectRight(packet(VIP[family], rawSegment(17, Buffer.concat([datagram, extra]))));
      }
  });

  it('of an ICMP error', () => {
    for (const payload of payloads.slice(0, -1)) expectRight(error(payload));
  });

  it('of fragments, whatever looks like a checksum in them', () => {
    for (const payload of payloads)
      for (const protocol of [6, 17]) {
        const extensions = [{ type: 44, bytes: Uint8Array.of(0, 0, 1, 1, 0, 0, 0, 9) }];
        expectRight(packet(WHOLE[family], rawSegment(protocol, payload), { extensions, moreFragments: true }));
      }
  });

  it('and never becomes 0', () => {
    const zeros: number[] = [];
    for (let word = 0; word < 0x10000; word++) {
      const payload = Uint8Array.of(word >> 8, word & 0xff);
      const inner = packet(VIP[family], { ...udp({ from: 1, to: 80, payload }), checksumAt: null });
      const { checksum, residue } = outerOf(tracer.trace(framed(inner)).frame ?? new Uint8Array());
      if (checksum === 0 || residue !== 0) zeros.push(word);
    }
    expect(zeros).toEqual([]);
  });
});

describe('over IPv6', () => {
  it('extension headers are summed up with the rest', () => {
    const extension = (type: number, units: number) => ({
      type,
      bytes: Uint8Array.from({ length: 8 + 8 * units }, (_, i) => i * 11).with(1, units),
    });
    for (const real of families)
      for (const chain of [[extension(0, 0)], [extension(60, 3), extension(43, 1)], [extension(43, 0)]])
        for (const segment of [tcp({ from: 1, to: port[real] }), udp({ from: 1, to: port[real] })])
          expectRight(packet(VIP[6], segment, { extensions: chain }));
  });
});
