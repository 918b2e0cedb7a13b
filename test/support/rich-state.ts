import fc from 'fast-check';
import { addressFromBytes } from '../../src/core/address.ts';

/** A state with VIPs of every kind, and packets for them in words: what trace and explain are compared on. */

const checks = [{ type: 'tcp', port: 80 }];

/** Ids of the reals of `web` are 1,001 and up, those of `near` 2,001 and up. */
function reals(count: number, network: string, firstId: number): object {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`r${i}`, { address: `${network}.${i + 1}`, serverIds: [firstId + i] }]),
  );
}

const vip6 = '2001:db8:ffff::10';
const tcp = (address: string, port: number, pool: string, fields: object = {}): object => ({
  address,
  port,
  protocol: 'tcp',
  pool,
  ...fields,
});
const udp = (address: string, port: number, pool: string, fields: object = {}): object => ({
  ...tcp(address, port, pool, fields),
  protocol: 'udp',
});
const clients = [
  { prefix: '198.51.100.0/24', pool: 'near' },
  { prefix: '198.51.0.0/16', pool: 'mixed' },
  { prefix: '198.51.100.128/25', pool: 'empty' },
];

export const richState = {
  settings: { seed: 'c0ffee', outerSource: { v4: '172.16.0.0/13', v6: '2001:db8:aaaa:bbbb:c000::/66' } },
  vips: {
    web: tcp('192.0.2.10', 443, 'web'),
    web6: tcp(vip6, 443, 'web'),
    all: udp('192.0.2.11', 0, 'mixed'),
    'all-53': udp('192.0.2.11', 53, 'web'),
    empty: tcp('192.0.2.12', 80, 'empty'),
    net: tcp('192.0.3.0/24', 80, 'web'),
    'net-half': tcp('192.0.3.128/25', 0, 'six'),
    'net-host': tcp('192.0.3.7', 0, 'mixed'),
    net6: udp('2001:db8:fffe::/48', 53, 'gue'),
    source: tcp('192.0.2.20', 0, 'web', { hash: 'source' }),
    port: udp('192.0.2.21', 0, 'gue', { hash: 'dest-port', flowCache: false }),
    clients: tcp('192.0.2.22', 80, 'web', { clients }),
    quic: udp('192.0.2.23', 443, 'web', { quic: 'katran', udpStableRouting: true, clients }),
    'quic-lb': udp('192.0.2.24', 443, 'web', { quic: 'quic-lb' }),
    option: tcp('192.0.2.25', 80, 'near', { tcpServerId: true }),
    pair: udp('192.0.2.26', 53, 'gue', { fragments: 'hash' }),
    'pair-source': tcp('192.0.2.27', 0, 'six', { fragments: 'hash', hash: 'source' }),
  },
  pools: {
    web: { checks, reals: reals(20, '10.0.1', 1_001) },
    near: { checks, encap: 'l2', reals: reals(5, '10.0.3', 2_001) },
    mixed: {
      checks,
      reals: {
        a: { address: '10.0.2.1', weight: 7 },
        b: { address: '2001:db8:1::1', weight: 300 },
        c: { address: '10.0.2.3', state: 'drain' },
        d: { address: '10.0.2.4', weight: 0 },
      },
    },
    six: { checks, encap: 'gue', reals: { a: { address: '2001:db8:1::a' }, b: { address: '2001:db8:1::b' } } },
    gue: { checks, encap: 'gue', guePort: 7_777, gueChecksum: false, reals: reals(5, '10.0.4', 3_001) },
    empty: { checks },
  },
};

const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => `[${addressFromBytes(bytes)}]`);
const anyClient = fc.ipV4();
const someClient = fc.oneof(
  anyClient,
  fc.nat(255).map((last) => `198.51.100.${last}`),
  fc.nat(255).map((last) => `198.51.7.${last}`),
);
const hex = (number: number, bytes: number): string => number.toString(16).padStart(2 * bytes, '0');
const id = fc.oneof(fc.integer({ min: 1_001, max: 1_020 }), fc.integer({ min: 2_001, max: 2_005 }), fc.nat(0xffff));

/** `cid` and what it says; the two bits say how long the id is. */
const cid = fc.tuple(fc.nat(3), id).map(([kind, number]) => {
  if (kind === 1) return `cid ${hex(0x4000_0000 + (number << 14), 4)}00000000`;
  return `cid ${hex(kind << 6, 1)}${kind === 3 ? hex(number, 4) : hex(number, 3)}00000000`;
});
const stable = id.map((number) => `stable ${number}`);
const serverId = id.map((number) => `server-id ${number}`);
const frag = fc.constantFrom('frag 0', 'frag 8', 'frag 1480');
const nothing = fc.constant('');

type Kind = readonly [
  protocol: 'tcp' | 'udp',
  source: fc.Arbitrary<string>,
  destination: fc.Arbitrary<string>,
  words: fc.Arbitrary<string>,
];

const to = (...destinations: string[]) => fc.constantFrom(...destinations);
const plain: readonly Kind[] = [
  ['tcp', anyClient, to('192.0.2.10:443', '192.0.2.10:444', '192.0.2.12:80'), nothing],
  ['tcp', ipv6, to(`[${vip6}]:443`), nothing],
  ['udp', anyClient, to('192.0.2.11:53', '192.0.2.11:5353', '192.0.2.99:80'), nothing],
];
const special: readonly Kind[] = [
  ['tcp', anyClient, fc.tuple(fc.nat(255), to('80', '81')).map(([last, port]) => `192.0.3.${last}:${port}`), nothing],
  ['tcp', anyClient, to('192.0.3.7:80', '192.0.3.7:81', '192.0.3.200:80', '192.0.4.1:80'), nothing],
  ['udp', ipv6, to('[2001:db8:fffe::1]:53', '[2001:db8:fffe:ff::]:53', '[2001:db8:fffd::1]:53'), nothing],
  ['tcp', anyClient, fc.nat(0xffff).map((port) => `192.0.2.20:${port}`), nothing],
  ['udp', anyClient, fc.nat(0xffff).map((port) => `192.0.2.21:${port}`), nothing],
  ['tcp', someClient, to('192.0.2.22:80'), nothing],
  ['udp', someClient, to('192.0.2.23:443', '192.0.2.24:443'), fc.oneof(nothing, cid, cid, stable)],
  ['tcp', anyClient, to('192.0.2.25:80'), fc.oneof(nothing, serverId, serverId)],
  ['udp', anyClient, to('192.0.2.26:53'), fc.oneof(nothing, frag)],
  ['udp', anyClient, to('192.0.2.26:54', '192.0.2.11:53', '192.0.2.99:53'), frag],
  ['tcp', anyClient, fc.nat(0xffff).map((port) => `192.0.2.27:${port}`), fc.oneof(nothing, frag)],
  ['tcp', anyClient, to('192.0.2.10:443', '192.0.3.7:80', '192.0.3.8:80'), frag],
];

function inquiries(kinds: readonly Kind[]): fc.Arbitrary<string> {
  return fc
    .constantFrom(...kinds)
    .chain(([protocol, source, destination, words]) =>
      fc
        .tuple(source, fc.nat(0xffff), destination, words)
        .map(([from, port, end, rest]) => `${protocol} ${from}:${port} > ${end} ${rest}`.trim()),
    );
}

/** Flows alone, for VIPs that have nothing but a pool. */
export const plainFlows = inquiries(plain);
/** Flows, many with something behind them, for all VIPs. */
export const richInquiries = inquiries([...plain, ...special]);
