import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildTarget } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { FrameFuzzer } from '../fuzz/frames.ts';
import { cases } from '../fuzz/state.ts';
import type { Ipv4Header, Segment } from '../support/frames.ts';
import {
  arp,
  ethernet,
  etherTypes,
  icmp,
  ipv4,
  ipv6,
  parseEthernet,
  parseIpv4,
  rawSegment,
  tcp,
  tcpFlags,
  udp,
} from '../support/frames.ts';
import type { Action } from '../support/program-bench.ts';
import { ProgramBench, settings, target } from '../support/program-bench.ts';

/** What is not forwarded: what passes untouched, what is dropped, and that each is counted for the right reason. */

const VIP = '192.0.2.10';
const UDP_VIP = '192.0.2.12';
const goal = target({ [`${VIP}|80|tcp`]: 'web', [`${UDP_VIP}|53|udp`]: 'web' }, { web: ['10.0.0.1'] });

const toVip: Ipv4Header = { from: '198.51.100.7', to: VIP };
const toUdpVip: Ipv4Header = { from: '198.51.100.7', to: UDP_VIP };
const payload = Uint8Array.from({ length: 40 }, (_, i) => i);
const web = tcp({ from: 4000, to: 80, payload });
const dns = udp({ from: 4000, to: 53, payload });
const address6 = (last: number) => Uint8Array.of(0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), last);

/** A kernel’s test run takes no shorter frame. */
const SHORTEST = 14;

let bench: ProgramBench;

beforeAll(async () => {
  bench = await ProgramBench.load();
  await bench.converge(goal);
});

afterAll(() => bench[Symbol.dispose]());

function expectUntouched(frame: Uint8Array, reason: string): void {
  const sent = bench.send(frame);
  expect(sent).toMatchObject({ action: 'PASS', reason });
  expect(Buffer.from(sent.frame)).toEqual(Buffer.from(frame));
}

describe('passes byte for byte', () => {
  const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0);
  const part = rawSegment(17, payload);
  it.each<[string, Uint8Array, string]>([
    ['another address', ethernet(ipv4({ ...toVip, to: '192.0.2.13' }, web)), 'not_vip'],
    ['another port', ethernet(ipv4(toVip, tcp({ from: 4000, to: 81 }))), 'not_vip'],
    ['a reply from the VIP’s port', ethernet(ipv4(toVip, tcp({ from: 80, to: 4000 }))), 'not_vip'],
    ['UDP to a TCP VIP', ethernet(ipv4(toVip, udp({ from: 4000, to: 80 }))), 'not_vip'],
    ['TCP to a UDP VIP', ethernet(ipv4(toUdpVip, tcp({ from: 4000, to: 53 }))), 'not_vip'],
    ['SCTP to a VIP', ethernet(ipv4(toVip, rawSegment(132, payload))), 'not_vip'],
    ['IPIP to a VIP', ethernet(ipv4(toVip, rawSegment(4, ipv4(toVip, web)))), 'not_vip'],
    ['IPv6 in IPv4 to a VIP', ethernet(ipv4(toVip, rawSegment(41, payload))), 'not_vip'],
    ['an echo reply to a VIP', ethernet(ipv4(toVip, icmp(0, payload))), 'icmp_other'],
    ['an echo request to another address', ethernet(ipv4({ ...toVip, to: '192.0.2.13' }, icmp(8))), 'not_vip'],
    ['ICMPv6 in IPv4 to a VIP', ethernet(ipv4(toVip, rawSegment(58, payload))), 'not_vip'],
    [
      'a fragment for another address',
      ethernet(ipv4({ ...toVip, to: '192.0.2.13', moreFragments: true }, part)),
      'not_vip',
    ],
    ['a UDP fragment for a TCP VIP', ethernet(ipv4({ ...toVip, moreFragments: true }, part)), 'not_vip'],
    ['options for another address', ethernet(ipv4({ ...toVip, to: '192.0.2.13', options }, web)), 'not_vip'],
    ['UDP with options to a TCP VIP', ethernet(ipv4({ ...toVip, options }, udp({ from: 1, to: 80 }))), 'not_vip'],
    ['broadcast', ethernet(ipv4({ ...toVip, to: '255.255.255.255' }, dns), { to: 'ff:ff:ff:ff:ff:ff' }), 'not_vip'],
    ['a packet for a VIP to all hosts', ethernet(ipv4(toVip, web), { to: 'ff:ff:ff:ff:ff:ff' }), 'not_vip'],
    ['a packet for a VIP to a group', ethernet(ipv4(toVip, web), { to: '01:00:5e:00:00:01' }), 'not_vip'],
    ['an echo request for a VIP to a group', ethernet(ipv4(toVip, icmp(8)), { to: '33:33:00:00:00:01' }), 'not_vip'],
    ['ARP for a VIP', ethernet(arp('198.51.100.7', VIP), { type: etherTypes.arp }), 'not_ip'],
    ['IPv6', ethernet(ipv6(address6(1), address6(2), web), { type: etherTypes.ipv6 }), 'not_vip'],
    ['LLDP', ethernet(payload, { type: etherTypes.lldp }), 'not_ip'],
    ['an 802.3 length field', ethernet(payload, { type: payload.length }), 'not_ip'],
    ['a packet for a VIP under another EtherType', ethernet(ipv4(toVip, web), { type: 0x0801 }), 'not_ip'],
  ])('%s, which stays as it is', (_what, frame, reason) => expectUntouched(frame, reason));
});

describe('drops what it cannot balance', () => {
  it.each<[string, Ipv4Header, Segment]>([
    ['TCP', toVip, web],
    ['UDP', toUdpVip, dns],
  ])('%s fragments: first, middle, last', (_protocol, header, { protocol, bytes }) => {
    const middle = rawSegment(protocol, bytes);
    for (const [moreFragments, fragmentOffset] of [
      [true, 0],
      [true, 185],
      [false, 370],
      [false, 0x1fff],
    ] as const)
      for (const dontFragment of [false, true]) {
        const fragment = ipv4({ ...header, moreFragments, fragmentOffset, dontFragment }, middle);
        expect(bench.send(ethernet(fragment))).toMatchObject({ action: 'DROP', reason: 'fragment' });
      }
  });

  it('a fragment that is too short for ports', () => {
    const tail = ipv4({ ...toVip, fragmentOffset: 370 }, rawSegment(6, Uint8Array.of(1)));
    expect(bench.send(ethernet(tail, { padTo: 60 }))).toMatchObject({ action: 'DROP', reason: 'fragment' });
  });

  it('IPv4 options of every length', () => {
    for (let length = 4; length <= 40; length += 4) {
      const options = new Uint8Array(length).fill(1);
      for (const packet of [ipv4({ ...toVip, options }, web), ipv4({ ...toUdpVip, options }, dns)])
        expect(bench.send(ethernet(packet))).toMatchObject({ action: 'DROP', reason: 'ip_options' });
    }
  });
});

/** What must become of an IPv4 frame for one of the two VIPs’ addresses, by the rules of the reference. */
function expectedReason(frame: Uint8Array): string {
  const { type, payload: packet } = parseEthernet(frame);
  if (type !== etherTypes.ipv4) return 'not_ip';
  if (packet.length < 20) return 'unreadable';
  const ip = parseIpv4(packet);
  if (ip.version !== 4) return 'unreadable';
  if (!((ip.to === VIP && ip.protocol === 6) || (ip.to === UDP_VIP && ip.protocol === 17))) return 'not_vip';
  if (ip.headerLength < 20 || ip.totalLength < ip.headerLength || ip.totalLength > packet.length) return 'malformed';
  if (ip.fragmentOffset > 0 || ip.flags & 1) return 'fragment';
  if (ip.headerLength > 20) return 'ip_options';
  if (ip.totalLength - 20 < (ip.protocol === 6 ? 20 : 8)) return 'malformed';
  if (((packet[22] ?? 0) << 8) + (packet[23] ?? 0) !== (ip.protocol === 6 ? 80 : 53)) return 'not_vip';
  return ip.totalLength + 20 > settings.mtu ? 'too_big' : 'forwarded';
}

const passed = ['not_ip', 'unreadable', 'not_vip'];

function expectByTheRules(frame: Uint8Array): void {
  const reason = expectedReason(frame);
  const action: Action = reason === 'forwarded' ? 'TX' : passed.includes(reason) ? 'PASS' : 'DROP';
  const sent = bench.send(frame);
  expect(sent).toMatchObject({ reason, action });
  if (action === 'PASS') expect(Buffer.from(sent.frame)).toEqual(Buffer.from(frame));
}

describe('short and corrupt frames', () => {
  const whole = { tcp: ethernet(ipv4(toVip, web)), udp: ethernet(ipv4(toUdpVip, dns)) };

  it.each(['tcp', 'udp'] as const)('%s cut at every length', (protocol) => {
    const frame = whole[protocol];
    for (let length = 14; length < frame.length; length++) {
      const sent = bench.send(frame.subarray(0, length));
      expect(sent.reason).toBe(length < 34 ? 'unreadable' : 'malformed');
      expect(sent.action).toBe(length < 34 ? 'PASS' : 'DROP');
    }
    expect(bench.send(frame)).toMatchObject({ action: 'TX', reason: 'forwarded' });
  });

  it.each(['tcp', 'udp'] as const)('%s with every total length that is near, and some that are far', (protocol) => {
    const [header, segment] = protocol === 'tcp' ? [toVip, web] : [toUdpVip, dns];
    const lengths = [...Array.from({ length: 200 }, (_, i) => i), 1480, 1481, 1500, 0x7fff, 0xffff];
    for (const totalLength of lengths)
      expectByTheRules(ethernet(ipv4({ ...header, totalLength }, segment), { padTo: 120 }));
  });

  it('every version with every header length', () => {
    for (let version = 0; version < 16; version++)
      for (let headerWords = 0; headerWords < 16; headerWords++)
        for (const packetLength of [0, 20, 40])
          expectByTheRules(
            ethernet(
              ipv4(
                { ...toVip, version, headerWords },
                tcp({ from: 4000, to: 80, payload: new Uint8Array(packetLength) }),
              ),
            ),
          );
  });

  it('an IP header that says it is longer than the packet', () => {
    const short = ipv4({ ...toVip, headerWords: 15 }, rawSegment(6, new Uint8Array(8)));
    expect(bench.send(ethernet(short))).toMatchObject({ action: 'DROP', reason: 'malformed' });
  });

  it('a total length below that of the header, whatever else is wrong', () => {
    for (let totalLength = 0; totalLength < 24; totalLength++)
      for (const more of [{ options: new Uint8Array(4) }, { options: new Uint8Array(4), moreFragments: true }])
        expect(bench.send(ethernet(ipv4({ ...toVip, ...more, totalLength }, web)))).toMatchObject({
          action: 'DROP',
          reason: 'malformed',
        });
    for (let totalLength = 0; totalLength < 20; totalLength++)
      expect(bench.send(ethernet(ipv4({ ...toVip, moreFragments: true, totalLength }, web)))).toMatchObject({
        action: 'DROP',
        reason: 'malformed',
      });
  });

  it('a TCP header cut by the packet’s own length, the frame being long enough', () => {
    for (let length = 0; length < 20; length++) {
      const packet = ipv4(toVip, rawSegment(6, web.bytes.subarray(0, length)));
      expect(bench.send(ethernet(packet, { padTo: 120 }))).toMatchObject({ action: 'DROP', reason: 'malformed' });
    }
  });

  it('of every kind raise one counter by one', async () => {
    const [fuzzCase] = cases;
    if (fuzzCase === undefined) throw new Error('there are no cases');
    const { snapshot, host } = fuzzCase;
    using own = await ProgramBench.load({ vips: 256, pools: 64 });
    await own.converge(buildTarget(snapshot, host, allUp(snapshot), new Map()));
    const fuzzer = new FrameFuzzer(1, fuzzCase);
    const reasons = new Set<string>();
    for (let n = 0; n < 4_000; n++) {
      const { bytes } = fuzzer.next();
      if (bytes.length >= SHORTEST) reasons.add(own.send(bytes).reason);
    }
    expect(reasons.size).toBeGreaterThan(12);
  });
});

describe('the size of what is sent', () => {
  const packet = (length: number) =>
    ethernet(
      ipv4({ ...toVip, dontFragment: false }, tcp({ from: 4000, to: 80, payload: new Uint8Array(length - 40) })),
    );

  it.each([1500, 1400, 68])('never exceeds an MTU of %i', async (mtu) => {
    await bench.converge({ ...goal, settings: { ...settings, mtu } });
    expect(bench.send(packet(mtu - 20))).toMatchObject({ action: 'TX', reason: 'forwarded' });
    expect(bench.send(packet(mtu - 19))).toMatchObject({ action: 'DROP', reason: 'too_big' });
    await bench.converge(goal);
  });

  it('is judged by the packet and not by the padding', async () => {
    await bench.converge({ ...goal, settings: { ...settings, mtu: 60 } });
    expect(bench.send(ethernet(ipv4(toVip, tcp({ from: 4000, to: 80 })), { padTo: 120 })).reason).toBe('forwarded');
    await bench.converge(goal);
  });
});

describe('maps that nobody has filled, or that contradict each other', () => {
  it.each([2, 3, 600, 32_767])('drop, when a ring names the unused number %i', async (number) => {
    using own = await ProgramBench.load();
    await own.converge(goal);
    await own.store.swapRings([{ pool: 0, fill: (slots) => slots.fill(number) }]);
    const syn = tcp({ from: 4000, to: 80, flags: tcpFlags.syn });
    expect(own.send(ethernet(ipv4(toVip, syn)))).toMatchObject({ reason: 'void_real', action: 'DROP' });
  });

  it('pass everything, when they are empty', async () => {
    using own = await ProgramBench.load();
    expect(own.send(ethernet(ipv4(toVip, web)))).toMatchObject({ reason: 'not_vip', action: 'PASS' });
  });
});
