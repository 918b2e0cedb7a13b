import { describe, expect, it } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import type { Pool, Vip } from '../../src/core/model.ts';
import { Model, type Outcome } from '../model/program.ts';
import { type ModelHost, World } from '../model/world.ts';
import {
  ethernet,
  etherTypes,
  icmp,
  internetChecksum,
  ipv4,
  ipv6,
  rawSegment,
  tcp,
  tcpFlags,
  udp,
} from '../support/frames.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';

/** The model that the program is compared with, on packets whose outcome was worked out by hand. */

const host: ModelHost = {
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  egress: false,
  local: new Set(['10.0.0.99']),
  neighbours: new Map([['10.0.0.5', '02:00:00:00:00:05']]),
  tunnels: [{ address: '192.0.2.200', guePort: 6080 }],
  own: new Set(),
};

interface Setting {
  readonly vip?: Partial<Vip>;
  readonly pool?: Partial<Pool>;
  readonly host?: Partial<ModelHost>;
}

const R1 = real('10.0.0.1', { serverIds: [0x1234, 0xabcdef, 0x01020304] });

function model({ vip: vipFields = {}, pool: poolFields = {}, host: hostFields = {} }: Setting = {}): Model {
  const state = snapshot(
    [pool('web', [R1], poolFields), pool('near', ['10.0.0.2'])],
    [vip('one', { port: 443, ...vipFields })],
  );
  return new Model(new World(state, { ...host, ...hostFields }));
}

const client = '198.51.100.7';
const VIP = '192.0.2.10';
const client6 = addressBytes('2001:db8::7');
const vip6 = addressBytes('2001:db8:ffff::10');

const packet = (segment = tcp({ from: 40_000, to: 443 }), header: object = {}): Uint8Array =>
  ipv4({ from: client, to: VIP, ...header }, segment);
const macs = { from: '02:00:00:00:00:02', to: '02:00:00:00:00:01' };

function summary({ action, reason, real: address, path, slot }: Outcome): unknown[] {
  return [action, reason, address, path, slot];
}

describe('sending', () => {
  it('puts an IPv4 header in front', () => {
    // 310cd5040beb3e08 is the hash of the first vector.
    const expected = ethernet(
      ipv4(
        { from: '172.16.235.11', to: '10.0.0.1', ttl: 64, id: 0, tos: 0xb9 },
        rawSegment(4, packet(undefined, { tos: 0xb9 })),
      ),
      macs,
    );
    const outcome = model().run(ethernet(packet(undefined, { tos: 0xb9 })));
    expect(outcome).toMatchObject({
      action: 'TX',
      reason: 'forwarded',
      vip: 'one',
      pool: 'web',
      path: 'ring',
      slot: 12_557,
    });
    expect(Buffer.from(outcome.frame!).toString('hex')).toBe(Buffer.from(expected).toString('hex'));
  });

  it('puts an IPv6 header in front, with label and source from the hash', () => {
    const { frame } = model({ pool: { reals: [real('2001:db8::1')] } }).run(ethernet(packet()));
    const fixed = '60' + '0' + 'cd504' + '0028' + '04' + '40';
    const source = '0100000000000000' + '04d50c31' + '083eeb0b';
    const destination = '20010db8000000000000000000000001';
    expect(frame?.subarray(14, 54).toString('hex')).toBe(fixed + source + destination);
    expect(frame?.subarray(54)).toEqual(packet());
  });

  it.each([
    ['TCP', packet(tcp({ from: 40_000, to: 443, payload: Buffer.from('odd') }))],
    [
      'an ICMP error',
      ipv4({ from: client, to: VIP }, icmp(3, ipv4({ from: VIP, to: client }, tcp({ from: 443, to: 40_000 })))),
    ],
  ])('seals GUE around %s', (_, inner) => {
    const { frame } = model({ pool: { encap: 'gue' } }).run(ethernet(inner));
    const [ip, segment] = [frame!.subarray(14, 34), frame!.subarray(34)];
    expect(segment.readUInt16BE(0)).toBe(49_152 + 0x310c);
    expect(segment.readUInt16BE(2)).toBe(6080);
    const pseudo = Buffer.concat([ip.subarray(12), Buffer.from([0, 17]), segment.subarray(4, 6)]);
    expect(internetChecksum(pseudo, segment)).toBe(0);
  });

  it('rewrites the addresses alone with encap l2', () => {
    const outcome = model({ pool: { encap: 'l2', reals: [real('10.0.0.5')] } }).run(ethernet(packet()));
    expect(outcome.frame).toEqual(ethernet(packet(), { ...macs, to: '02:00:00:00:00:05' }));
    const unknown = model({ pool: { encap: 'l2' } }).run(ethernet(packet()));
    expect(summary(unknown)).toEqual(['DROP', 'no_neighbour', '10.0.0.1', 'ring', 12_557]);
  });

  it('keeps tags, and leaves them out on another interface', () => {
    const tagged = ethernet(packet(), { tags: [[etherTypes.vlan, 7]] });
    expect(model().run(tagged).frame?.readUInt32BE(12)).toBe(0x81000007);
    const other = model({ host: { egress: true } }).run(tagged);
    expect(other.action).toBe('REDIRECT');
    expect(other.frame?.readUInt16BE(12)).toBe(0x0800);
  });

  it('tells who sent too much', () => {
    const long = packet(tcp({ from: 40_000, to: 443, payload: new Uint8Array(1_441) }));
    const answer = model().run(ethernet(long));
    expect(summary(answer)).toEqual(['TX', 'too_big_answered', '10.0.0.1', 'ring', 12_557]);
    const quoted = Buffer.concat([Buffer.from([0, 0, 5, 0xc8]), long.subarray(0, 548)]);
    const message = Buffer.concat([Buffer.from([3, 4, 0, 0]), quoted]);
    message.writeUInt16BE(internetChecksum(message), 2);
    const sent = ipv4({ from: VIP, to: client, ttl: 64, id: 0 }, rawSegment(1, message));
    expect(answer.frame).toEqual(ethernet(sent, { from: '02:00:00:00:00:02', to: '02:00:00:00:00:09' }));
    const mayBeCut = ipv4(
      { from: client, to: VIP, dontFragment: false },
      tcp({ from: 1, to: 443, payload: new Uint8Array(1_441) }),
    );
    expect(model().run(ethernet(mayBeCut)).reason).toBe('too_big');
    expect(model().run(ethernet(packet(tcp({ from: 40_000, to: 443, payload: new Uint8Array(1_440) })))).reason).toBe(
      'forwarded',
    );
  });
});

describe('choosing', () => {
  it('remembers flows, but asks the ring at a SYN', () => {
    const one = model();
    const syn = ethernet(packet(tcp({ from: 40_000, to: 443, flags: tcpFlags.syn })));
    expect([syn, ethernet(packet()), syn].map((frame) => one.run(frame).path)).toEqual(['ring', 'cache', 'ring']);
  });

  it('asks the prefixes of clients, the longest first', () => {
    const clients = [
      { prefix: '198.51.0.0/16', pool: 'web' },
      { prefix: '198.51.100.0/24', pool: 'near' },
    ];
    const outcome = model({ vip: { clients } }).run(ethernet(packet()));
    expect([outcome.pool, outcome.real, outcome.path]).toEqual(['near', '10.0.0.2', 'prefix']);
  });

  const from = { from: 40_000, to: 443 };
  const id1 = Buffer.concat([Buffer.from([0x40, 0x44, 0x8d, 0x00]), Buffer.alloc(6)]);
  it.each<[string, Partial<Vip>, ReturnType<typeof udp>, string]>([
    ['QUIC of katran, version 1', { quic: 'katran' }, udp({ ...from, payload: id1 }), 'quic'],
    ['QUIC-LB', { quic: 'quic-lb' }, udp({ ...from, payload: Buffer.from('400001020304000000', 'hex') }), 'quic'],
    ['QUIC too short', { quic: 'quic-lb' }, udp({ ...from, payload: Buffer.from('4000010203040000', 'hex') }), 'ring'],
    [
      'an Initial',
      { quic: 'katran' },
      udp({ ...from, payload: Buffer.from(`c00000000108c1${'01020304'.repeat(3)}`, 'hex') }),
      'ring',
    ],
    [
      'a handshake',
      { quic: 'katran' },
      udp({ ...from, payload: Buffer.from(`e00000000108c1${'01020304'.repeat(3)}`, 'hex') }),
      'quic',
    ],
    [
      'stable routing',
      { udpStableRouting: true },
      udp({ ...from, payload: Buffer.from('52abcdef00000000', 'hex') }),
      'stable',
    ],
    [
      'an id of nobody',
      { udpStableRouting: true },
      udp({ ...from, payload: Buffer.from('52abcdee00000000', 'hex') }),
      'ring',
    ],
    [
      'the TCP option',
      { tcpServerId: true, protocol: 'tcp' },
      tcp({ ...from, options: Buffer.from('0101b70601020304', 'hex') }),
      'option',
    ],
    [
      'the option of a SYN',
      { tcpServerId: true, protocol: 'tcp' },
      tcp({ ...from, flags: 0x12, options: Buffer.from('0101b70601020304', 'hex') }),
      'ring',
    ],
  ])('knows %s', (_, fields, segment, path) => {
    expect(model({ vip: { protocol: 'udp', ...fields } }).run(ethernet(packet(segment))).path).toBe(path);
  });

  it('sends an ICMP error where its flow is', () => {
    const quoted = ipv4({ from: VIP, to: client }, tcp({ from: 443, to: 40_000 })).subarray(0, 28);
    const outcome = model().run(ethernet(ipv4({ from: '203.0.113.1', to: VIP }, icmp(3, quoted))));
    expect(summary(outcome)).toEqual(['TX', 'forwarded', '10.0.0.1', 'icmp', 12_557]);
    const short = model().run(ethernet(ipv4({ from: '203.0.113.1', to: VIP }, icmp(3, quoted.subarray(0, 27)))));
    expect(summary(short)).toEqual(['PASS', 'icmp_other', null, null, null]);
  });

  it('has fragments follow their addresses where the VIP says so', () => {
    const fragment = ethernet(packet(rawSegment(6, new Uint8Array(8)), { fragmentOffset: 9, dontFragment: false }));
    expect(model().run(fragment).reason).toBe('fragment');
    const pairs = model({ vip: { fragments: 'hash' } });
    const [first, second] = [pairs.run(fragment), pairs.run(ethernet(packet()))];
    expect([first.reason, first.path, second.path]).toEqual(['forwarded', 'ring', 'cache']);
  });
});

describe('reading', () => {
  const extension = (count: number, size = 8): Uint8Array =>
    Buffer.concat(
      Array.from({ length: count }, () => Buffer.concat([Buffer.from([60, size / 8 - 1]), Buffer.alloc(size - 2)])),
    );
  const chained = (count: number, size = 8): Uint8Array => {
    const chain = extension(count, size);
    const bytes = ipv6(client6, vip6, tcp({ from: 1, to: 443 }), { extensions: [{ type: 60, bytes: chain }] });
    // The last one names what follows, the others one another.
    bytes[40] = count === 1 ? 6 : 60;
    bytes[40 + (count - 1) * size] = 6;
    return ethernet(bytes, { type: etherTypes.ipv6 });
  };
  const served = { vip: { address: '2001:db8:ffff::10' } };

  it.each([
    ['six extension headers', chained(6), 'forwarded'],
    ['seven', chained(7), 'malformed'],
    ['512 bytes of them', chained(1, 512), 'forwarded'],
    ['more', chained(1, 520), 'malformed'],
    ['a third tag', ethernet(Buffer.from('000181000002810000030800', 'hex'), { type: 0x88a8 }), 'not_ip'],
    ['a cut header', ethernet(packet().subarray(0, 19)), 'unreadable'],
    ['IP options', ethernet(packet(undefined, { options: Buffer.alloc(4) })), 'not_vip'],
  ])('%s', (_, frame, reason) => {
    expect(model(served).run(frame).reason).toBe(reason);
  });

  it('answers an echo request', () => {
    const outcome = model().run(ethernet(ipv4({ from: client, to: VIP, ttl: 3 }, icmp(8, Buffer.from('hello')))));
    const reply = ipv4({ from: VIP, to: client, ttl: 64 }, icmp(0, Buffer.from('hello')));
    expect([outcome.action, outcome.reason, outcome.vip]).toEqual(['TX', 'echo_answered', null]);
    expect(outcome.frame).toEqual(ethernet(reply, { from: '02:00:00:00:00:02', to: '02:00:00:00:00:09' }));
    expect(model({ vip: { icmpEcho: false } }).run(ethernet(ipv4({ from: client, to: VIP }, icmp()))).reason).toBe(
      'icmp_other',
    );
  });

  it('leaves own addresses to the host where only a prefix has them', () => {
    const one = model({ vip: { address: '192.0.2.0/24' }, host: { own: new Set(['192.0.2.9', VIP]) } });
    const outcome = (bytes: Uint8Array): unknown => one.run(ethernet(bytes, macs)).reason;
    for (const bytes of [packet(), packet(icmp(8)), packet(rawSegment(6, new Uint8Array(4)))])
      expect(outcome(bytes)).toBe('not_vip');
    expect(outcome(packet(undefined, { to: '192.0.2.11' }))).toBe('forwarded');
    const exact = model({ host: { own: new Set([VIP]) } });
    expect(exact.run(ethernet(packet(), macs)).reason).toBe('forwarded');
  });

  it('opens tunnels, once', () => {
    const tunnel = (inner: Uint8Array, ttl = 200): Uint8Array =>
      ipv4({ from: '10.0.0.98', to: '192.0.2.200', ttl }, rawSegment(4, inner));
    const gue = ipv4(
      { from: '10.0.0.98', to: '192.0.2.200', ttl: 200 },
      udp({ from: 50_000, to: 6080, payload: packet() }),
    );
    const plain = model().run(ethernet(packet()));
    expect(model().run(ethernet(tunnel(packet())))).toEqual({ ...plain, events: ['opened'] });
    expect(model().run(ethernet(gue))).toEqual({ ...plain, events: ['opened'] });
    expect(model().run(ethernet(tunnel(packet(), 9))).frame?.[22]).toBe(8);
    expect(model().run(ethernet(tunnel(packet(), 1))).reason).toBe('expired');
    expect(model().run(ethernet(tunnel(tunnel(packet())))).reason).toBe('nested');
    expect(model().run(ethernet(tunnel(packet().subarray(0, 19)))).reason).toBe('malformed');
    const other = ipv4({ from: client, to: '192.0.2.11' }, tcp({ from: 1, to: 443 }));
    expect(model().run(ethernet(tunnel(other)))).toMatchObject({
      action: 'PASS',
      reason: 'not_vip',
      frame: ethernet(other),
    });
  });

  it('passes what a local real shall have', () => {
    const outcome = model({ pool: { reals: [real('10.0.0.99')] } }).run(ethernet(packet()));
    expect(summary(outcome)).toEqual(['PASS', 'local_real', '10.0.0.99', 'ring', 12_557]);
    expect(outcome.frame).toEqual(ethernet(packet()));
  });
});
