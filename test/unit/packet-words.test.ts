import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes } from '../../src/core/address.ts';
import type { Flow } from '../../src/core/flow-hash.ts';
import { frameOf } from '../../src/core/packet-frame.ts';
import { flowText, readFlow, readPacket } from '../../src/core/packet-words.ts';
import { etherTypes, internetChecksum, parseEthernet, parseIpv4 } from '../support/frames.ts';
import { thrownBy } from '../support/thrown-by.ts';

const macs = { from: '02:00:00:00:00:01', to: '02:00:00:00:00:02' };
const web = {
  protocol: 'tcp',
  source: '198.51.100.7',
  sourcePort: 40_000,
  destination: '192.0.2.10',
  destinationPort: 443,
} as const;

const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(addressFromBytes);
const flowArb: fc.Arbitrary<Flow> = fc.boolean().chain((v4) =>
  fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    source: v4 ? fc.ipV4() : ipv6,
    sourcePort: fc.nat(0xffff),
    destination: v4 ? fc.ipV4() : ipv6,
    destinationPort: fc.nat(0xffff),
  }),
);

describe('a flow in words', () => {
  it.each<[string, Flow]>([
    ['tcp 198.51.100.7:40000 > 192.0.2.10:443', web],
    ['  TCP 198.51.100.7:40000>192.0.2.10:443 ', web],
    [
      'udp [2001:DB8:0::7]:0 > [2001:db8::53]:53',
      {
        protocol: 'udp',
        source: '2001:db8::7',
        sourcePort: 0,
        destination: '2001:db8::53',
        destinationPort: 53,
      },
    ],
  ])('%s', (text, flow) => expect(readFlow(text)).toEqual(flow));

  it('is what its text says', () => {
    fc.assert(
      fc.property(flowArb, (flow) => {
        expect(readFlow(flowText(flow))).toEqual(flow);
      }),
    );
  });

  it.each([
    ['', 'is no flow', 'write tcp or udp: '],
    ['tpc 1.2.3.4:1 > 1.2.3.5:2', 'tpc is no protocol', 'write tcp or udp: '],
    ['icmp 1.2.3.4:1 > 1.2.3.5:2', 'icmp is no protocol', 'write tcp or udp: '],
    ['tcp 1.2.3.4:1', 'has no source > destination', 'in quotes'],
    ['tcp 1.2.3.4:1 1.2.3.5:2', 'has no source > destination', 'in quotes'],
    ['tcp 1.2.3.4:1 >', 'has no source > destination', 'in quotes'],
    ['tcp 1.2.3.4 > 1.2.3.5:2', '1.2.3.4 has no port', 'write 1.2.3.4:443'],
    ['tcp 1.2.3.4:1 > 1.2.3.5:65536', '1.2.3.5:65536 is no address with a port', '192.0.2.10:443'],
    ['tcp 1.2.3:1 > 1.2.3.5:2', '1.2.3:1 is no address with a port', '192.0.2.10:443'],
    ['tcp 2001:db8::7:1 > [2001:db8::8]:2', '2001:db8::7:1 is no address with a port', '[2001:db8::10]:443'],
    ['tcp [1.2.3.4]:1 > 1.2.3.5:2', '[1.2.3.4]:1 is no address with a port', '192.0.2.10:443'],
    ['tcp 1.2.3.4:1 > [2001:db8::8]:2', 'of different families', 'IPv4 or IPv6 for both'],
    ['tcp 1.2.3.4:1 > 1.2.3.5:2 syn', '"syn" is not part of a flow', 'write tcp 1.2.3.4:1 > 1.2.3.5:2'],
  ])('"%s" is refused', (text, message, fix) => {
    const error = thrownBy(() => readFlow(text));
    expect(error.code).toBe('PF_USAGE');
    expect(error.message).toContain(message);
    expect(error.fix).toContain(fix);
  });
});

describe('a packet in words', () => {
  const words = (rest: string) => readPacket(`tcp 198.51.100.7:40000 > 192.0.2.10:443 ${rest}`);

  it('has flags, length, tos and ttl in any order', () => {
    expect(words('len 100 syn ttl 3 ack tos 0xb8')).toEqual({
      flow: web,
      flags: new Set(['syn', 'ack']),
      length: 100,
      tos: 0xb8,
      ttl: 3,
    });
  });

  it('is an acknowledgement unless it says otherwise', () => {
    expect(words('')).toEqual({ flow: web, flags: new Set(['ack']), length: 0, tos: 0, ttl: 64 });
    expect(readPacket('udp 1.2.3.4:1 > 1.2.3.5:2').flags).toEqual(new Set());
  });

  it.each([
    ['sin', 'sin is not known', 'did you mean "syn"?'],
    ['len', 'len has no value', 'from 0 to 3400'],
    ['len 3401', 'len has 3401', 'from 0 to 3400'],
    ['len -1', 'len has -1', 'from 0 to 3400'],
    ['tos 256', 'tos has 256', 'from 0 to 255'],
    ['ttl syn', 'ttl has syn', 'from 0 to 255'],
  ])('"%s" is refused', (rest, message, fix) => {
    const error = thrownBy(() => words(rest));
    expect(error.code).toBe('PF_USAGE');
    expect(error.message).toContain(message);
    expect(error.fix).toContain(fix);
  });

  it('has no flags with UDP', () => {
    const error = thrownBy(() => readPacket('udp 1.2.3.4:1 > 1.2.3.5:2 rst syn'));
    expect([error.message.endsWith('UDP has no flags'), error.fix]).toEqual([true, 'leave out rst syn']);
  });
});

describe('the frame of a packet', () => {
  const packetArb = fc.record({
    flow: flowArb,
    flags: fc.subarray(['syn', 'ack', 'fin', 'rst'] as const).map((flags) => new Set(flags)),
    length: fc.nat(3_400),
    tos: fc.nat(255),
    ttl: fc.nat(255),
  });
  const bits = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

  it('says what the words say, with right lengths and checksums', () => {
    fc.assert(
      fc.property(packetArb, (packet) => {
        const { flow, flags, length, tos, ttl } = packet;
        const { to, from, type, payload } = parseEthernet(frameOf(packet, macs));
        expect({ from, to }).toEqual(macs);
        const addresses = [addressBytes(flow.source), addressBytes(flow.destination)];
        const protocol = flow.protocol === 'tcp' ? 6 : 17;
        let segment: Uint8Array;
        if (addresses[0]?.length === 4) {
          expect(type).toBe(etherTypes.ipv4);
          const ip = parseIpv4(payload);
          expect(ip).toMatchObject({ version: 4, tos, ttl, protocol, from: flow.source, to: flow.destination });
          expect(ip).toMatchObject({ headerLength: 20, totalLength: payload.length, checksumOk: true, flags: 2 });
          segment = payload.subarray(20);
        } else {
          expect(type).toBe(etherTypes.ipv6);
          const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
          expect(view.getUint32(0)).toBe(6 * 2 ** 28 + tos * 2 ** 20);
          expect([view.getUint16(4), payload[6], payload[7]]).toEqual([payload.length - 40, protocol, ttl]);
          expect(Buffer.concat(addresses)).toEqual(Buffer.from(payload.subarray(8, 40)));
          segment = payload.subarray(40);
        }
        const pseudo = Uint8Array.of(0, 0, segment.length >> 8, segment.length & 0xff, 0, 0, 0, protocol);
        expect(internetChecksum(...addresses, pseudo, segment)).toBe(0);
        const view = new DataView(segment.buffer, segment.byteOffset, segment.length);
        expect([view.getUint16(0), view.getUint16(2)]).toEqual([flow.sourcePort, flow.destinationPort]);
        if (protocol === 17) {
          expect([segment.length, view.getUint16(4)]).toEqual([8 + length, 8 + length]);
          expect(view.getUint16(6)).not.toBe(0);
        } else {
          expect([segment.length, segment[12]]).toEqual([20 + length, 0x50]);
          expect(segment[13]).toBe([...flags].reduce((sum, flag) => sum + bits[flag], 0));
        }
      }),
    );
  });
});
