import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressFromBytes } from '../../src/core/address.ts';
import type { Flow } from '../../src/core/flow-hash.ts';
import { flowText, readFlow, readInquiry, readPacket } from '../../src/core/packet-words.ts';
import { thrownBy } from '../support/thrown-by.ts';

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
    ['icmp 1.2.3.4 > 1.2.3.5 echo', 'icmp is no protocol of a flow', 'write tcp or udp: '],
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

const base = {
  source: '198.51.100.7',
  destination: '192.0.2.10',
  tos: 0,
  ttl: 64,
  vlans: [],
  dontFragment: true,
};
const segment = { ...base, kind: 'segment', flow: web, serverId: null, fragment: null };
const nothing = new Uint8Array();

function expectRefused(read: () => unknown, message: string, fix: string): void {
  const error = thrownBy(read);
  expect(error.code).toBe('PF_USAGE');
  expect(error.message).toContain(message);
  expect(error.fix).toContain(fix);
}

describe('a packet in words', () => {
  const words = (rest: string) => readPacket(`tcp 198.51.100.7:40000 > 192.0.2.10:443 ${rest}`);
  const datagram = (rest: string) => readPacket(`udp 198.51.100.7:40000 > 192.0.2.10:443 ${rest}`);
  const payloadOf = (rest: string): Uint8Array => {
    const packet = datagram(rest);
    if (packet.kind !== 'segment') throw new Error('not of a flow');
    return packet.payload;
  };

  it('has flags, length, tos and ttl in any order', () => {
    expect(words('len 100 syn ttl 3 ack tos 0xb8')).toEqual({
      ...segment,
      flags: new Set(['syn', 'ack']),
      payload: new Uint8Array(100),
      tos: 0xb8,
      ttl: 3,
    });
  });

  it('is an acknowledgement unless it says otherwise', () => {
    expect(words('')).toEqual({ ...segment, flags: new Set(['ack']), payload: nothing });
    expect(datagram('')).toMatchObject({ flow: { protocol: 'udp' }, flags: new Set() });
  });

  it.each<[string, object]>([
    ['vlan 100', { vlans: [100] }],
    ['vlan 0 vlan 4094', { vlans: [0, 4094] }],
    ['nodf', { dontFragment: false }],
    ['frag 0', { fragment: 0, dontFragment: false }],
    ['frag 1480 len 8', { fragment: 1480, payload: new Uint8Array(8) }],
    ['server-id 1234', { serverId: 1234 }],
    ['server-id 0xffffffff', { serverId: 0xffff_ffff }],
    ['payload 0x00ff', { payload: Uint8Array.of(0, 255) }],
    ['payload 00FF len 3', { payload: Uint8Array.of(0, 255, 0) }],
  ])('may have "%s"', (rest, fields) => expect(words(rest)).toMatchObject(fields));

  it('of QUIC has the connection id behind the first byte, and is as long as one may be', () => {
    const packet = payloadOf('cid 0x4012c0ffee');
    expect(Buffer.from(packet).toString('hex')).toBe(`404012c0ffee${'00'.repeat(15)}`);
    expect(payloadOf(`cid ${'ab'.repeat(20)}`).length).toBe(21);
    expect(payloadOf('cid 40 len 1200').length).toBe(1200);
  });

  it('with a stable routing id has it in three bytes, and is long enough to be looked at', () => {
    expect(payloadOf('stable 0x010203')).toEqual(Uint8Array.of(0x52, 1, 2, 3, 0, 0, 0, 0));
  });

  it.each([
    ['sin', 'sin is not known', 'did you mean "syn"?'],
    ['len', 'len has no value', 'from 0 to 3400'],
    ['len 3401', 'len has 3401', 'from 0 to 3400'],
    ['len -1', 'len has -1', 'from 0 to 3400'],
    ['len 1 len 2', 'len is given too often', 'leave out one len'],
    ['tos 256', 'tos has 256', 'from 0 to 255'],
    ['ttl syn', 'ttl has syn', 'from 0 to 255'],
    ['vlan 4095', 'vlan has 4095', 'from 0 to 4094'],
    ['vlan 1 vlan 2 vlan 3', 'vlan is given too often', 'leave out one vlan'],
    ['payload 123', 'payload has 123', '1 to 3400 bytes in hex, two digits each'],
    ['payload', 'payload has no value', 'in hex'],
    ['payload 0102 len 1', 'len 1 is less than the 2 bytes that are given', 'leave out len'],
    ['frag 7', 'frag has 7', 'frag 0 is the first fragment, frag 1480 a later one'],
    ['frag', 'frag has no value', 'from 0 to 65528'],
    ['server-id 4294967296', 'server-id has 4294967296', 'from 0 to 4294967295'],
    ['cid 00', 'cid is a word of udp, not of tcp', 'leave out cid'],
    ['echo', 'echo is a word of icmp, not of tcp', 'leave out echo'],
    ['constructor', 'constructor is not known', 'use one of: syn, '],
  ])('"%s" is refused', (rest, message, fix) => expectRefused(() => words(rest), message, fix));

  it.each([
    ['rst syn', 'rst is a word of tcp, not of udp', 'leave out rst'],
    [`cid ${'00'.repeat(21)}`, 'cid has 0', '1 to 20 bytes in hex'],
    ['stable 0x1000000', 'stable has 0x1000000', 'from 0 to 16777215'],
    ['cid 00 payload 00', 'cid and payload both say what the payload is', 'leave out all but one'],
  ])('"%s" of UDP is refused', (rest, message, fix) => expectRefused(() => datagram(rest), message, fix));

  it('of IPv6 has no nodf', () =>
    expectRefused(() => readPacket('tcp [2001:db8::7]:1 > [2001:db8::8]:2 nodf'), 'IPv6 is never', 'leave out nodf'));
});

describe('ICMP in words', () => {
  const icmp = (rest: string) => readPacket(`icmp 198.51.100.7 > 192.0.2.10 ${rest}`);

  it('is a ping', () => {
    const echo = { ...base, kind: 'echo', id: 1, sequence: 1, payload: nothing };
    expect(icmp('echo')).toEqual(echo);
    const more = { id: 7, sequence: 9, ttl: 3, vlans: [5], payload: new Uint8Array(56) };
    expect(icmp('echo seq 9 id 7 len 56 ttl 3 vlan 5')).toEqual({ ...echo, ...more });
    expect(readPacket('ICMP 2001:DB8::7>2001:db8::8 echo')).toMatchObject({
      source: '2001:db8::7',
      destination: '2001:db8::8',
    });
  });

  it('is an error about a flow', () => {
    expect(icmp('too-big about tcp 203.0.113.7:40000 > 192.0.2.10:443')).toEqual({
      ...base,
      kind: 'too-big',
      mtu: 1400,
      flow: { ...web, source: '203.0.113.7' },
    });
    expect(icmp('too-big mtu 1280 about udp 203.0.113.7:1 > 192.0.2.10:2')).toMatchObject({ mtu: 1280 });
  });

  it.each([
    ['', 'does not say which ICMP', 'write echo, or too-big about'],
    ['echo too-big', 'does not say which ICMP', 'write echo, or too-big about'],
    ['echo mtu 1400', 'echo has no mtu', 'leave out mtu'],
    ['too-big id 1 about tcp 1.2.3.4:5 > 192.0.2.10:443', 'too-big has no id', 'leave out id'],
    ['too-big', 'too-big is about nothing', 'too-big about and the flow that a client sends'],
    ['too-big about', 'is no flow', 'write tcp or udp'],
    ['too-big about tcp 1.2.3.4:5 > 192.0.2.11:443', 'goes to 192.0.2.10 and is about a flow to 192.0.2.11', 'send it'],
    ['echo syn', 'syn is a word of tcp, not of icmp', 'leave out syn'],
  ])('"%s" is refused', (rest, message, fix) => expectRefused(() => icmp(rest), message, fix));

  it('has no ports', () =>
    expectRefused(
      () => readPacket('icmp 198.51.100.7:1 > 192.0.2.10:2 echo'),
      '198.51.100.7:1 is no address',
      'without ports',
    ));
});

describe('what explain is asked', () => {
  const text = 'udp 198.51.100.7:40000 > 192.0.2.10:443';

  it.each(['', ' cid 4012a8c0ffee0000', ' stable 7', ' payload 0x5200', ' frag 0'])(
    'may be a flow with "%s"',
    (words) => expect(readInquiry(`  ${text.replace('>', ' >')}${words} `).text).toBe(`${text}${words}`),
  );

  it('is about what the packet carries', () =>
    expect(readInquiry(`${text} stable 7`).packet).toEqual(readPacket(`${text} stable 7`)));

  it.each(['len 5', 'ttl 3', 'vlan 5', 'tos 1'])('is not "%s", which changes nothing', (words) =>
    expectRefused(() => readInquiry(`${text} ${words}`), `"${words.split(' ')[0]}" is not part of a flow`, text),
  );
});
