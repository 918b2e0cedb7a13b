import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes } from '../../src/core/address.ts';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import { Random } from '../fuzz/random.ts';
import { tcp, tcpFlags } from '../support/frames.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { framed, packet, tracerOf } from '../support/packets.ts';

/** Ten thousand prefixes of clients: the longest one that the source is in names the pool, as a plain search says. */

const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const PREFIXES = 5_000;
const POOLS = 40;
const PROBES = 5_000;

interface Range {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly pool: string;
}

const random = new Random(20_260_807);

/** Cleared from bit `length` on. */
function masked(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))));
}

function contains({ bytes, length }: Range, address: Uint8Array): boolean {
  return Buffer.compare(masked(address, length), bytes) === 0;
}

/** Prefixes of all lengths, many of them within others, and 0 among them. @param size bytes of an address */
function rangesOf(size: number): Range[] {
  const found = new Map<string, Range>();
  const add = (bytes: Uint8Array, length: number): void => {
    const start = masked(bytes, length);
    const range = { bytes: start, length, pool: `pool-${random.below(POOLS)}` };
    found.set(`${addressFromBytes(start)}/${length}`, range);
  };
  add(new Uint8Array(size), 0);
  while (found.size < PREFIXES) {
    const bytes = random.bytes(size);
    // Few first bytes, so that they meet.
    bytes[0] = random.pick([20, 21, 0x20, 0x2a]);
    bytes[1] = random.below(4);
    for (let length = random.between(1, 8 * size); length <= 8 * size; length += random.between(1, size * 3))
      add(bytes, length);
  }
  return [...found.values()].slice(0, PREFIXES);
}

const ranges = { 4: rangesOf(4), 6: rangesOf(16) } as const;
const prefixOf = ({ bytes, length }: Range): string => `${addressFromBytes(bytes)}/${length}`;

let tracer: Tracer;

beforeAll(async () => {
  const named = Array.from({ length: POOLS }, (_, i) => pool(`pool-${i}`, [`10.1.0.${i + 1}`]));
  const vips = ([4, 6] as const).flatMap((family) => {
    const clients = ranges[family].map((range) => ({ prefix: prefixOf(range), pool: range.pool }));
    const all = { address: VIP[family], clients };
    return [
      vip(`all-${family}`, all),
      vip(`some-${family}`, { ...all, port: 81, clients: clients.filter(({ prefix }) => !prefix.endsWith('/0')) }),
      vip(`none-${family}`, { ...all, port: 82, clients: [] }),
    ];
  });
  tracer = await tracerOf(snapshot([pool('web', ['10.0.0.1']), ...named], vips), {}, 65_536);
});

afterAll(() => tracer[Symbol.dispose]());

/** First, last and random addresses of a range, and those on either side of it. */
function probe(range: Range): Uint8Array {
  const size = range.bytes.length;
  const filler = random.pick([random.bytes(size), new Uint8Array(size), new Uint8Array(size).fill(0xff)]);
  const mask = masked(new Uint8Array(size).fill(0xff), range.length);
  const address = range.bytes.map((byte, i) => byte | (filler[i]! & ~mask[i]!));
  if (range.length > 0 && random.chance(0.3)) {
    const bit = random.below(range.length);
    address[bit >> 3]! ^= 0x80 >> (bit & 7);
  }
  return address;
}

describe.each([4, 6] as const)('clients over IPv%i', (family) => {
  const through = (from: string, to: number) =>
    tracer.trace(framed(packet(VIP[family], tcp({ from: 4000, to, flags: tcpFlags.syn }), { from })));
  const longest = (address: Uint8Array, least: number): Range | null => {
    let best: Range | null = null;
    for (const range of ranges[family])
      if (range.length >= least && (best === null || range.length > best.length) && contains(range, address))
        best = range;
    return best;
  };

  it('go to the pool of the longest of thousands of prefixes', () => {
    const lengths = new Set<number>();
    for (let n = 0; n < PROBES; n++) {
      const address = probe(random.pick(ranges[family]));
      const expected = longest(address, 0);
      lengths.add(expected?.length ?? -1);
      const { pool: chosen, path } = through(addressFromBytes(address), 80);
      expect([addressFromBytes(address), chosen, path]).toEqual([addressFromBytes(address), expected?.pool, 'prefix']);
    }
    expect(lengths.size).toBeGreaterThan(family === 4 ? 25 : 60);
  });

  it('go to the pool of the VIP when they are in none', () => {
    let strangers = 0;
    for (let n = 0; n < 500; n++) {
      const address = random.chance(0.5)
        ? random.bytes(addressBytes(VIP[family]).length)
        : probe(random.pick(ranges[family]));
      const expected = longest(address, 1);
      if (expected === null) strangers++;
      const { pool: chosen, path } = through(addressFromBytes(address), 81);
      expect([chosen, path]).toEqual(expected === null ? ['web', 'ring'] : [expected.pool, 'prefix']);
    }
    expect(strangers).toBeGreaterThan(20);
  });

  it('of one VIP mean nothing to another', () => {
    for (const range of ranges[family].slice(0, 50))
      expect(through(addressFromBytes(probe(range)), 82)).toMatchObject({ pool: 'web', path: 'ring' });
  });
});
