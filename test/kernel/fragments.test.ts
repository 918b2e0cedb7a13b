import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import { icmp, icmp6, parseEthernet, rawSegment, tcp, tcpFlags, udp } from '../support/frames.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { clients, type Family, framed, inside, packet, tracerOf } from '../support/packets.ts';

/** Fragments: dropped for VIPs, unless the only VIP of an address and protocol takes them. */

const families = [4, 6] as const;
const at = (last: number) => ({ 4: `192.0.2.${last}`, 6: `2001:db8:ffff::${last}` }) as const;
/** Takes fragments of UDP and, on one port, of TCP. */
const TAKES = at(10);
const DROPS = at(11);
/** Two VIPs of UDP, of which one would take fragments. */
const TWO = at(12);
const OTHER = at(99);
const reals = Array.from({ length: 16 }, (_, i) => `10.0.0.${i + 1}`);

const state = snapshot(
  [pool('web', reals)],
  families.flatMap((family) => [
    vip(`udp-${family}`, { address: TAKES[family], port: 0, protocol: 'udp', fragments: 'hash' }),
    vip(`tcp-${family}`, { address: TAKES[family], port: 443, fragments: 'hash' }),
    vip(`drops-${family}`, { address: DROPS[family], port: 0, protocol: 'udp' }),
    vip(`one-${family}`, { address: TWO[family], port: 53, protocol: 'udp', fragments: 'hash' }),
    vip(`two-${family}`, { address: TWO[family], port: 54, protocol: 'udp' }),
  ]),
);

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(state);
});

afterAll(() => tracer[Symbol.dispose]());

interface Part {
  /** In units of 8 bytes. */
  readonly offset: number;
  readonly more: boolean;
}

function part(to: string, bytes: Uint8Array, { offset, more }: Part, protocol = 17, from?: string): Uint8Array {
  const extensions = [
    { type: 44, bytes: Uint8Array.of(0, 0, offset >> 5, ((offset << 3) & 0xff) | (more ? 1 : 0), 0, 0, 0, 9) },
  ];
  const header = { moreFragments: more, fragmentOffset: offset, dontFragment: false, extensions };
  return packet(to, rawSegment(protocol, bytes), from === undefined ? header : { ...header, from });
}

const first: Part = { offset: 0, more: true };
const middle: Part = { offset: 185, more: true };
const last: Part = { offset: 0x1fff, more: false };
const parts = [first, middle, last];
const source = (family: Family, n: number) => (family === 4 ? `198.51.100.${n}` : `2001:db8:c::${n}`);

describe.each(families)('over IPv%i', (family) => {
  it('all fragments of a packet, and what is not fragmented, go to the same real, whichever comes first', () => {
    for (let n = 1; n <= 100; n++) {
      const from = source(family, n);
      const bytes = udp({ from: 1000 + n, to: 53, payload: new Uint8Array(32) }).bytes;
      const frames = [
        ...parts.map((one) => part(TAKES[family], bytes, one, 17, from)),
        packet(TAKES[family], udp({ from: 1000 + n, to: 53 }), { from }),
        packet(TAKES[family], udp({ from: 7, to: 99 }), { from }),
      ];
      const turned = [...frames.slice(n % frames.length), ...frames.slice(0, n % frames.length)];
      const sent = turned.map((one) => tracer.trace(framed(one)));
      expect(new Set(sent.map(({ real }) => real)).size).toBe(1);
      expect(sent.map(({ path }) => path)).toEqual(['ring', 'cache', 'cache', 'cache', 'cache']);
    }
  });

  it('different pairs of addresses go to different reals', () => {
    const chosen = Array.from({ length: 200 }, (_, n) =>
      tracer.trace(framed(part(TAKES[family], new Uint8Array(16), middle, 17, source(family, n + 1)))),
    );
    expect(new Set(chosen.map(({ real }) => real)).size).toBe(reals.length);
  });

  it('protocols are flows of their own', () => {
    const slot = (protocol: number) =>
      tracer.trace(framed(part(TAKES[family], new Uint8Array(24), middle, protocol, source(family, 250)))).slot;
    expect(slot(6)).not.toBe(slot(17));
  });

  it('fragments go to a VIP of one port, whose port they do not name', () => {
    const bytes = tcp({ from: 1, to: 444, payload: new Uint8Array(4) }).bytes;
    for (const one of parts)
      expect(tracer.trace(framed(part(TAKES[family], bytes, one, 6)))).toMatchObject({
        action: 'TX',
        vip: `tcp-${family}`,
      });
    const whole = packet(TAKES[family], tcp({ from: 1, to: 444 }));
    expect(tracer.trace(framed(whole))).toMatchObject({ action: 'PASS', reason: 'not_vip' });
  });

  it('a fragment may be as short as it likes', () => {
    for (let length = 0; length < 20; length++)
      expect(tracer.trace(framed(part(TAKES[family], new Uint8Array(length), last), { padTo: 80 }))).toMatchObject({
        action: 'TX',
        reason: 'forwarded',
      });
  });

  it('a fragment is sent as it is', () => {
    const inner = part(
      TAKES[family],
      Uint8Array.from({ length: 40 }, (_, i) => i),
      middle,
    );
    const { frame } = tracer.trace(framed(inner));
    const { bytes } = inside(parseEthernet(frame ?? new Uint8Array()).payload);
    expect(Buffer.from(bytes)).toEqual(Buffer.from(inner));
  });

  it('a SYN to such a VIP is no new flow: its fragments would not know', () => {
    const from = source(family, 251);
    const syn = packet(TAKES[family], tcp({ from: 1, to: 443, flags: tcpFlags.syn }), { from });
    expect([0, 1].map(() => tracer.trace(framed(syn)).path)).toEqual(['ring', 'cache']);
  });

  it('fragments are dropped for a VIP that takes none, and where there are two VIPs', () => {
    for (const one of parts)
      for (const to of [DROPS[family], TWO[family]])
        expect(tracer.trace(framed(part(to, new Uint8Array(40), one)))).toMatchObject({
          action: 'DROP',
          reason: 'fragment',
        });
  });

  it('fragments of ICMP are dropped for every VIP’s address', () => {
    const echo = family === 4 ? icmp(8) : icmp6(128);
    for (const to of [TAKES[family], DROPS[family]])
      expect(tracer.trace(framed(part(to, echo.bytes, first, echo.protocol)))).toMatchObject({
        action: 'DROP',
        reason: 'fragment',
      });
  });

  it('fragments of other addresses and protocols pass untouched', () => {
    for (const one of parts)
      for (const bytes of [
        part(OTHER[family], new Uint8Array(40), one),
        part(DROPS[family], new Uint8Array(40), one, 6),
        part(TAKES[family], new Uint8Array(40), one, 132),
      ]) {
        const frame = framed(bytes);
        const traced = tracer.trace(frame);
        expect(traced).toMatchObject({ action: 'PASS', reason: 'not_vip' });
        expect(Buffer.from(traced.frame ?? [])).toEqual(Buffer.from(frame));
      }
  });
});

describe('over IPv4', () => {
  it('fragments with options are dropped, where fragments are taken and where not', () => {
    const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0);
    const sent = (to: string) =>
      tracer.trace(framed(packet(to, rawSegment(17, new Uint8Array(40)), { moreFragments: true, options })));
    expect(sent(TAKES[4])).toMatchObject({ action: 'DROP', reason: 'ip_options' });
    expect(sent(DROPS[4])).toMatchObject({ action: 'DROP', reason: 'fragment' });
    expect(sent(OTHER[4])).toMatchObject({ action: 'PASS', reason: 'not_vip' });
  });

  it('the reserved bit and DF make no fragment', () => {
    const frame = Buffer.from(framed(packet(DROPS[4], udp({ from: 1, to: 53 }), { from: clients[4] })));
    for (const flags of [0x0000, 0x4000, 0x8000, 0xc000]) {
      frame.writeUInt16BE(flags, 20);
      expect(tracer.trace(frame)).toMatchObject({ action: 'TX', reason: 'forwarded' });
    }
  });
});
