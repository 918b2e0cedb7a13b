import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes } from '../../src/core/address.ts';
import { PrefixMap } from '../../src/core/prefix-map.ts';

const networks = ['192.0.2.0/24', '192.0.2.128/25', '192.0.2.200', '2001:db8::/32', '::/0'];

function mapOf(prefixes: readonly string[]): PrefixMap {
  const map = new PrefixMap();
  for (const prefix of prefixes) map.set(prefix, prefix);
  return map;
}

describe('PrefixMap', () => {
  it.each([
    ['192.0.2.1', '192.0.2.0/24'],
    ['192.0.2.129', '192.0.2.128/25'],
    ['192.0.2.200', '192.0.2.200'],
    ['192.0.2.192/26', '192.0.2.128/25'],
    ['192.0.2.0/23', undefined],
    ['192.0.3.1', undefined],
    ['2001:db8::1', '2001:db8::/32'],
    ['2001:db9::1', '::/0'],
  ])('finds what contains %s: %s', (prefix, found) => {
    expect(mapOf(networks).containing(prefix)).toBe(found);
  });

  it.each([
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['192.0.2.0/23', '192.0.2.0/24'],
    ['192.0.2.192/26', '192.0.2.200'],
    ['192.0.2.200', '192.0.2.200'],
    ['192.0.2.201', undefined],
    ['192.0.2.0/25', undefined],
    ['0.0.0.0/0', '192.0.2.0/24'],
    ['2001::/16', '2001:db8::/32'],
    ['2002::/16', undefined],
  ])('finds what lies within %s: %s', (prefix, found) => {
    expect(mapOf(networks).within(prefix)).toBe(found);
  });

  it('finds also what is added after a search', () => {
    const map = mapOf(['10.0.0.1']);
    expect(map.within('10.0.1.0/24')).toBeUndefined();
    map.set('10.0.1.9', 'late');
    expect(map.within('10.0.1.0/24')).toBe('late');
  });

  it('finds what a comparison of all bits finds', () => {
    // Few different bytes and lengths, so that they meet.
    const prefixArb = fc
      .tuple(
        fc.constantFrom(4, 16),
        fc.array(fc.constantFrom(0, 1, 128, 192), { minLength: 16, maxLength: 16 }),
        fc.nat(128),
      )
      .map(([size, bytes, length]) => {
        const bits = Math.min(length, size * 8);
        const network = bytes.slice(0, size).map((byte, i) => byte & ~(0xff >> Math.min(8, Math.max(0, bits - i * 8))));
        const address = addressFromBytes(Uint8Array.from(network));
        return bits === size * 8 ? address : `${address}/${bits}`;
      });
    const lengthOf = (prefix: string): number =>
      Number(prefix.split('/')[1] ?? addressBytes(prefix.split('/')[0]!).length * 8);
    const bit = (prefix: string, n: number): number =>
      (addressBytes(prefix.split('/')[0]!)[n >> 3]! >> (7 - (n & 7))) & 1;
    const contains = (outer: string, inner: string): boolean =>
      outer.includes(':') === inner.includes(':') &&
      lengthOf(outer) <= lengthOf(inner) &&
      Array.from({ length: lengthOf(outer) }, (_, n) => n).every((n) => bit(outer, n) === bit(inner, n));
    fc.assert(
      fc.property(fc.uniqueArray(prefixArb, { maxLength: 12 }), prefixArb, (prefixes, one) => {
        const map = mapOf(prefixes);
        const outer = prefixes.filter((prefix) => contains(prefix, one));
        const longest = outer.toSorted((a, b) => lengthOf(b) - lengthOf(a))[0];
        expect(map.containing(one)).toBe(longest);
        const inner = prefixes.filter((prefix) => contains(one, prefix));
        const found = map.within(one);
        expect(found === undefined ? inner : inner.includes(found)).toEqual(inner.length === 0 ? [] : true);
      }),
    );
  });
});
