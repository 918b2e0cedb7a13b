import { describe, expect, it } from 'vitest';
import type { Words } from '../../src/dataplane/address-words.ts';
import { directoryTable } from '../../src/dataplane/directory-table.ts';
import { enums } from '../../src/dataplane/layout.gen.ts';
import { serverIdTable } from '../../src/dataplane/server-id-table.ts';
import { atFirstPlaces } from '../support/look-up.ts';

/** Operators number things: a hash that is as good as chance for others may crowd just those together. */

const { PF_FAMILY_V4, PF_FAMILY_V6 } = enums.pf_family;
const KEYS = 4_096;
/** At most three quarters of the places are taken, and there is a power of two of them. */
const DENSEST = 8_192;
const MOST = 65_536;

const counted = <T>(one: (i: number) => T): T[] => Array.from({ length: KEYS }, (_, i) => one(i));
const placesOf = (table: Uint8Array): number => new DataView(table.buffer).getUint32(0, true) + 1;

function table(destinations: readonly (readonly [address: Words, port: number])[]) {
  return directoryTable(
    destinations.map(([address, port], number) => ({
      address,
      port,
      protocol: 6,
      family: address[1] === 0 ? PF_FAMILY_V4 : PF_FAMILY_V6,
      number,
      pool: 0,
      flags: 0,
      udp_timeout: 0,
      clients: 0,
    })),
    MOST,
  );
}

const v4 = (address: number): Words => [address, 0, 0, 0];
const v6 = (subnet: number, host: number): Words => [0x20010db8, subnet, 0, host];

describe('a directory', () => {
  it.each<[string, (i: number) => readonly [Words, number]]>([
    ['IPv4 addresses', (i) => [v4(0xc6120000 + i), 80]],
    ['every fourth IPv4 address', (i) => [v4(0x0a000000 + i * 4), 80]],
    ['first bytes of IPv4 addresses', (i) => [v4((0x01000001 + ((i & 127) << 24)) >>> 0), 80 + (i >> 7)]],
    ['ports of an address', (i) => [v4(0xc6120001), 1 + i]],
    ['addresses by ports', (i) => [v4(0xc6120000 + (i >> 6)), 8_000 + (i & 63)]],
    ['addresses and ports in step', (i) => [v4(0xc6120000 + i), 1_000 + i]],
    ['IPv6 hosts', (i) => [v6(1, i), 443]],
    ['IPv6 subnets', (i) => [v6(i + 1, 1), 443]],
    ['IPv6 subnets of a larger step', (i) => [v6((i + 1) * 65_536, 1), 443]],
    ['IPv6 hosts by ports', (i) => [v6(1, i >> 6), 443 + (i & 63)]],
    ['IPv6 hosts and ports in step', (i) => [v6(1, i), 443 + i]],
  ])('lies densely with %s, and most of them at their first places', (_what, destination) => {
    const { bytes } = table(counted(destination));
    expect(placesOf(bytes)).toBe(DENSEST);
    // Of as many keys as half of the places, chance has 79 of 100 there.
    const atFirst = [...atFirstPlaces(bytes).values()].filter((isAt) => isAt);
    expect(atFirst.length / KEYS).toBeGreaterThan(0.7);
  });

  it.each<[string, (i: number) => Words]>([
    ['IPv4 addresses', (i) => v4(0xc6120000 + i)],
    ['IPv6 hosts', (i) => v6(1, i)],
    ['IPv6 subnets', (i) => v6(i + 1, 1)],
  ])('has the bits of %s all over its filter', (_what, address) => {
    const { filter } = table(counted((i) => [address(i), 80] as const));
    const bits = filter.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
    // Of so many bits, thrown at 65,536 places, chance has 3,970 apart from one another.
    expect(bits).toBeGreaterThan(3_500);
    expect(filter.slice(0, filter.length / 2).filter((byte) => byte !== 0).length).toBeGreaterThan(1_000);
    expect(filter.slice(filter.length / 2).filter((byte) => byte !== 0).length).toBeGreaterThan(1_000);
  });
});

describe('a table of server ids', () => {
  it.each<[string, (i: number) => readonly [pool: number, id: number]]>([
    ['ids', (i) => [0, i + 1]],
    ['ids in steps of 65,536', (i) => [0, (i + 1) * 65_536]],
    ['ids in their first byte alone', (i) => [i >> 7, ((i & 127) + 1) * 2 ** 24]],
    ['the same ids in many pools', (i) => [i >> 6, 1 + (i & 63)]],
    ['pools and ids in step', (i) => [i, i + 1]],
  ])('lies densely with %s', (_what, one) => {
    const ids = new Map(
      counted((i) => {
        const [pool, id] = one(i);
        return [`${pool}|${id}`, 1 + (i % 1_000)] as const;
      }),
    );
    expect(ids.size).toBe(KEYS);
    expect(placesOf(serverIdTable(ids, MOST))).toBe(DENSEST);
  });
});
