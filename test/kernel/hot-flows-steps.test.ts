import { beforeEach, describe, expect, it } from 'vitest';
import { ethernet, etherTypes, tcp, tcpFlags, udp } from '../support/frames.ts';
import {
  datagram,
  flow,
  heat,
  hotReal,
  inForce,
  isHot,
  OTHER,
  ownBench,
  REAL,
  sendMarked,
  VIP,
  web,
} from '../support/hot-flows.ts';
import { real, snapshot, vip } from '../support/model.ts';
import { framed, packet } from '../support/packets.ts';
import type { ProgramBench } from '../support/program-bench.ts';

describe('packets of a hot flow that all the steps treat', () => {
  let bench: ProgramBench;
  const A = REAL[4];
  const B = OTHER[4];

  beforeEach(async () => {
    bench = await ownBench([web([A])], [vip('v'), vip('u', { protocol: 'udp' })]);
    heat(bench, flow(1));
    heat(bench, datagram(1));
  });

  const packetOf = (fields: object, from = 1) =>
    framed(packet(VIP[4], tcp({ from, to: 80, payload: new Uint8Array(10) }), fields));

  it.each([
    ['a SYN with ACK', () => flow(1, tcpFlags.syn | tcpFlags.ack), 'forwarded'],
    [
      'one with a VLAN tag',
      () => ethernet(packet(VIP[4], tcp({ from: 1, to: 80 })), { tags: [[0x8100, 5]] }),
      'forwarded',
    ],
    [
      'one to a group',
      () => ethernet(packet(VIP[4], tcp({ from: 1, to: 80 })), { to: '01:00:00:00:00:02' }),
      'not_vip',
    ],
    ['a fragment', () => packetOf({ moreFragments: true }), 'fragment'],
    ['one with IP options', () => packetOf({ options: Uint8Array.of(1, 1, 1, 0) }), 'ip_options'],
    ['one longer than its frame', () => packetOf({ totalLength: 500 }), 'malformed'],
    ['one shorter than its TCP header', () => packetOf({ totalLength: 39 }), 'malformed'],
    ['one shorter than its IP header', () => packetOf({ totalLength: 19 }), 'malformed'],
    ['one of another version', () => packetOf({ version: 5 }), 'unreadable'],
    ['one that does not fit', () => flow(1, tcpFlags.ack, new Uint8Array(1_441)), 'too_big_answered'],
    [
      'one of UDP shorter than its header',
      () => framed(packet(VIP[4], udp({ from: 1, to: 80, payload: new Uint8Array(40) }), { totalLength: 27 })),
      'malformed',
    ],
  ])('%s, takes all the steps', (_, frame, reason) => {
    const sent = sendMarked(bench, frame());
    expect([sent.reason, sent.hot]).toEqual([reason, false]);
    expect([isHot(bench, flow(1)), isHot(bench, datagram(1))]).toEqual([true, true]);
  });

  it.each([
    ['one that does not fit', tcp({ from: 1, to: 80, payload: new Uint8Array(1_421) }), {}, 'too_big_answered'],
    ['one longer than its frame', tcp({ from: 1, to: 80 }), { payloadLength: 500 }, 'malformed'],
    ['one shorter than its TCP header', tcp({ from: 1, to: 80 }), { payloadLength: 19 }, 'malformed'],
    ['one of another version', tcp({ from: 1, to: 80 }), { version: 5 }, 'unreadable'],
  ] as const)('%s, takes all the steps over IPv6, too', async (_, segment, header, reason) => {
    const six = await ownBench([web([REAL[4]])], [vip('six', { address: VIP[6] })]);
    const plain = framed(packet(VIP[6], tcp({ from: 1, to: 80 })));
    heat(six, plain);
    const frame = framed(packet(VIP[6], segment), { type: etherTypes.ipv6 });
    const view = new DataView(frame.buffer, frame.byteOffset);
    if ('payloadLength' in header) view.setUint16(18, header.payloadLength);
    if ('version' in header) view.setUint8(14, header.version << 4);
    const sent = sendMarked(six, frame);
    expect([sent.reason, sent.hot]).toEqual([reason, false]);
    expect(isHot(six, plain)).toBe(true);
  });

  it('one that just fits is hot', () => {
    const { hot, frame } = sendMarked(bench, flow(1, tcpFlags.ack, new Uint8Array(1_440)));
    expect([hot, frame.length]).toEqual([true, 14 + 1_500]);
  });

  it('a SYN, after which the flow has to become hot again', () => {
    expect(isHot(bench, flow(1, tcpFlags.syn))).toBe(false);
    expect([1, 2].map(() => isHot(bench, flow(1)))).toEqual([false, true]);
  });

  it('a SYN in a VLAN chooses anew, and what follows it without a tag goes with it', async () => {
    await inForce(bench, snapshot([web([real(A, { state: 'drain' }), B])], [vip('v')]));
    expect(hotReal(bench, flow(1))).toBe(A);
    const tagged = ethernet(packet(VIP[4], tcp({ from: 1, to: 80, flags: tcpFlags.syn })), { tags: [[0x8100, 5]] });
    expect(bench.send(tagged).reason).toBe('forwarded');
    expect(bench.realOf(flow(1))).toBe(B);
  });
});
