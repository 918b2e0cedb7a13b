import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Directory } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import {
  DirectoryKeyCount,
  directoryKeyLimit,
  HOST_DIRECTORY_KEYS,
  isLargestDirectory,
  MOST_DIRECTORY_KEYS,
  MOST_VIPS,
  type VipPlace,
} from '../../src/core/directory-keys.ts';
import { directoryEntries } from '../../src/dataplane/directory-entries.ts';
import { surelyHeld, tablePlaces } from '../../src/dataplane/perfect-hash.ts';
import { noPrefixes, numberPrefixes } from '../../src/dataplane/prefix-numbers.ts';
import { directoryArb } from '../support/directory-arb.ts';

function placesOf({ vips }: Directory): VipPlace[] {
  return [...vips.keys()].map(splitVipId);
}

function counted(vips: readonly VipPlace[]): number {
  const count = new DirectoryKeyCount();
  for (const vip of vips) {
    const expected = count.with(vip);
    count.add(vip);
    expect(count.keys).toBe(expected);
  }
  return count.keys;
}

/** How many there really are, of VIPs alone. */
function made(directory: Directory): number {
  const { prefixes, scopeOf } = numberPrefixes(directory, noPrefixes);
  const alone = { ...directory, tunnels: [], own: [] };
  return directoryEntries(alone, { prefixes, scopes: scopeOf, tickMs: 2_000 }, 1_000).length;
}

describe('the count of keys', () => {
  it('is never less than what is made of the VIPs, in whatever order they come', () => {
    fc.assert(
      fc.property(
        directoryArb.chain((directory) =>
          fc.record({
            directory: fc.constant(directory),
            places: fc.shuffledSubarray(placesOf(directory), { minLength: directory.vips.size }),
          }),
        ),
        ({ directory, places }) => {
          const keys = counted(places);
          expect(keys).toBeGreaterThanOrEqual(made(directory));
          expect(counted(placesOf(directory))).toBe(keys);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is no less with more VIPs', () => {
    fc.assert(
      fc.property(directoryArb, (directory) => {
        const places = placesOf(directory);
        expect(counted(places.slice(1))).toBeLessThanOrEqual(counted(places));
      }),
    );
  });

  it('is exact where no VIP is in the prefix of another', () => {
    fc.assert(
      fc.property(directoryArb, (directory) => {
        const isApart = (address: string): boolean => ['192.0.2.1', '203.0.113.1', '2001:db8::1'].includes(address);
        const vips = new Map([...directory.vips].filter(([id]) => isApart(splitVipId(id).address)));
        expect(counted(placesOf({ ...directory, vips }))).toBe(made({ ...directory, vips }));
      }),
    );
  });

  it('has an address and a prefix inherit every port', () => {
    const vip = (address: string, port: number): VipPlace => ({ address, port, protocol: 'tcp' });
    const ports = Array.from({ length: 300 }, (_, i) => vip('192.0.2.0/24', i + 1));
    expect(counted(ports)).toBe(302);
    expect(counted([...ports, vip('192.0.2.1', 443)])).toBe(302 + 304);
    expect(counted([...ports, vip('192.0.2.128/25', 443), vip('192.0.3.1', 443)])).toBe(302 + 304 + 3);
    expect(counted([vip('192.0.2.1', 443), ...ports])).toBe(302 + 304);
    expect(counted([vip('192.0.2.1', 0)])).toBe(2);
  });
});

describe('the limit of keys', () => {
  it('lets as many VIPs be as one LB takes, each with an address of its own', () => {
    for (const vips of [1, 100, 4_096, MOST_VIPS]) expect(directoryKeyLimit(vips)).toBeGreaterThanOrEqual(3 * vips);
    expect(3 * (MOST_VIPS + 1)).toBeGreaterThan(directoryKeyLimit(MOST_VIPS + 1));
    expect([4_096, MOST_VIPS].map(isLargestDirectory)).toEqual([false, true]);
  });

  it('is what the table surely holds, with keys of the host besides', () => {
    for (const vips of [1, 100, 4_096, 5_120, MOST_VIPS])
      expect(surelyHeld(tablePlaces(directoryKeyLimit(vips) + HOST_DIRECTORY_KEYS))).toBeGreaterThanOrEqual(
        directoryKeyLimit(vips) + HOST_DIRECTORY_KEYS,
      );
    expect(surelyHeld(tablePlaces(Number.MAX_SAFE_INTEGER))).toBe(MOST_DIRECTORY_KEYS);
  });
});
