import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import type { Segment } from '../support/frames.ts';
import { icmp, icmp6, internetChecksum, parseEthernet, rawSegment, tcp, udp } from '../support/frames.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { clients, type Family, framed, inside, packet, tracerOf } from '../support/packets.ts';

/** Echo requests for VIPs, and errors about their flows. */

const reals = Array.from({ length: 16 }, (_, i) => `10.0.0.${i + 1}`);
const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const SILENT = { 4: '192.0.2.11', 6: '2001:db8:ffff::11' } as const;
const OTHER = { 4: '192.0.2.99', 6: '2001:db8:ffff::99' } as const;
/** Routers on the way, which errors come from. */
const ROUTER = { 4: '203.0.113.9', 6: '2001:db8:d::9' } as const;

const vips = ([4, 6] as const).flatMap((family) => [
  vip(`web-${family}`, { address: VIP[family] }),
  vip(`dns-${family}`, { address: VIP[family], port: 53, protocol: 'udp', flowCache: false }),
  vip(`near-${family}`, {
    address: VIP[family],
    port: 81,
    clients: [{ prefix: family === 4 ? '198.51.100.0/24' : '2001:db8:c::/48', pool: 'near' }],
  }),
  vip(`silent-${family}`, { address: SILENT[family], icmpEcho: false }),
  vip(`loud-${family}`, { address: SILENT[family], port: 81 }),
]);
const state = snapshot([pool('web', reals), pool('near', ['10.0.1.1'])], vips);

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(state);
});

afterAll(() => tracer[Symbol.dispose]());

const echo = { 4: icmp, 6: icmp6 } as const;
const requestType = { 4: 8, 6: 128 } as const;
const replyType = { 4: 0, 6: 129 } as const;
const macs = { client: '02:00:00:00:00:09', own: '02:00:00:00:00:02' };

/** What has to come back, made from nothing but what the client asked; `from` has the VIP’s side of it. */
function reply(family: Family, payload: Uint8Array, rest: number, header: object = {}): Uint8Array {
  const answer = packet(clients[family], echo[family](replyType[family], payload, { rest }), {
    ...{ from: VIP[family], ttl: 64, hopLimit: 64 },
    ...header,
  });
  return framed(answer, { from: macs.own, to: macs.client });
}

function request(family: Family, payload: Uint8Array, rest: number, header: object = {}): Uint8Array {
  return framed(packet(VIP[family], echo[family](requestType[family], payload, { rest }), header), {
    from: macs.client,
    to: macs.own,
  });
}

function expectPassed(frame: Uint8Array, reason = 'icmp_other'): void {
  const traced = tracer.trace(frame);
  expect(traced).toMatchObject({ action: 'PASS', reason, real: null });
  expect(Buffer.from(traced.frame ?? [])).toEqual(Buffer.from(frame));
}

describe.each([4, 6] as const)('an echo request over IPv%i', (family) => {
  const none = new Uint8Array();

  it.each(['id', 'sequence number'])('is answered rightly, byte for byte, for every %s', (what) => {
    const shift = what === 'id' ? 16 : 0;
    const wrong: number[] = [];
    for (let number = 0; number < 0x10000; number++) {
      const rest = (number << shift) >>> 0;
      const { frame, reason } = tracer.trace(request(family, none, rest));
      if (reason !== 'echo_answered' || Buffer.compare(frame ?? none, reply(family, none, rest)) !== 0)
        wrong.push(number);
    }
    expect(wrong).toEqual([]);
  });

  it('is answered rightly when all of it is 0, or all ones, at any length', () => {
    for (const [rest, byte] of [
      [0, 0],
      [0xffff_ffff, 0xff],
    ] as const)
      for (let length = 0; length <= 200; length++) {
        const payload = new Uint8Array(length).fill(byte);
        const { action, frame } = tracer.trace(request(family, payload, rest));
        expect(action).toBe('TX');
        expect(Buffer.from(frame ?? [])).toEqual(Buffer.from(reply(family, payload, rest)));
      }
  });

  it('has another 14 zero bytes of padding that change nothing', () => {
    const frame = Buffer.concat([request(family, none, 0), new Uint8Array(14).fill(0xff)]);
    const padded = Buffer.concat([reply(family, none, 0), new Uint8Array(14).fill(0xff)]);
    expect(Buffer.from(tracer.trace(frame).frame ?? [])).toEqual(padded);
  });

  it('is answered with a lifetime of 64 whatever its own, and keeps the rest of its IP header', () => {
    for (let lifetime = 0; lifetime < 256; lifetime++) {
      const header = { tos: lifetime, trafficClass: lifetime, id: 0x1234 + 257 * lifetime };
      const { frame } = tracer.trace(request(family, none, 7, { ...header, ttl: lifetime, hopLimit: lifetime }));
      expect(Buffer.from(frame ?? [])).toEqual(Buffer.from(reply(family, none, 7, header)));
    }
  });

  it('with a wrong checksum gets an answer that is wrong by the same amount', () => {
    const sumOf = (frame: Uint8Array): number => {
      const { payload } = parseEthernet(frame);
      const message = inside(payload).bytes;
      const pseudo = family === 4 ? [] : [payload.subarray(8, 40), Uint8Array.of(0, message.length, 0, 58)];
      return internetChecksum(...pseudo, message) % 0xffff;
    };
    for (let by = 1; by < 0xffff; by += 97) {
      const frame = Buffer.from(request(family, Uint8Array.of(1, 2, 3), 0x0102_0304));
      const at = frame.length - 9;
      frame.writeUInt16BE((frame.readUInt16BE(at) + by) & 0xffff, at);
      expect(sumOf(tracer.trace(frame).frame ?? none)).toBe(sumOf(frame));
    }
  });

  it('is passed for an address where one VIP asks for that, and for other codes', () => {
    const to = (address: string, code: number) =>
      framed(packet(address, echo[family](requestType[family], none, { code })));
    expectPassed(to(SILENT[family], 0));
    expectPassed(to(VIP[family], 1));
    expectPassed(to(OTHER[family], 0), 'not_vip');
  });

  it('is passed when its sender cannot be answered', () => {
    const senders = {
      4: [
        '0.0.0.0',
        '0.255.255.255',
        '127.0.0.1',
        '127.255.255.255',
        '224.0.0.1',
        '239.1.2.3',
        '240.0.0.1',
        '255.255.255.255',
      ],
      6: ['::', 'ff02::1', 'ff0e::1234', 'ff00::'],
    };
    const others = {
      4: ['1.0.0.0', '126.255.255.255', '128.0.0.1', '223.255.255.255'],
      6: ['::1:0', 'fe80::1', 'fe00::', '2001:db8::', '0:0:0:1::'],
    };
    for (const from of senders[family]) expectPassed(request(family, none, 1, { from }));
    for (const from of others[family])
      expect(tracer.trace(request(family, none, 1, { from })).reason).toBe('echo_answered');
    const bytes = packet(VIP[family], echo[family](requestType[family]));
    for (const from of ['01:00:5e:00:00:01', '33:33:00:00:00:01', 'ff:ff:ff:ff:ff:ff'])
      expectPassed(framed(bytes, { from }));
  });

  it('that is cut short is dropped', () => {
    for (let length = 0; length < 8; length++) {
      const cut = rawSegment(family === 4 ? 1 : 58, new Uint8Array(length).fill(8));
      const frame = framed(packet(VIP[family], cut), { padTo: 80 });
      expect(tracer.trace(frame)).toMatchObject({ action: 'DROP', reason: 'malformed' });
    }
  });

  it('of another family’s ICMP is none', () => {
    const { bytes } = echo[family](requestType[family]);
    expectPassed(framed(packet(VIP[family], rawSegment(family === 4 ? 58 : 1, bytes))), 'not_vip');
  });
});

const errorTypes = { 4: [3, 11, 12], 6: [1, 2, 3, 4] } as const;

/** What a router quotes: a packet of the flow’s answers, from the VIP to the client. */
function quoted(family: Family, segment: Segment, header: object = {}): Uint8Array {
  return packet(clients[family], segment, { from: VIP[family], ...header });
}

function errorFrame(family: Family, quote: Uint8Array, type: number = errorTypes[family][0], code = 0): Uint8Array {
  return framed(packet(VIP[family], echo[family](type, quote, { code }), { from: ROUTER[family] }));
}

describe.each([4, 6] as const)('an error over IPv%i', (family) => {
  const header = family === 4 ? 20 : 40;
  const segments = { tcp, udp } as const;
  const answer = (port: number, protocol: 'tcp' | 'udp' = 'tcp') =>
    quoted(family, segments[protocol]({ from: protocol === 'tcp' ? 80 : 53, to: port }));
  const realOfFlow = (port: number, protocol: 'tcp' | 'udp' = 'tcp') =>
    tracer.trace(framed(packet(VIP[family], segments[protocol]({ from: port, to: protocol === 'tcp' ? 80 : 53 }))));
  const realOfError = (quote: Uint8Array) => tracer.trace(errorFrame(family, quote));

  it.each(errorTypes[family])('of type %i goes to the real of the flow, whatever its code', (type) => {
    for (let code = 0; code < 256; code += 5) {
      const port = 2_000 + code;
      const { real } = realOfFlow(port);
      const sent = tracer.trace(errorFrame(family, answer(port), type, code));
      expect(sent).toMatchObject({ action: 'TX', reason: 'forwarded', real, path: 'icmp', slot: null });
    }
  });

  it.each(['tcp', 'udp'] as const)(
    'finds the real of a %s flow that nobody remembers, and leaves it so',
    (protocol) => {
      for (let port = 10_000; port < 10_200; port++) {
        const about = realOfError(answer(port, protocol));
        const flow = realOfFlow(port, protocol);
        expect(about).toMatchObject({ path: 'icmp', real: flow.real, slot: flow.slot });
        expect(flow.path).toBe('ring');
      }
    },
  );

  it('goes to the real whole, the quote as it was', () => {
    const frame = errorFrame(family, answer(1));
    const outer = inside(parseEthernet(realOfError(answer(1)).frame ?? new Uint8Array()).payload);
    expect(Buffer.from(outer.bytes)).toEqual(Buffer.from(parseEthernet(frame).payload));
  });

  it('chooses the pool by the address of the client and not of the router', () => {
    const sent = realOfError(quoted(family, tcp({ from: 81, to: 4_000 })));
    expect(sent).toMatchObject({ path: 'icmp', pool: 'near', real: '10.0.1.1' });
  });

  it('needs the quoted header and eight bytes of it, and no more', () => {
    const whole = answer(1);
    for (let length = 0; length < header + 8; length++) expectPassed(errorFrame(family, whole.subarray(0, length)));
    for (let length = header + 8; length < whole.length; length++)
      expect(realOfError(whole.subarray(0, length))).toMatchObject({ action: 'TX', path: 'icmp' });
  });

  it('needs them inside of the packet: padding is no quote', () => {
    const cut = answer(1).subarray(0, header + 7);
    expectPassed(Buffer.concat([errorFrame(family, cut), answer(1).subarray(header + 7)]));
  });

  it('is passed when the quoted packet is not from the VIP, or not of its flows', () => {
    const to = clients[family];
    const segment = tcp({ from: 80, to: 1 });
    expectPassed(errorFrame(family, packet(to, segment, { from: OTHER[family] })));
    expectPassed(errorFrame(family, packet(to, segment, { from: SILENT[family] })));
    expectPassed(errorFrame(family, packet(VIP[family], tcp({ from: 1, to: 80 }))));
    expectPassed(errorFrame(family, quoted(family, tcp({ from: 82, to: 1 }))));
    expectPassed(errorFrame(family, quoted(family, udp({ from: 80, to: 1 }))));
    expectPassed(errorFrame(family, quoted(family, tcp({ from: 1, to: 80 }))));
    expectPassed(errorFrame(family, quoted(family, echo[family](replyType[family], new Uint8Array(8)))));
    expectPassed(errorFrame(family, quoted(family, rawSegment(132, new Uint8Array(20)))));
  });

  it('is passed when any bit of the quoted source is another one', () => {
    const from = family === 4 ? 12 : 8;
    for (let bit = 0; bit < 8 * addressBytes(VIP[family]).length; bit++) {
      const quote = Uint8Array.from(answer(1));
      quote[from + (bit >> 3)]! ^= 1 << (bit & 7);
      expectPassed(errorFrame(family, quote));
    }
  });

  it('is passed when the quote has another version', () => {
    for (let version = 0; version < 16; version++)
      if (version !== family) expectPassed(errorFrame(family, answer(1).with(0, (version << 4) | 5)));
  });

  it('is of no other type', () => {
    const known: readonly number[] = [...errorTypes[family], requestType[family]];
    for (let type = 0; type < 256; type++) if (!known.includes(type)) expectPassed(errorFrame(family, answer(1), type));
  });

  it('for an address without a VIP is passed', () => {
    const segment = echo[family](
      errorTypes[family][0],
      packet(clients[family], tcp({ from: 80, to: 1 }), { from: OTHER[family] }),
    );
    expectPassed(framed(packet(OTHER[family], segment)), 'not_vip');
  });
});

describe('an error over IPv4', () => {
  it('is read behind the options of the quoted header', () => {
    for (let length = 4; length <= 40; length += 4) {
      const options = new Uint8Array(length).fill(1);
      const port = 3_000 + length;
      const { real } = tracer.trace(framed(packet(VIP[4], tcp({ from: port, to: 80 }))));
      const quote = quoted(4, tcp({ from: 80, to: port }), { options });
      expect(tracer.trace(errorFrame(4, quote))).toMatchObject({ path: 'icmp', real });
      expect(tracer.trace(errorFrame(4, quote.subarray(0, 28 + length)))).toMatchObject({ path: 'icmp', real });
      expectPassed(errorFrame(4, quote.subarray(0, 27 + length)));
    }
  });

  it.each([0, 1, 2, 3, 4])('is passed when the quoted header has a length of %i words', (headerWords) =>
    expectPassed(errorFrame(4, quoted(4, tcp({ from: 80, to: 1 }), { headerWords }))),
  );

  it('may be about the first fragment of a packet, and no other', () => {
    const about = (header: object) => errorFrame(4, quoted(4, tcp({ from: 80, to: 1 }), header));
    expect(tracer.trace(about({ moreFragments: true }))).toMatchObject({ action: 'TX', path: 'icmp' });
    for (let offset = 1; offset < 0x2000; offset = offset * 2 + 1) expectPassed(about({ fragmentOffset: offset }));
    expectPassed(about({ fragmentOffset: 0x1000 }));
  });

  it('with options, or in fragments, is dropped as any such packet for the address', () => {
    const segment = icmp(3, quoted(4, tcp({ from: 80, to: 1 })));
    const sent = (header: object) => tracer.trace(framed(packet(VIP[4], segment, header)));
    expect(sent({ options: new Uint8Array(4) })).toMatchObject({ action: 'DROP', reason: 'ip_options' });
    expect(sent({ moreFragments: true })).toMatchObject({ action: 'DROP', reason: 'fragment' });
  });
});

describe('an error over IPv6', () => {
  it('is not read behind extension headers of the quoted packet', () => {
    const extensions = [{ type: 60, bytes: new Uint8Array(8) }];
    expectPassed(errorFrame(6, quoted(6, tcp({ from: 80, to: 1 }), { extensions })));
  });

  it('is read behind its own extension headers', () => {
    const extensions = [{ type: 60, bytes: new Uint8Array(8) }];
    const segment = icmp6(2, quoted(6, tcp({ from: 80, to: 1 })), { rest: 1280 });
    const sent = tracer.trace(framed(packet(VIP[6], segment, { extensions })));
    expect(sent).toMatchObject({ action: 'TX', path: 'icmp' });
  });
});
