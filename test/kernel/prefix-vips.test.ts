import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes } from '../../src/core/address.ts';
import type { Vip } from '../../src/core/model.ts';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import { Random } from '../fuzz/random.ts';
import { icmp, icmp6, tcp, tcpFlags, udp } from '../support/frames.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { framed, packet, tracerOf } from '../support/packets.ts';

/** VIPs that are prefixes: the longest that matches takes the packet, and of equal ones that with the exact port. */

type Entry = readonly [address: string, port: number, fields?: Partial<Vip>];

const entries: readonly Entry[] = [
  ['198.18.0.0/15', 0],
  ['198.18.0.0/15', 80],
  ['198.18.0.0/16', 443],
  ['198.18.128.0/17', 0],
  ['198.18.7.0/24', 80],
  ['198.18.7.128/25', 443],
  ['198.18.7.129', 80],
  ['198.18.7.130', 0],
  ['198.18.7.131', 443],
  ['198.18.7.131', 0],
  ['198.18.8.0/24', 53, { protocol: 'udp' }],
  ['198.18.8.9', 80, { protocol: 'udp' }],
  ['198.18.9.0/24', 80, { icmpEcho: false }],
  ['2001:db8:e::/47', 0],
  ['2001:db8:e::/48', 443],
  ['2001:db8:e:1::/64', 80],
  ['2001:db8:e:1:8000::/65', 0],
  ['2001:db8:e:1::/127', 443],
  ['2001:db8:e:1::1', 443],
  ['2001:db8:f::/48', 53, { protocol: 'udp' }],
];

const vips = entries.map(([address, port, fields = {}]) => vip(`${address} ${port}`, { address, port, ...fields }));

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(snapshot([pool('web', ['10.0.0.1'])], vips));
});

afterAll(() => tracer[Symbol.dispose]());

function matches(prefix: string, address: string): number {
  const [start = '', text] = prefix.split('/');
  const [wanted, bytes] = [addressBytes(start), addressBytes(address)];
  const length = text === undefined ? 8 * wanted.length : Number(text);
  if (wanted.length !== bytes.length) return -1;
  for (let bit = 0; bit < length; bit++)
    if (((wanted[bit >> 3]! ^ bytes[bit >> 3]!) & (0x80 >> (bit & 7))) !== 0) return -1;
  return length;
}

/** Name of the VIP that has to take the packet. */
function taker(address: string, protocol: 'tcp' | 'udp', port: number): string | null {
  const rank = (one: Vip): number => 2 * matches(one.address, address) + (one.port === 0 ? 0 : 1);
  const [best] = vips
    .filter((one) => one.protocol === protocol && (one.port === port || one.port === 0))
    .filter((one) => matches(one.address, address) >= 0)
    .sort((a, b) => rank(b) - rank(a));
  return best?.name ?? null;
}

const random = new Random(7);

/** The edges of every prefix, what lies beyond them, and some within. */
const addresses = new Set(
  entries.flatMap(([prefix]) => {
    const [start = '', text] = prefix.split('/');
    const bytes = addressBytes(start);
    const length = text === undefined ? 8 * bytes.length : Number(text);
    const mask = bytes.map((_, i) => 0xff00 >> Math.min(8, Math.max(0, length - 8 * i)));
    const fill = (filler: Uint8Array) => bytes.map((byte, i) => byte | (filler[i]! & ~mask[i]! & 0xff));
    const last = fill(new Uint8Array(bytes.length).fill(0xff));
    const within = Array.from({ length: 12 }, () => fill(random.bytes(bytes.length)));
    const beyond = [bytes, last].map((edge) => {
      const step = edge === last ? 1n : -1n;
      const width = 8 * bytes.length;
      const number = BigInt.asUintN(width, BigInt(`0x${Buffer.from(edge).toString('hex')}`) + step);
      return Buffer.from(number.toString(16).padStart(width / 4, '0'), 'hex');
    });
    return [bytes, last, ...within, ...beyond].map((one) => addressFromBytes(one));
  }),
);

describe('a packet to an address of prefixes', () => {
  it.each(['tcp', 'udp'] as const)('goes to the VIP of the longest one, then of the exact port: %s', (protocol) => {
    const takers = new Set<string | null>();
    for (const address of addresses)
      for (const port of [80, 443, 53, 1, 65_535, 0]) {
        const segment =
          protocol === 'tcp' ? tcp({ from: 1, to: port, flags: tcpFlags.syn }) : udp({ from: 1, to: port });
        const traced = tracer.trace(framed(packet(address, segment)));
        const expected = taker(address, protocol, port);
        takers.add(expected);
        expect([address, port, traced.vip, traced.reason]).toEqual([
          ...[address, port, expected],
          expected === null ? 'not_vip' : 'forwarded',
        ]);
      }
    expect(takers.size).toBe(vips.filter((one) => one.protocol === protocol).length + 1);
  });

  it('has its echo request answered, unless a VIP of the address says no', () => {
    for (const address of addresses) {
      const here = vips.filter((one) => matches(one.address, address) >= 0);
      const expected =
        here.length === 0 ? 'not_vip' : here.every((one) => one.icmpEcho) ? 'echo_answered' : 'icmp_other';
      const segment = address.includes(':') ? icmp6() : icmp();
      expect([address, tracer.trace(framed(packet(address, segment))).reason]).toEqual([address, expected]);
    }
  });
});
