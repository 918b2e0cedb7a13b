import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import type { Ipv6Options, Segment } from '../support/frames.ts';
import {
  ethernet,
  etherTypes,
  ipv4,
  ipv6,
  parseEthernet,
  parseIpv4,
  parseIpv6,
  tcp,
  tcpFlags,
  udp,
} from '../support/frames.ts';
import { targetPool } from '../support/planning.ts';
import { gatewayMac, ownMac, ProgramBench, target } from '../support/program-bench.ts';

/** IPv6 VIPs and reals, and the two families within each other. */

const VIP4 = '192.0.2.10';
const VIP6 = '2001:db8::10';
const REAL4 = '10.0.0.1';
const REAL6 = '2001:db8:77::1';
const CLIENT4 = '198.51.100.7';
const CLIENT6 = '2001:db8:c::7';
const segments = { tcp, udp };

const goal = target(
  {
    [`${VIP4}|80|tcp`]: 'four',
    [`${VIP4}|80|udp`]: 'four',
    [`${VIP4}|81|tcp`]: 'six',
    [`${VIP4}|81|udp`]: 'six',
    [`${VIP6}|80|tcp`]: 'four',
    [`${VIP6}|80|udp`]: 'four',
    [`${VIP6}|81|tcp`]: 'six',
    [`${VIP6}|81|udp`]: 'six',
  },
  { four: [REAL4], six: [REAL6] },
);

let bench: ProgramBench;

beforeAll(async () => {
  bench = await ProgramBench.load();
  await bench.converge(goal);
});

afterAll(() => bench[Symbol.dispose]());

function packet6(segment: Segment, options: Ipv6Options = {}, to = VIP6): Uint8Array {
  return ipv6(addressBytes(CLIENT6), addressBytes(to), segment, options);
}

const frame6 = (packet: Uint8Array): Uint8Array => ethernet(packet, { type: etherTypes.ipv6 });

describe.each(['tcp', 'udp'] as const)('a %s packet', (protocol) => {
  const payload = fc.uint8Array({ maxLength: 1300 });
  const segment = segments[protocol];

  it('of an IPv6 VIP to an IPv6 real gets exactly this header', () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(255), fc.nat(255), payload, (from, trafficClass, hopLimit, bytes) => {
        const inner = packet6(segment({ from, to: 81, payload: bytes }), { trafficClass, hopLimit });
        const sent = bench.send(frame6(inner));
        expect(sent).toMatchObject({ action: 'TX', reason: 'forwarded' });
        const { to, from: source, type, payload: outer } = parseEthernet(sent.frame);
        expect({ to, source, type }).toEqual({ to: gatewayMac, source: ownMac, type: etherTypes.ipv6 });
        const header = parseIpv6(outer);
        expect(header).toMatchObject({
          version: 6,
          trafficClass,
          hopLimit: 64,
          nextHeader: 41,
          payloadLength: inner.length,
        });
        expect(Buffer.from(header.from.subarray(0, 8))).toEqual(Buffer.from(addressBytes('100::').subarray(0, 8)));
        expect(Buffer.from(header.to)).toEqual(Buffer.from(addressBytes(REAL6)));
        expect(Buffer.from(header.payload)).toEqual(Buffer.from(inner));
      }),
      { numRuns: 200 },
    );
  });

  it('of an IPv4 VIP to an IPv6 real gets an IPv6 header with protocol 4', () => {
    const inner = ipv4({ from: CLIENT4, to: VIP4, tos: 0xb9 }, segment({ from: 4000, to: 81 }));
    const sent = bench.send(ethernet(inner, { padTo: 60 }));
    expect(sent.action).toBe('TX');
    const { type, payload: outer } = parseEthernet(sent.frame);
    const header = parseIpv6(outer);
    expect(type).toBe(etherTypes.ipv6);
    expect(header).toMatchObject({ nextHeader: 4, trafficClass: 0xb9, payloadLength: inner.length, hopLimit: 64 });
    expect(Buffer.from(header.payload.subarray(0, inner.length))).toEqual(Buffer.from(inner));
  });

  it('of an IPv6 VIP to an IPv4 real gets an IPv4 header with protocol 41', () => {
    const inner = packet6(segment({ from: 4000, to: 80 }), { trafficClass: 0x2e });
    const sent = bench.send(frame6(inner));
    expect(sent.action).toBe('TX');
    const { type, payload: outer } = parseEthernet(sent.frame);
    const header = parseIpv4(outer);
    expect(type).toBe(etherTypes.ipv4);
    expect(header).toMatchObject({
      protocol: 41,
      tos: 0x2e,
      totalLength: inner.length + 20,
      ttl: 64,
      id: 0,
      flags: 2,
      checksumOk: true,
      to: REAL4,
    });
    expect(header.from).toMatch(/^172\.16\./);
    expect(Buffer.from(header.payload)).toEqual(Buffer.from(inner));
  });
});

describe('the outer IPv6 header', () => {
  it('has a source and a flow label for each flow, and the same ones for the same flow', () => {
    const outerOf = (port: number) =>
      parseIpv6(parseEthernet(bench.send(frame6(packet6(tcp({ from: port, to: 81 })))).frame).payload);
    const ports = Array.from({ length: 1000 }, (_, i) => 1024 + i);
    const sources = ports.map((port) => Buffer.from(outerOf(port).from).toString('hex'));
    expect(ports.map((port) => Buffer.from(outerOf(port).from).toString('hex'))).toEqual(sources);
    expect(new Set(sources).size).toBe(1000);
    expect(new Set(ports.map((port) => outerOf(port).flowLabel)).size).toBeGreaterThan(990);
  });

  it('is drawn from the prefix of the settings and leaves its bits alone', async () => {
    const own = await ProgramBench.load();
    try {
      await own.converge(target({ [`${VIP6}|81|tcp`]: 'six' }, { six: [REAL6] }, { outerV6: '2001:db8:5::ab00/120' }));
      const { from } = parseIpv6(parseEthernet(own.send(frame6(packet6(tcp({ from: 1, to: 81 })))).frame).payload);
      expect(Buffer.from(from.subarray(0, 15))).toEqual(Buffer.from(addressBytes('2001:db8:5::ab00').subarray(0, 15)));
    } finally {
      own[Symbol.dispose]();
    }
  });
});

describe('IPv6 that is not balanced', () => {
  const web = tcp({ from: 4000, to: 81, payload: new Uint8Array(40) });
  const fragment = (offset: number, more: number) => ({
    extensions: [{ type: 44, bytes: Uint8Array.of(0, 0, offset >> 5, ((offset << 3) & 0xff) | more, 0, 0, 0, 9) }],
  });

  it.each<[string, Uint8Array, string]>([
    ['another address', packet6(web, {}, '2001:db8::11'), 'not_vip'],
    ['an address that differs in its last word alone', packet6(web, {}, '2001:db8::1:10'), 'not_vip'],
    ['another port', packet6(tcp({ from: 4000, to: 82 })), 'not_vip'],
    ['ICMPv6 of no type', packet6({ protocol: 58, bytes: new Uint8Array(16), checksumAt: null }), 'icmp_other'],
    ['ICMP for IPv4', packet6({ protocol: 1, bytes: new Uint8Array(16), checksumAt: null }), 'not_vip'],
    ['no next header', packet6({ protocol: 59, bytes: new Uint8Array(16), checksumAt: null }), 'not_vip'],
    ['a fragment for another address', packet6(web, fragment(0, 1), '2001:db8::11'), 'not_vip'],
    ['version 4 in an IPv6 frame', Uint8Array.from(packet6(web), (byte, i) => (i === 0 ? 0x40 : byte)), 'unreadable'],
  ])('passes %s byte for byte', (_what, packet, reason) => {
    const frame = frame6(packet);
    const sent = bench.send(frame);
    expect(sent).toMatchObject({ action: 'PASS', reason });
    expect(Buffer.from(sent.frame)).toEqual(Buffer.from(frame));
  });

  it.each<[string, Uint8Array, string]>([
    ['the first fragment', packet6(web, fragment(0, 1)), 'fragment'],
    ['a later fragment', packet6(web, fragment(100, 0)), 'fragment'],
    ['a payload length beyond the frame', packet6(web, { length: 200 }), 'malformed'],
    ['a payload length that cuts the TCP header', packet6(web, { length: 12 }), 'malformed'],
    ['a jumbogram', packet6(web, { length: 0 }), 'malformed'],
  ])('drops %s of a VIP', (_what, packet, reason) => {
    expect(bench.send(frame6(packet))).toMatchObject({ action: 'DROP', reason });
  });

  it('never forwards a frame that is cut short', () => {
    const frame = frame6(packet6(web));
    for (let length = 14; length < frame.length; length++)
      expect(bench.send(frame.subarray(0, length)).action).not.toBe('TX');
  });

  it('does not send what would exceed the MTU, 20 bytes earlier than over IPv4', () => {
    const sized = (total: number, port: number) =>
      bench.send(frame6(packet6(tcp({ from: 1, to: port, payload: new Uint8Array(total - 60) })))).reason;
    expect([sized(1460, 81), sized(1461, 81)]).toEqual(['forwarded', 'too_big_answered']);
    expect([sized(1480, 80), sized(1481, 80)]).toEqual(['forwarded', 'too_big_answered']);
  });
});

describe('an IPv6 flow', () => {
  it('keeps its real across a ring change, and a SYN makes a new choice', async () => {
    const own = await ProgramBench.load();
    const A = '2001:db8:77::a';
    const B = '2001:db8:77::b';
    const through = (flags: number): string => {
      const sent = own.send(frame6(packet6(tcp({ from: 9, to: 81, flags }))));
      return Buffer.from(parseIpv6(parseEthernet(sent.frame).payload).to).toString('hex');
    };
    const hex = (address: string): string => Buffer.from(addressBytes(address)).toString('hex');
    const ringOf = (member: string) => {
      const base = target({ [`${VIP6}|81|tcp`]: 'six' }, {});
      return { ...base, pools: new Map([['six', targetPool('six', [member], [member === A ? B : A])]]) };
    };
    try {
      await own.converge(ringOf(A));
      expect(through(tcpFlags.syn)).toBe(hex(A));
      await own.converge(ringOf(B));
      expect(through(tcpFlags.ack)).toBe(hex(A));
      expect(through(tcpFlags.syn)).toBe(hex(B));
      expect(through(tcpFlags.ack)).toBe(hex(B));
    } finally {
      own[Symbol.dispose]();
    }
  });
});
