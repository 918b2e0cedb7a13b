import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes } from '../../src/core/address.ts';
import { frameOf } from '../../src/core/packet-frame.ts';
import { readPacket } from '../../src/core/packet-words.ts';
import { etherTypes, internetChecksum, parseEthernet, parseIpv4, parseIpv6 } from '../support/frames.ts';

/** Packets in words as they stand on the wire, read by the tests' own parsers. */

const macs = { from: '02:00:00:00:00:01', to: '02:00:00:00:00:02' };
const frame = (text: string): Uint8Array => frameOf(readPacket(text), macs);
const packetOf = (text: string): Uint8Array => parseEthernet(frame(text)).payload;
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const [v4, v6] = ['198.51.100.7:40000 > 192.0.2.10:443', '[2001:db8::7]:40000 > [2001:db8:ffff::10]:443'] as const;

function pseudoSum(addresses: Uint8Array, protocol: number, bytes: Uint8Array): number {
  const pseudo = Uint8Array.of(0, 0, bytes.length >> 8, bytes.length & 0xff, 0, 0, 0, protocol);
  return internetChecksum(addresses, pseudo, bytes);
}

describe('a packet of a flow', () => {
  const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(addressFromBytes);
  const packetArb = fc.boolean().chain((four) =>
    fc.record({
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      source: four ? fc.ipV4() : ipv6,
      destination: four ? fc.ipV4() : ipv6,
      sourcePort: fc.nat(0xffff),
      destinationPort: fc.nat(0xffff),
      flags: fc.subarray(['syn', 'ack', 'fin', 'rst'] as const).map((flags) => new Set(flags)),
      payload: fc.uint8Array({ maxLength: 3_400 }),
      serverId: fc.option(fc.nat(0xffff_ffff)),
      tos: fc.nat(255),
      ttl: fc.nat(255),
      vlans: fc.array(fc.nat(4_094), { maxLength: 2 }),
      dontFragment: fc.boolean(),
    }),
  );
  const bits = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

  it('says what the words say, with right lengths and checksums', () => {
    fc.assert(
      fc.property(packetArb, (given) => {
        const { protocol, source, destination, sourcePort, destinationPort, flags, serverId, ...rest } = given;
        const { payload, tos, ttl, vlans, dontFragment } = rest;
        const flow = { protocol, source, sourcePort, destination, destinationPort };
        const id = protocol === 'tcp' ? serverId : null;
        const words = {
          kind: 'segment',
          flow,
          source,
          destination,
          flags,
          serverId: id,
          fragment: null,
          ...rest,
        } as const;
        const bytes = frameOf(words, macs);
        expect(parseEthernet(bytes)).toMatchObject(macs);
        const tags = vlans.map((tag) => `8100${tag.toString(16).padStart(4, '0')}`).join('');
        expect(hex(bytes.subarray(12, 12 + 4 * vlans.length))).toBe(tags);
        const { type, payload: packet } = parseEthernet(bytes.subarray(4 * vlans.length));
        const addresses = [addressBytes(source), addressBytes(destination)];
        const number = protocol === 'tcp' ? 6 : 17;
        let segment: Uint8Array;
        if (addresses[0]?.length === 4) {
          expect(type).toBe(etherTypes.ipv4);
          const ip = parseIpv4(packet);
          expect(ip).toMatchObject({ version: 4, tos, ttl, protocol: number, from: source, to: destination });
          const lengths = { headerLength: 20, totalLength: packet.length, checksumOk: true };
          expect(ip).toMatchObject({ ...lengths, flags: dontFragment ? 2 : 0, fragmentOffset: 0 });
          segment = ip.payload;
        } else {
          expect(type).toBe(etherTypes.ipv6);
          const ip = parseIpv6(packet);
          expect(ip).toMatchObject({ version: 6, trafficClass: tos, flowLabel: 0, nextHeader: number, hopLimit: ttl });
          expect(ip.payloadLength).toBe(packet.length - 40);
          expect(Buffer.concat(addresses)).toEqual(Buffer.from(packet.subarray(8, 40)));
          segment = ip.payload;
        }
        expect(pseudoSum(Buffer.concat(addresses), number, segment)).toBe(0);
        expect([view(segment).getUint16(0), view(segment).getUint16(2)]).toEqual([sourcePort, destinationPort]);
        const header = number === 17 ? 8 : id === null ? 20 : 28;
        expect(segment.subarray(header)).toEqual(Buffer.from(payload));
        if (number === 17) {
          expect([view(segment).getUint16(4), view(segment).getUint16(6) !== 0]).toEqual([8 + payload.length, true]);
          return;
        }
        expect(segment[12]).toBe((header / 4) << 4);
        expect(segment[13]).toBe([...flags].reduce((sum, flag) => sum + bits[flag], 0));
        if (id !== null) expect(hex(segment.subarray(20, 28))).toBe(`b706${id.toString(16).padStart(8, '0')}0101`);
      }),
    );
  });
});

describe('a fragment', () => {
  it('of IPv4: the first has ports, and more follow', () => {
    const ip = parseIpv4(packetOf(`udp ${v4} frag 0 len 16`));
    expect(ip).toMatchObject({ flags: 1, fragmentOffset: 0, id: 1, checksumOk: true, totalLength: 44 });
    expect(view(ip.payload).getUint16(0)).toBe(40_000);
  });

  it('of IPv4: a later one is the last, and has no ports', () => {
    const ip = parseIpv4(packetOf(`tcp ${v4} frag 1480 payload 0102`));
    expect(ip).toMatchObject({ flags: 0, fragmentOffset: 185, id: 1, protocol: 6, totalLength: 22 });
    expect(ip.payload).toEqual(Buffer.of(1, 2));
  });

  it('of IPv6 has a header of its own', () => {
    const first = parseIpv6(packetOf(`udp ${v6} frag 0`));
    expect([first.nextHeader, first.payloadLength, hex(first.payload.subarray(0, 8))]).toEqual([
      44,
      16,
      '1100000100000001',
    ]);
    const later = parseIpv6(packetOf(`tcp ${v6} frag 1480 payload 0102`));
    expect([later.nextHeader, hex(later.payload)]).toEqual([44, '060005c8000000010102']);
  });
});

describe('ICMP', () => {
  it('echo over IPv4', () => {
    const ip = parseIpv4(packetOf('icmp 198.51.100.7 > 192.0.2.10 echo id 7 seq 9 payload c0ffee'));
    expect(ip).toMatchObject({ protocol: 1, from: '198.51.100.7', to: '192.0.2.10', totalLength: 31 });
    expect(hex(ip.payload.subarray(0, 2))).toBe('0800');
    expect(hex(ip.payload.subarray(4))).toBe('00070009c0ffee');
    expect(internetChecksum(ip.payload)).toBe(0);
  });

  it('echo over IPv6, whose checksum covers the addresses', () => {
    const packet = packetOf('icmp 2001:db8::7 > 2001:db8::8 echo id 65535 seq 65535');
    const { nextHeader, payload } = parseIpv6(packet);
    expect([nextHeader, payload[0], payload[1], hex(payload.subarray(4))]).toEqual([58, 128, 0, 'ffffffff']);
    expect(pseudoSum(packet.subarray(8, 40), 58, payload)).toBe(0);
  });

  it('too big over IPv4 quotes the answer of the flow', () => {
    const ip = parseIpv4(packetOf(`icmp 203.0.113.1 > 192.0.2.10 too-big mtu 1280 about tcp ${v4}`));
    expect(ip).toMatchObject({ from: '203.0.113.1', to: '192.0.2.10', protocol: 1 });
    expect(hex(ip.payload.subarray(0, 2))).toBe('0304');
    expect(view(ip.payload).getUint32(4)).toBe(1280);
    expect(internetChecksum(ip.payload)).toBe(0);
    const quoted = parseIpv4(ip.payload.subarray(8));
    expect(quoted).toMatchObject({ from: '192.0.2.10', to: '198.51.100.7', protocol: 6, checksumOk: true });
    expect([view(quoted.payload).getUint16(0), view(quoted.payload).getUint16(2)]).toEqual([443, 40_000]);
  });

  it('too big over IPv6', () => {
    const packet = packetOf(`icmp 2001:db8::1 > 2001:db8:ffff::10 too-big about udp ${v6}`);
    const { payload } = parseIpv6(packet);
    expect([payload[0], payload[1], view(payload).getUint32(4)]).toEqual([2, 0, 1400]);
    expect(pseudoSum(packet.subarray(8, 40), 58, payload)).toBe(0);
    const quoted = parseIpv6(payload.subarray(8));
    expect([addressFromBytes(quoted.from), addressFromBytes(quoted.to)]).toEqual(['2001:db8:ffff::10', '2001:db8::7']);
    expect([view(quoted.payload).getUint16(0), view(quoted.payload).getUint16(2)]).toEqual([443, 40_000]);
  });
});
