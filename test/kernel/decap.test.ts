import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readEvents } from '../../src/dataplane/counters.ts';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import { etherTypes, icmp, parseEthernet, parseIpv4, parseIpv6, rawSegment, tcp, udp } from '../support/frames.ts';
import { host } from '../support/in-force.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { clients, framed, inside, packet, tracerOf } from '../support/packets.ts';
import { ProgramBench, target } from '../support/program-bench.ts';

/** Tunnels that end at this host: what is in them is treated as if it had come in by itself. */

const families = [4, 6] as const;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const END = { 4: '203.0.113.1', 6: '2001:db8:e::1' } as const;
const PEER = { 4: '203.0.113.2', 6: '2001:db8:e::2' } as const;
const OTHER = { 4: '203.0.113.3', 6: '2001:db8:e::3' } as const;
const GUE_PORT = 6081;
const reals = ['10.0.0.1', '2001:db8:77::1'] as const;
const tunnels = families.map((family) => ({ address: END[family], guePort: GUE_PORT }));

const state = snapshot(
  [pool('four', [reals[0]]), pool('six', [reals[1]]), pool('gue', [reals[0]], { encap: 'gue' }), pool('own', [END[4]])],
  families.flatMap((family) => [
    vip(`four-${family}`, { address: VIP[family], port: 84, pool: 'four' }),
    vip(`six-${family}`, { address: VIP[family], port: 86, pool: 'six' }),
    vip(`gue-${family}`, { address: VIP[family], port: 87, pool: 'gue' }),
    // A real at the end of a tunnel that ends here is this host.
    vip(`own-${family}`, { address: VIP[family], port: 88, pool: 'own' }),
  ]),
);

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(state, { tunnels });
});

afterAll(() => tracer[Symbol.dispose]());

type Kind = 'ip' | 'gue';

/** Enough of them that the next outer header has as many as any. */
const MANY_HOPS = 200;

function tunnelled(
  inner: Uint8Array,
  family: 4 | 6,
  kind: Kind,
  to: string = END[family],
  header: object = {},
): Uint8Array {
  const version = (inner[0] ?? 0) >> 4;
  const segment =
    kind === 'ip' ? rawSegment(version === 4 ? 4 : 41, inner) : udp({ from: 50_000, to: GUE_PORT, payload: inner });
  return packet(to, segment, { from: PEER[family], ttl: MANY_HOPS, hopLimit: MANY_HOPS, ...header });
}

const ways = families.flatMap((inner) =>
  families.flatMap((outer) => (['ip', 'gue'] as const).map((kind) => ({ inner, outer, kind }))),
);
const tagStacks = [
  [],
  [[0x8100, 0x2007]],
  [
    [0x88a8, 0x0001],
    [0x8100, 0xe002],
  ],
] as const;

describe.each(ways)('IPv$inner in $kind over IPv$outer', ({ inner, outer, kind }) => {
  const whole = packet(VIP[inner], tcp({ from: 4000, to: 84, payload: Uint8Array.of(1, 2, 3) }));

  it.each([84, 86, 87])('is opened and sent as if it had come by itself, to port %i', (port) => {
    for (const tags of tagStacks)
      for (const payload of [new Uint8Array(), new Uint8Array(301).fill(7)]) {
        const packetInside = packet(VIP[inner], tcp({ from: 4000, to: port, payload }), {
          tos: 0x2e,
          trafficClass: 0x2e,
        });
        const direct = tracer.trace(framed(packetInside, { tags }));
        const opened = tracer.trace(framed(tunnelled(packetInside, outer, kind), { tags }));
        expect(opened).toMatchObject({ action: 'TX', reason: 'forwarded', real: direct.real, events: ['opened'] });
        expect(Buffer.from(opened.frame ?? [])).toEqual(Buffer.from(direct.frame ?? []));
      }
  });

  it('loses the padding behind the outer packet, and keeps that within it', () => {
    const padding = new Uint8Array(9).fill(0xa5);
    const without = tracer.trace(framed(whole)).frame ?? [];
    const behind = tracer.trace(Buffer.concat([framed(tunnelled(whole, outer, kind)), padding]));
    expect(Buffer.from(behind.frame ?? [])).toEqual(Buffer.from(without));
    const within = tracer.trace(framed(tunnelled(Buffer.concat([whole, padding]), outer, kind)));
    expect(Buffer.from(within.frame ?? [])).toEqual(Buffer.concat([Buffer.from(without), padding]));
  });

  it('that says it is longer than the outer packet is dropped, though the frame has more', () => {
    const longer = Buffer.from(whole);
    longer.writeUInt16BE(longer.readUInt16BE(inner === 4 ? 2 : 4) + 5, inner === 4 ? 2 : 4);
    const frame = Buffer.concat([framed(tunnelled(longer, outer, kind)), new Uint8Array(20)]);
    expect(tracer.trace(frame)).toMatchObject({ action: 'DROP', reason: 'malformed', events: ['opened'] });
  });

  it.each([
    [255, 64],
    [65, 64],
    [64, 63],
    [33, 32],
    [2, 1],
  ])('with %i hops left has %i in its next outer header', (hops, next) => {
    for (const port of [84, 86]) {
      const packetInside = packet(VIP[inner], tcp({ from: 4000, to: port }));
      const { frame } = tracer.trace(
        framed(tunnelled(packetInside, outer, kind, END[outer], { ttl: hops, hopLimit: hops })),
      );
      const { payload } = parseEthernet(frame ?? new Uint8Array());
      const left = port === 84 ? parseIpv4(payload).ttl : parseIpv6(payload).hopLimit;
      expect(left).toBe(next);
      expect(Buffer.from(inside(payload).bytes)).toEqual(Buffer.from(packetInside));
    }
  });

  it.each([0, 1])('with %i hops left goes to no real but one that is this host', (hops) => {
    const header = { ttl: hops, hopLimit: hops };
    for (const port of [84, 86, 87]) {
      const frame = framed(tunnelled(packet(VIP[inner], tcp({ from: 1, to: port })), outer, kind, END[outer], header));
      expect(tracer.trace(frame)).toMatchObject({ action: 'DROP', reason: 'expired', events: ['opened'] });
    }
    const local = framed(tunnelled(packet(VIP[inner], tcp({ from: 1, to: 88 })), outer, kind, END[outer], header));
    expect(tracer.trace(local)).toMatchObject({ action: 'PASS', reason: 'local_real', events: ['opened'] });
  });

  it('goes up to the host opened when it is for nobody here', () => {
    const stranger = packet(OTHER[inner], tcp({ from: 1, to: 84 }));
    for (const tags of tagStacks) {
      const traced = tracer.trace(framed(tunnelled(stranger, outer, kind), { tags }));
      expect(traced).toMatchObject({ action: 'PASS', reason: 'not_vip', events: ['opened'] });
      expect(Buffer.from(traced.frame ?? [])).toEqual(Buffer.from(framed(stranger, { tags })));
    }
  });

  it('is dropped when it is shorter than its fixed header, or of another version', () => {
    const fixed = inner === 4 ? 20 : 40;
    for (let length = 1; length < fixed; length++) {
      const cut = tunnelled(whole.subarray(0, length), outer, kind);
      expect(tracer.trace(framed(cut, { padTo: 140 }))).toMatchObject({
        action: 'DROP',
        reason: 'malformed',
        events: null,
      });
    }
    for (let version = 0; version < 16; version++) {
      if (version === inner || (kind === 'gue' && [4, 6].includes(version))) continue;
      const segment = kind === 'ip' ? rawSegment(inner === 4 ? 4 : 41, whole.with(0, version << 4)) : null;
      const other =
        segment === null
          ? tunnelled(whole.with(0, version << 4), outer, kind)
          : packet(END[outer], segment, { from: PEER[outer] });
      expect(tracer.trace(framed(other))).toMatchObject({ action: 'DROP', reason: 'malformed', events: null });
    }
  });

  it('inside another tunnel to this host is dropped', () => {
    for (const family of families)
      for (const again of ['ip', 'gue'] as const) {
        const nested = tunnelled(tunnelled(whole, outer, kind), family, again);
        expect(tracer.trace(framed(nested))).toMatchObject({ action: 'DROP', reason: 'nested', events: ['opened'] });
      }
  });

  it('inside another tunnel to this host is not opened, and not counted as such', async () => {
    using bench = await ProgramBench.load();
    await bench.converge(target({}, {}, {}, { tunnels }));
    bench.send(framed(tunnelled(tunnelled(whole, outer, kind), 4, 'ip')));
    expect(readEvents(bench.store).opened).toBe(1n);
    bench.send(framed(tunnelled(whole, outer, kind)));
    expect(readEvents(bench.store).opened).toBe(2n);
  });

  it('to another host passes as it came', () => {
    const frame = framed(tunnelled(whole, outer, kind, OTHER[outer]));
    const traced = tracer.trace(frame);
    expect(traced).toMatchObject({ action: 'PASS', reason: 'not_vip', events: null });
    expect(Buffer.from(traced.frame ?? [])).toEqual(Buffer.from(frame));
  });

  it('in fragments, or with options, is dropped', () => {
    const bytes = kind === 'ip' ? whole : udp({ from: 50_000, to: GUE_PORT, payload: whole }).bytes;
    const protocol = kind === 'gue' ? 17 : inner === 4 ? 4 : 41;
    const extensions = [{ type: 44, bytes: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 9) }];
    const part = packet(END[outer], rawSegment(protocol, bytes), {
      from: PEER[outer],
      extensions,
      moreFragments: true,
    });
    expect(tracer.trace(framed(part))).toMatchObject({ action: 'DROP', reason: 'fragment' });
    if (outer === 6) return;
    const withOptions = tunnelled(whole, 4, kind, END[4], { options: new Uint8Array(4).fill(1) });
    expect(tracer.trace(framed(withOptions))).toMatchObject({ action: 'DROP', reason: 'ip_options' });
  });

  it('longer than the frame is dropped', () => {
    const frame = framed(tunnelled(whole, outer, kind));
    expect(tracer.trace(frame.subarray(0, -1))).toMatchObject({ action: 'DROP', reason: 'malformed', events: null });
  });
});

describe('the end of a tunnel', () => {
  it('wants IPv4 in protocol 4 and IPv6 in 41', () => {
    for (const [protocol, family] of [
      [4, 6],
      [41, 4],
    ] as const) {
      const inner = packet(VIP[family], tcp({ from: 1, to: 84 }));
      const sent = tracer.trace(framed(packet(END[4], rawSegment(protocol, inner))));
      expect(sent).toMatchObject({ action: 'DROP', reason: 'malformed', events: null });
    }
  });

  it('opens packets behind extension headers, and whatever their checksum says', () => {
    const inner = packet(VIP[4], tcp({ from: 1, to: 84 }));
    const extensions = [{ type: 60, bytes: new Uint8Array(16).with(1, 1) }];
    for (const kind of ['ip', 'gue'] as const)
      expect(tracer.trace(framed(tunnelled(inner, 6, kind, END[6], { extensions }))).events).toEqual(['opened']);
    const bare = { ...udp({ from: 1, to: GUE_PORT, payload: inner }), checksumAt: null };
    expect(tracer.trace(framed(packet(END[6], bare))).events).toEqual(['opened']);
  });

  it('opens an echo request, which is answered in clear', () => {
    const inner = packet(VIP[4], icmp(8, Uint8Array.of(1)));
    const traced = tracer.trace(framed(tunnelled(inner, 6, 'ip')));
    expect(traced).toMatchObject({ action: 'TX', reason: 'echo_answered', events: ['opened'] });
    const { type, payload, to } = parseEthernet(traced.frame ?? new Uint8Array());
    expect([type, to]).toEqual([etherTypes.ipv4, '02:00:00:00:00:09']);
    const answer = packet(clients[4], icmp(0, Uint8Array.of(1)), { from: VIP[4], ttl: 64 });
    expect(Buffer.from(payload)).toEqual(Buffer.from(answer));
  });

  it('passes UDP of other ports, TCP and ICMP', () => {
    const port = (to: number) =>
      packet(END[4], udp({ from: 1, to, payload: packet(VIP[4], tcp({ from: 1, to: 84 })) }));
    for (const bytes of [port(6080), port(0), packet(END[4], tcp({ from: 1, to: GUE_PORT })), packet(END[4], icmp(8))])
      expect(tracer.trace(framed(bytes))).toMatchObject({ action: 'PASS', reason: 'not_vip', events: null });
  });

  it('may lie at the end of a forwarded packet’s own tunnel: what this program sends, it can open', () => {
    const inner = packet(VIP[4], tcp({ from: 1, to: 87 }));
    const sent = parseEthernet(tracer.trace(framed(inner)).frame ?? new Uint8Array()).payload;
    const { bytes } = inside(sent);
    const again = packet(END[6], udp({ from: 49_152, to: GUE_PORT, payload: bytes.subarray(8) }));
    expect(tracer.trace(framed(again))).toMatchObject({ reason: 'forwarded', events: ['opened'] });
  });

  it('is judged by the MTU without its own outer header', async () => {
    const inner = packet(VIP[4], tcp({ from: 1, to: 84, payload: new Uint8Array(1440) }));
    expect(tracer.trace(framed(tunnelled(inner, 6, 'gue'))).reason).toBe('forwarded');
    const more = packet(VIP[4], tcp({ from: 1, to: 84, payload: new Uint8Array(1441) }));
    const told = tracer.trace(framed(tunnelled(more, 6, 'gue')));
    expect(told).toMatchObject({ reason: 'too_big_answered', events: ['opened'] });
    expect(Buffer.from(told.frame ?? [])).toEqual(Buffer.from(tracer.trace(framed(more)).frame ?? []));
    expect(parseEthernet(told.frame ?? new Uint8Array()).from).toBe(host.ownMac);
  });
});
