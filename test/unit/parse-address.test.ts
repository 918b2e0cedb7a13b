import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressBytes,
  addressFromBytes,
  canonicalAddress,
  compareAddresses,
  parsePrefix,
  unusableAddress,
} from '../../src/core/address.ts';

describe('canonicalAddress', () => {
  it.each([
    ['192.0.2.10', '192.0.2.10'],
    ['2001:DB8::A', '2001:db8::a'],
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['::ffff:c000:201', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ])('writes %s as %s (RFC 5952)', (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
  });

  it.each([
    '',
    '010.0.0.1',
    '1.2.3',
    '1.2.3.4 ',
    '0x7f.1',
    'fe80::1%eth0',
    '1::2::3',
    '12345::',
    'localhost',
    '10.0.0.0/8',
  ])('refuses %j', (text) => {
    expect(canonicalAddress(text)).toBeNull();
  });

  it('keeps every address through bytes and text', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(
      fc.property(bytes, (some) => {
        const text = addressFromBytes(some);
        expect(addressBytes(text)).toEqual(some);
        expect(canonicalAddress(text)).toBe(text);
      }),
    );
  });
});

describe('addressBytes', () => {
  it('gives network byte order', () => {
    expect([...addressBytes('192.0.2.10')]).toEqual([192, 0, 2, 10]);
    expect([...addressBytes('2001:db8::1')]).toEqual([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  });

  it('throws for a text that is no address', () => {
    expect(() => addressBytes('web')).toThrow(expect.objectContaining({ code: 'PF_STATE' }));
  });
});

describe('compareAddresses', () => {
  it('puts IPv4 before IPv6 and goes by bytes, not by text', () => {
    const sorted = ['9.0.0.1', '10.0.0.2', '10.0.0.10', '::2', '2001:db8::1'];
    expect(sorted.toReversed().sort(compareAddresses)).toEqual(sorted);
  });
});

describe('parsePrefix', () => {
  it.each([
    ['172.16.0.0/16', '172.16.0.0', 16],
    ['0.0.0.0/0', '0.0.0.0', 0],
    ['10.0.0.4/30', '10.0.0.4', 30],
    ['192.0.2.1/32', '192.0.2.1', 32],
    ['100:0::/64', '100::', 64],
  ])('reads %s', (text, address, length) => {
    expect(parsePrefix(text)).toEqual({ address, length });
  });

  it.each([
    ['10.0.0.1/8', 'write 10.0.0.0/8'],
    ['10.0.0.6/30', 'write 10.0.0.4/30'],
    ['2001:db8::1/127', 'write 2001:db8::/127'],
    ['10.0.0.0/33', 'write a prefix such as 172.16.0.0/16 or 100::/64'],
    ['10.0.0.0/08', 'write a prefix such as 172.16.0.0/16 or 100::/64'],
    ['10.0.0.0', 'write a prefix such as 172.16.0.0/16 or 100::/64'],
    ['web/8', 'write a prefix such as 172.16.0.0/16 or 100::/64'],
  ])('refuses %s', (text, fix) => {
    expect(() => parsePrefix(text)).toThrow(expect.objectContaining({ code: 'PF_STATE', fix }));
  });
});

describe('unusableAddress', () => {
  it.each([
    ['0.0.0.0', 'belongs to 0.0.0.0/8, which stands for no host'],
    ['127.0.0.1', 'is a loopback address'],
    ['224.0.0.1', 'is a multicast address'],
    ['239.255.255.255', 'is a multicast address'],
    ['255.255.255.255', 'is the broadcast address'],
    ['::', 'is the unspecified address'],
    ['::1', 'is the loopback address'],
    ['ff02::1', 'is a multicast address'],
    ['fe80::1', 'is a link-local address'],
    ['::ffff:10.0.0.1', 'is an IPv4 address in IPv6 notation'],
    ['10.0.0.1', null],
    ['223.255.255.255', null],
    ['2001:db8::1', null],
  ])('says of %s: %s', (address, reason) => {
    expect(unusableAddress(address)).toBe(reason);
  });
});
