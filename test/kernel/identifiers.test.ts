import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Traced, Tracer } from '../../src/dataplane/tracer.ts';
import { rawSegment, tcp, tcpFlags, udp } from '../support/frames.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';
import { framed, packet, tracerOf } from '../support/packets.ts';

/** Ids of reals in packets: QUIC connection ids, stable routing ids, a TCP option. */

const families = [4, 6] as const;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const KATRAN = 443;
const QUIC_LB = 444;
const STABLE = 445;
const BOTH = 446;
const PLAIN = 447;

/** Ids that katran’s and the draft’s connection ids, stable ids and the option can carry: of 16, 24 and 32 bits. */
const byId = new Map([
  [0x8421, '10.0.0.16'],
  [0xabcdef, '10.0.0.24'],
  [0xfedcba98, '10.0.0.32'],
]);
const DRAINED = { id: 0x111111, address: '10.0.0.40' };
const IDLE = { id: 0x222222, address: '10.0.0.41' };
const MENDED = 0x333333;
const NEAR = { id: 0x444444, address: '10.0.1.1' };
const FAR = 0x555555;

const reals = [
  ...[...byId].map(([id, address]) => real(address, { serverIds: [id] })),
  real(DRAINED.address, { serverIds: [DRAINED.id], state: 'drain' }),
  real(IDLE.address, { serverIds: [IDLE.id], weight: 0 }),
  real('10.0.0.42', { serverIds: [MENDED], state: 'maintenance' }),
];
const pools = [
  pool('web', reals),
  pool('near', [real(NEAR.address, { serverIds: [NEAR.id] })]),
  pool('far', [real('10.0.2.1', { serverIds: [FAR] })]),
];
/** Nobody’s client, so that the pool near is reached by ids alone. */
const clients = [{ prefix: '203.0.113.0/24', pool: 'near' }];
const vips = families.flatMap((family) => {
  const quicVip = { address: VIP[family], protocol: 'udp' } as const;
  return [
    vip(`katran-${family}`, { ...quicVip, port: KATRAN, quic: 'katran', clients }),
    vip(`quic-lb-${family}`, { ...quicVip, port: QUIC_LB, quic: 'quic-lb' }),
    vip(`stable-${family}`, { ...quicVip, port: STABLE, udpStableRouting: true }),
    vip(`both-${family}`, { ...quicVip, port: BOTH, quic: 'katran', udpStableRouting: true }),
    vip(`plain-${family}`, { ...quicVip, port: PLAIN }),
    vip(`option-${family}`, { address: VIP[family], port: 443, tcpServerId: true }),
    vip(`no-option-${family}`, { address: VIP[family], port: 444 }),
  ];
});

let tracer: Tracer;

beforeAll(async () => {
  tracer = await tracerOf(snapshot(pools, vips), {}, 16_384);
});

afterAll(() => tracer[Symbol.dispose]());

let nextPort = 1024;

/** Each in a flow of its own, unless told otherwise, so that the flow cache has no say. */
function datagram(payload: Uint8Array, to: number, family: 4 | 6 = 4, from = nextPort++): Traced {
  return tracer.trace(framed(packet(VIP[family], udp({ from, to, payload }))));
}

const noId = { action: 'TX', path: 'ring', events: null };
const unknownId = { action: 'TX', path: 'ring', events: ['unknown_id'] };
const found = (path: string, address: string | undefined) => ({
  action: 'TX',
  path,
  real: address,
  slot: null,
  events: null,
});

/** A connection id of 8 bytes as katran makes them. @param version 0 to 3 */
function katranId(version: number, id: number): Uint8Array {
  const bits = [18, 18, 32, 40][version] ?? 0;
  const value = (BigInt(version) << 62n) | (BigInt(id) << BigInt(64 - bits));
  // What follows the id is the server’s own business: all ones show whether it is looked at.
  const rest = (1n << BigInt(64 - bits)) - 1n;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value | rest);
  return bytes;
}

/** As draft-ietf-quic-load-balancers has them in plaintext. @param first the byte before the id */
function draftId(first: number, id: number): Uint8Array {
  const bytes = Buffer.alloc(8, 0xff);
  bytes[0] = first;
  bytes.writeUInt32BE(id, 1);
  return bytes;
}

const shortHeader = (cid: Uint8Array, first = 0x40): Uint8Array => Buffer.concat([Uint8Array.of(first), cid]);
const longHeader = (cid: Uint8Array, first = 0xe0, length = cid.length): Uint8Array =>
  Buffer.concat([Uint8Array.of(first, 0, 0, 0, 1, length), cid]);

const [id16, id24, id32] = [...byId.keys()] as [number, number, number];

describe.each(families)('a QUIC connection id over IPv%i', (family) => {
  it.each([
    [1, id16],
    [2, id24],
    [3, id32],
  ])('of katran’s version %i names a real, in a short and a long header', (version, id) => {
    const cid = katranId(version, id);
    for (const payload of [
      shortHeader(cid),
      longHeader(cid),
      longHeader(cid, 0xf0),
      longHeader(Buffer.concat([cid, cid])),
    ])
      expect(datagram(payload, KATRAN, family)).toMatchObject(found('quic', byId.get(id)));
  });

  it('of katran’s version 0 has none', () => {
    expect(datagram(shortHeader(katranId(0, id16)), KATRAN, family)).toMatchObject(noId);
  });

  it.each([0x00, 0x20, 0x1f, 0xc0, 0xdf])('of the draft names a real behind the first byte %i', (first) => {
    const cid = draftId(first & 0xdf, id32);
    for (const payload of [shortHeader(cid), longHeader(cid), longHeader(cid, 0xf0)])
      expect(datagram(payload, QUIC_LB, family)).toMatchObject(found('quic', byId.get(id32)));
  });

  it.each([0xe0, 0xff, 0xf3])('of the draft has none behind the first byte %i', (first) => {
    expect(datagram(shortHeader(draftId(first, id32)), QUIC_LB, family)).toMatchObject(noId);
  });

  it('is in any short header, whatever its other bits', () => {
    for (let first = 0; first < 0x80; first++)
      expect(datagram(shortHeader(katranId(1, id16), first), KATRAN, family).path).toBe('quic');
  });

  it('in a long header counts unless the packet is an Initial one or 0-RTT, which clients make up', () => {
    for (let first = 0x80; first < 0x100; first++)
      expect([first, datagram(longHeader(katranId(1, id16), first), KATRAN, family).path]).toEqual([
        first,
        (first & 0x30) > 0x10 ? 'quic' : 'ring',
      ]);
  });

  it('has at least eight bytes, by what the long header says of it', () => {
    for (let length = 0; length < 256; length++)
      expect(datagram(longHeader(katranId(1, id16), 0xe0, length), KATRAN, family).path).toBe(
        length < 8 ? 'ring' : 'quic',
      );
  });

  it('has to be there whole', () => {
    for (const [whole, version] of [
      [shortHeader(katranId(1, id16)), 1],
      [longHeader(katranId(2, id24)), 2],
    ] as const) {
      for (let length = 0; length < whole.length; length++)
        expect(datagram(whole.subarray(0, length), KATRAN, family)).toMatchObject(noId);
      expect([version, datagram(whole, KATRAN, family).path]).toEqual([version, 'quic']);
    }
  });

  it('is not in the padding behind the packet', () => {
    const whole = shortHeader(katranId(1, id16));
    const cut = packet(VIP[family], udp({ from: nextPort++, to: KATRAN, payload: whole.subarray(0, 8) }));
    expect(tracer.trace(Buffer.concat([framed(cut), whole.subarray(8), new Uint8Array(60)]))).toMatchObject(noId);
  });
});

describe('an id', () => {
  const ask = (id: number, from?: number): Traced => datagram(shortHeader(katranId(2, id)), KATRAN, 4, from);

  it('that nobody has is counted, and the ring decides', () => {
    for (const id of [0, 1, id24 + 1, id24 ^ 0x800000, 0xffffff]) expect(ask(id)).toMatchObject(unknownId);
  });

  it('of a drained real, and of one of weight 0, leads there', () => {
    expect(ask(DRAINED.id)).toMatchObject(found('quic', DRAINED.address));
    expect(ask(IDLE.id)).toMatchObject(found('quic', IDLE.address));
  });

  it('of a real in maintenance is nobody’s', () => expect(ask(MENDED)).toMatchObject(unknownId));

  it('of the pool of some clients leads there whoever sends it; one of another pool does not', () => {
    expect(ask(NEAR.id)).toMatchObject({ ...found('quic', NEAR.address), pool: 'near' });
    expect(ask(FAR)).toMatchObject(unknownId);
  });

  it('goes before what the flow cache remembers, and is not remembered itself', () => {
    const from = nextPort++;
    const first = datagram(new Uint8Array(1), KATRAN, 4, from);
    const [other, id] = first.real === byId.get(id24) ? [DRAINED.address, DRAINED.id] : [byId.get(id24), id24];
    expect(ask(id, from)).toMatchObject(found('quic', other));
    expect(datagram(new Uint8Array(1), KATRAN, 4, from)).toMatchObject({ path: 'cache', real: first.real });
    const fresh = nextPort++;
    ask(id, fresh);
    expect(datagram(new Uint8Array(1), KATRAN, 4, fresh).path).toBe('ring');
  });

  it('means nothing to a VIP that asks for none', () => {
    for (const payload of [shortHeader(katranId(1, id16)), stable(id24)])
      expect(datagram(payload, PLAIN)).toMatchObject(noId);
  });
});

/** @param length of the payload */
function stable(id: number, mark = 0x52, length = 8): Uint8Array {
  const bytes = Buffer.alloc(8, 0xff);
  bytes.writeUInt32BE(id, 0);
  bytes[0] = mark;
  return bytes.subarray(0, length);
}

describe.each(families)('a stable routing id over IPv%i', (family) => {
  it('names a real by its three bytes', () => {
    expect(datagram(stable(id24), STABLE, family)).toMatchObject(found('stable', byId.get(id24)));
    expect(datagram(stable(id24 - 1), STABLE, family)).toMatchObject(unknownId);
  });

  it('has its mark before it, and a payload of eight bytes', () => {
    for (let mark = 0; mark < 256; mark++)
      expect(datagram(stable(id24, mark), STABLE, family).path).toBe(mark === 0x52 ? 'stable' : 'ring');
    for (let length = 0; length < 8; length++)
      expect(datagram(stable(id24, 0x52, length), STABLE, family)).toMatchObject(noId);
  });

  it('is asked for after a QUIC connection id that names nobody, and not after one that does', () => {
    // The mark is a short header, and the connection id starts behind it.
    const asked = (cid: Uint8Array) => datagram(Buffer.concat([Uint8Array.of(0x52), cid]), BOTH, family);
    expect(asked(katranId(1, id16))).toMatchObject(found('quic', byId.get(id16)));
    const other = Buffer.concat([stable(id24).subarray(1), new Uint8Array(8)]);
    expect(asked(other)).toMatchObject({ path: 'stable', real: byId.get(id24), events: ['unknown_id'] });
  });
});

describe.each(families)('the TCP option over IPv%i', (family) => {
  const option = (id: number, kind = 0xb7, length = 6): Uint8Array => {
    const bytes = Buffer.alloc(6);
    bytes.set([kind, length]);
    bytes.writeUInt32BE(id, 2);
    return bytes;
  };
  const segment = (options: Uint8Array, flags: number = tcpFlags.ack, to = 443) => {
    const padded = Buffer.concat([options, new Uint8Array((4 - (options.length % 4)) % 4)]);
    return tcp({ from: nextPort++, to, flags, options: padded });
  };
  const send = (...options: readonly Uint8Array[]): Traced =>
    tracer.trace(framed(packet(VIP[family], segment(Buffer.concat(options)))));
  const nops = (count: number): Uint8Array => new Uint8Array(count).fill(1);
  const other = (length: number): Uint8Array => new Uint8Array(length).with(0, 8).with(1, length);
  const wanted = found('option', byId.get(id32));

  it('names a real, wherever it is among others', () => {
    expect(send(option(id32))).toMatchObject(wanted);
    expect(send(nops(2), option(id32))).toMatchObject(wanted);
    expect(send(nops(1), other(10), other(3), option(id32))).toMatchObject(wanted);
    expect(send(other(34), option(id32))).toMatchObject(wanted);
    expect(send(option(id32), other(2), option(1))).toMatchObject(wanted);
    expect(send(option(id32 - 1))).toMatchObject(unknownId);
  });

  it('is looked for behind one of another length', () => {
    expect(send(Uint8Array.of(0xb7, 4, 0xff, 0xff), option(id32))).toMatchObject(wanted);
    expect(send(Uint8Array.of(0xb7, 2), option(id32))).toMatchObject(wanted);
    expect(send(Buffer.concat([option(id32, 0xb7, 8), nops(2)]))).toMatchObject(noId);
  });

  it('is the fifteenth at most', () => {
    expect(send(nops(14), option(id32))).toMatchObject(wanted);
    expect(send(nops(15), option(id32))).toMatchObject(noId);
  });

  it('is not behind the end of the list, nor behind one whose length cannot be', () => {
    expect(send(Uint8Array.of(0), option(id32))).toMatchObject(noId);
    for (const length of [0, 1]) expect(send(Uint8Array.of(8, length), option(id32))).toMatchObject(noId);
    for (const length of [9, 40, 255]) expect(send(Uint8Array.of(8, length), option(id32))).toMatchObject(noId);
    expect(send(nops(3), Uint8Array.of(0xb7))).toMatchObject(noId);
  });

  it('does not reach beyond the header', () => {
    // Four bytes of options, and the rest of the option in the payload.
    const bytes = tcp({
      from: nextPort++,
      to: 443,
      options: option(id32).subarray(0, 4),
      payload: option(id32).subarray(4),
    });
    expect(tracer.trace(framed(packet(VIP[family], bytes)))).toMatchObject(noId);
  });

  it('is not read when the header is said to be longer than the packet', () => {
    const whole = segment(option(id32));
    const cut = rawSegment(6, whole.bytes.subarray(0, whole.bytes.length - 1));
    expect(tracer.trace(framed(packet(VIP[family], cut), { padTo: 120 }))).toMatchObject(noId);
  });

  it('is not read when the header is said to be shorter than it can be', () => {
    for (let words = 0; words < 5; words++) {
      const { bytes } = segment(option(id32));
      bytes[12] = words << 4;
      expect(tracer.trace(framed(packet(VIP[family], rawSegment(6, bytes))))).toMatchObject(noId);
    }
  });

  it('is not read from what opens a connection', () => {
    const { syn, ack, fin, rst, psh } = tcpFlags;
    const path = (flags: number) => tracer.trace(framed(packet(VIP[family], segment(option(id32), flags)))).path;
    expect([syn, syn | ack].map(path)).toEqual(['ring', 'ring']);
    expect([ack, fin | ack, rst, psh | ack, 0].map(path)).toEqual(new Array(5).fill('option'));
  });

  it('means nothing to a VIP that asks for none', () => {
    expect(tracer.trace(framed(packet(VIP[family], segment(option(id32), tcpFlags.ack, 444))))).toMatchObject(noId);
  });
});
