import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import { icmp, icmp6, rawSegment, tcp, udp } from '../support/frames.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { clients, type Family, framed, packet, tracerOf } from '../support/packets.ts';

/** A VIP’s prefix takes no address of the LB itself, nor the gateway’s: SSH, etcd and BGP of all LBs go on. */

const families = [4, 6] as const;
const OWN = { 4: '10.0.0.2', 6: '2001:db8::2' } as const;
const GATEWAY = { 4: '10.0.0.1', 6: '2001:db8::1' } as const;
/** Own ones as well: a tunnel’s end, and one that a VIP has by itself. */
const END = { 4: '10.0.0.3', 6: '2001:db8::3' } as const;
const NAMED = { 4: '10.0.0.4', 6: '2001:db8::4' } as const;
const OTHER = { 4: '10.0.0.5', 6: '2001:db8::5' } as const;
const own = new Set([...families.flatMap((family) => [OWN, GATEWAY, END, NAMED].map((of) => of[family])), '192.0.2.1']);
const tunnels = families.map((family) => ({ address: END[family], guePort: 6080 }));

const state = snapshot(
  [pool('web', ['172.20.0.1'])],
  families.flatMap((family) => {
    const prefix = family === 4 ? '10.0.0.0/8' : '2001:db8::/32';
    return [
      vip(`tcp-${family}`, { address: prefix, port: 0 }),
      vip(`udp-${family}`, { address: prefix, port: 0, protocol: 'udp', fragments: 'hash' }),
      vip(`named-${family}`, { address: NAMED[family], port: 443 }),
    ];
  }),
);

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(state, { own, tunnels });
});

afterAll(() => tracer[Symbol.dispose]());

const reasonOf = (bytes: Uint8Array): string | null => tracer.trace(framed(bytes)).reason;
const echo = (family: Family) => (family === 4 ? icmp(8) : icmp6(128));
const fragment = (to: string, family: Family): Uint8Array => {
  if (family === 4) return packet(to, udp({ from: 1, to: 53 }), { dontFragment: false, moreFragments: true });
  const header = Uint8Array.of(17, 0, 0, 1, 0, 0, 0, 7);
  return packet(to, rawSegment(44, Buffer.concat([header, Buffer.alloc(16)])));
};

describe.each(families)('an own address of IPv%i in the prefix of a VIP', (family) => {
  const packets = (to: string): readonly (readonly [what: string, Uint8Array])[] => [
    ['a new connection', packet(to, tcp({ from: 40_000, to: 22, flags: 2 }))],
    ['TCP', packet(to, tcp({ from: 40_000, to: 179, flags: 16 }))],
    ['UDP', packet(to, udp({ from: 40_000, to: 53 }))],
    ['an echo request', packet(to, echo(family))],
    ['a fragment', fragment(to, family)],
    ['an incomplete header', packet(to, rawSegment(6, new Uint8Array(12)))],
    [
      'an error about a connection of its own',
      packet(
        to,
        (family === 4 ? icmp : icmp6)(
          family === 4 ? 3 : 1,
          Buffer.concat([packet(clients[family], tcp({ from: 40_000, to: 2379 }), { from: to })]),
        ),
      ),
    ],
    ['IPv4 in a tunnel', packet(to, rawSegment(4, packet(OTHER[4], tcp({ from: 1, to: 80 }))))],
  ];

  it.each(packets(OWN[family]))('is passed to the host: %s', (_what, bytes) => {
    const traced = tracer.trace(framed(bytes));
    expect(traced).toMatchObject({ action: 'PASS', reason: 'not_vip', vip: null });
    expect(Buffer.from(traced.frame ?? [])).toEqual(Buffer.from(framed(bytes)));
  });

  it.each(packets(GATEWAY[family]))('is passed to the gateway: %s', (_what, bytes) => {
    expect(reasonOf(bytes)).toBe('not_vip');
  });

  it('leaves every other address to the VIP', () => {
    expect(reasonOf(packet(OTHER[family], tcp({ from: 1, to: 22 })))).toBe('forwarded');
    expect(reasonOf(packet(OTHER[family], udp({ from: 1, to: 53 })))).toBe('forwarded');
    expect(reasonOf(packet(OTHER[family], echo(family)))).toBe('echo_answered');
    expect(reasonOf(fragment(OTHER[family], family))).toBe('forwarded');
  });

  it('is the VIP’s that has it by itself, with all that it inherits', () => {
    expect(tracer.trace(framed(packet(NAMED[family], tcp({ from: 1, to: 443 })))).vip).toBe(`named-${family}`);
    expect(tracer.trace(framed(packet(NAMED[family], tcp({ from: 1, to: 22 })))).vip).toBe(`tcp-${family}`);
    expect(reasonOf(packet(NAMED[family], echo(family)))).toBe('echo_answered');
  });

  it('can be the end of a tunnel, in which is what VIPs get', () => {
    const inner = packet(OTHER[family], tcp({ from: 1, to: 80 }));
    for (const bytes of [
      packet(END[family], rawSegment(family === 4 ? 4 : 41, inner)),
      packet(END[family], udp({ from: 1, to: 6080, payload: inner })),
    ])
      expect(tracer.trace(framed(bytes))).toMatchObject({ reason: 'forwarded', events: ['opened'] });
    expect(reasonOf(packet(END[family], tcp({ from: 1, to: 22 })))).toBe('not_vip');
    expect(reasonOf(packet(END[family], udp({ from: 1, to: 53 })))).toBe('not_vip');
    expect(reasonOf(packet(END[family], echo(family)))).toBe('not_vip');
    const toOwn = packet(OWN[family], tcp({ from: 1, to: 22 }));
    const opened = tracer.trace(framed(packet(END[family], rawSegment(family === 4 ? 4 : 41, toOwn))));
    expect(opened).toMatchObject({ action: 'PASS', reason: 'not_vip', events: ['opened'] });
  });
});
