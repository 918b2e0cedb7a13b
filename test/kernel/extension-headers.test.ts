import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import type { Extension } from '../support/frames.ts';
import { icmp6, parseEthernet, rawSegment, tcp, udp } from '../support/frames.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { framed, inside, packet, tracerOf } from '../support/packets.ts';

/** IPv6 extension headers before what a packet carries (RFC 8200, section 4; RFC 4302; RFC 6946). */

const VIP = '2001:db8:ffff::10';
const OTHER = '2001:db8:ffff::99';
const reals = Array.from({ length: 16 }, (_, i) => `10.0.0.${i + 1}`);
const state = snapshot(
  [pool('web', reals)],
  [
    vip('web', { address: VIP, port: 443, flowCache: false }),
    vip('dns', { address: VIP, port: 53, protocol: 'udp', flowCache: false }),
  ],
);

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(state);
});

afterAll(() => tracer[Symbol.dispose]());

/** @param units of 8 bytes after the first 8 */
const plain = (type: number, units = 0): Extension => ({
  type,
  bytes: new Uint8Array(8 + 8 * units).fill(0xff).with(1, units),
});
/** @param units of 4 bytes after the first 8 */
const authentication = (units: number): Extension => ({
  type: 51,
  bytes: new Uint8Array(8 + 4 * units).fill(0xff).with(1, units),
});
/** @param reserved the byte after the next header, which an extension header has its length in */
const fragment = (offset: number, more: boolean, reserved = 0): Extension => ({
  type: 44,
  bytes: Uint8Array.of(0, reserved, offset >> 5, ((offset << 3) & 0xff) | (more ? 1 : 0), 1, 2, 3, 4),
});

const web = tcp({ from: 4000, to: 443, payload: new Uint8Array(20) });
const frameWith = (extensions: readonly Extension[], to = VIP, segment = web) =>
  framed(packet(to, segment, { extensions }));

const dropped = { action: 'DROP', reason: 'malformed' };

describe('a chain of extension headers', () => {
  const chains: [string, Extension[]][] = [
    ['one of each', [plain(0), plain(60, 2), plain(43, 1), authentication(4), fragment(0, false), plain(60)]],
    ['six times the same', Array.from({ length: 6 }, () => plain(60))],
    ['512 bytes in one', [plain(60, 63)]],
    ['512 bytes in six', [plain(0, 9), plain(60, 9), plain(43, 9), plain(60, 9), plain(60, 9), plain(60, 13)]],
    ['authentication of the shortest length', [authentication(0)]],
    ['authentication that ends between multiples of eight', [authentication(1), authentication(3)]],
    ['an atomic fragment', [fragment(0, false)]],
    ['an atomic fragment with something in its reserved byte', [fragment(0, false, 255)]],
    ['an atomic fragment before others', [fragment(0, false), plain(60, 1)]],
  ];

  it.each(chains)('is walked to its end, and is no part of the flow: %s', (_what, chain) => {
    for (const segment of [web, udp({ from: 4000, to: 53 }), tcp({ from: 1, to: 443 })]) {
      const bare = tracer.trace(frameWith([], VIP, segment));
      const sent = tracer.trace(frameWith(chain, VIP, segment));
      expect(sent).toMatchObject({ action: 'TX', real: bare.real, slot: bare.slot, path: 'ring' });
      const left = inside(parseEthernet(sent.frame ?? new Uint8Array()).payload);
      expect(Buffer.from(left.bytes)).toEqual(Buffer.from(packet(VIP, segment, { extensions: chain })));
    }
  });

  it.each(chains)('has no echo request behind it answered: %s', (_what, chain) => {
    const frame = frameWith(chain, VIP, icmp6(128, Uint8Array.of(1, 2, 3), { rest: 5 }));
    const traced = tracer.trace(frame);
    expect(traced).toMatchObject({ action: 'PASS', reason: 'icmp_other' });
    expect(Buffer.from(traced.frame ?? [])).toEqual(Buffer.from(frame));
  });

  it.each<[string, Extension[]]>([
    ['seven', Array.from({ length: 7 }, () => plain(60))],
    ['520 bytes in one', [plain(60, 64)]],
    ['520 bytes in two', [plain(60, 31), plain(43, 32)]],
    ['516 bytes', [plain(60, 61), authentication(3)]],
    ['the longest header', [plain(60, 255)]],
    ['a fragment after six', [...Array.from({ length: 6 }, () => plain(60)), fragment(5, true)]],
  ])('is too long: %s', (_what, chain) => {
    expect(tracer.trace(frameWith(chain))).toMatchObject(dropped);
    expect(tracer.trace(frameWith(chain, OTHER))).toMatchObject({ action: 'PASS', reason: 'not_vip' });
  });

  it('that is not whole within the frame is dropped for a VIP, and passed for others', () => {
    for (const chain of [[plain(60, 3)], [plain(0), authentication(4)], [plain(60), fragment(0, false)]]) {
      const length = chain.reduce((sum, { bytes }) => sum + bytes.length, 0);
      for (const to of [VIP, OTHER]) {
        const frame = frameWith(chain, to);
        for (let cut = 54; cut < 54 + length; cut++)
          expect(tracer.trace(frame.subarray(0, cut))).toMatchObject(
            to === VIP ? dropped : { action: 'PASS', reason: 'not_vip' },
          );
      }
    }
  });

  it('that reaches beyond the packet by its own length is dropped, though the frame is long enough', () => {
    for (let length = 0; length < 8 + 20; length++) {
      const bytes = packet(VIP, web, { extensions: [plain(60)], length });
      expect(tracer.trace(framed(bytes, { padTo: 200 }))).toMatchObject(dropped);
    }
    const least = packet(VIP, web, { extensions: [plain(60)], length: 28 });
    expect(tracer.trace(framed(least, { padTo: 200 })).reason).toBe('forwarded');
  });
});

describe('a fragment header', () => {
  it.each([
    [0, true],
    [1, false],
    [1, true],
    [0x1fff, false],
  ])('with offset %i and more fragments %s makes a fragment, which is dropped', (offset, more) => {
    for (const chain of [[fragment(offset, more)], [plain(0), plain(60, 2), fragment(offset, more)]]) {
      expect(tracer.trace(frameWith(chain))).toMatchObject({ action: 'DROP', reason: 'fragment' });
      expect(tracer.trace(frameWith(chain, OTHER))).toMatchObject({ action: 'PASS', reason: 'not_vip' });
    }
  });

  it('with any one bit of its offset makes one', () => {
    for (let offset = 1; offset < 0x2000; offset *= 2)
      expect(tracer.trace(frameWith([fragment(offset, false)]))).toMatchObject({ action: 'DROP', reason: 'fragment' });
  });

  it('with nothing but its reserved bits set makes none', () => {
    for (const bits of [2, 4, 6]) {
      const { type, bytes } = fragment(0, false);
      expect(tracer.trace(frameWith([{ type, bytes: bytes.with(3, bits) }]))).toMatchObject({ action: 'TX' });
    }
  });
});

describe('what is no extension header', () => {
  it.each([50, 59, 132, 135, 139, 140, 253])('ends the chain: %i', (protocol) => {
    const frame = frameWith([plain(60)], VIP, rawSegment(protocol, new Uint8Array(40)));
    expect(tracer.trace(frame)).toMatchObject({ action: 'PASS', reason: 'not_vip' });
  });
});
