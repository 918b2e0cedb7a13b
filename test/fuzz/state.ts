import type { Snapshot } from '../../src/core/model.ts';
import type { ModelHost } from '../model/world.ts';
import { parse, type Values } from '../support/desired.ts';

/** States with everything that decides about packets, on hosts of several kinds. */

export interface FuzzCase {
  readonly name: string;
  readonly snapshot: Snapshot;
  readonly host: ModelHost;
  /** How many of all frames go here, in proportion. */
  readonly weight: number;
}

/** Ids that packets carry: those of reals, and those of nobody or of a real that is not to be found. */
export const serverIds = {
  present: [7, 0x1234, 0xffff, 0xabcdef, 0xffffff, 0x01020304, 0xdeadbeef, 0xffffffff],
  absent: [0, 1, 0x4321, 0xabcdee, 0xcafebabe],
} as const;

function pool(reals: readonly (string | Values)[], fields: Values = {}): Values {
  const named = reals.map((real, i) => [`r${i}`, typeof real === 'string' ? { address: real } : real]);
  return { checks: [{ type: 'tcp', port: 80 }], reals: Object.fromEntries(named), ...fields };
}

const pools: Values = {
  web: pool(['10.0.1.1', { address: '10.0.1.2', weight: 50 }, { address: '10.0.1.3', state: 'drain' }]),
  web6: pool(['2001:db8:1::1', { address: '2001:db8:1::2', weight: 300 }, { address: '2001:db8:1::3', weight: 0 }]),
  both: pool(['10.0.2.1', '10.0.2.2', '2001:db8:2::1', '2001:db8:2::2']),
  gue: pool(['10.0.3.1', '2001:db8:3::1'], { encap: 'gue' }),
  'gue-bare': pool(['10.0.4.1', '2001:db8:4::1'], { encap: 'gue', guePort: 5555, gueChecksum: false }),
  segment: pool(['10.0.5.1', '10.0.5.2', '2001:db8:5::1', '2001:db8:5::2'], { encap: 'l2' }),
  near: pool(['10.0.6.1', '2001:db8:6::1', { address: '10.0.6.2', serverIds: [0xffffffff] }], { encap: 'gue' }),
  ids: pool([
    { address: '10.0.7.1', serverIds: [7] },
    { address: '10.0.7.2', serverIds: [0x1234, 0x01020304] },
    { address: '10.0.7.3', serverIds: [0xffff], state: 'drain' },
    { address: '10.0.7.4', serverIds: [0xabcdef], weight: 0 },
    { address: '10.0.7.5', serverIds: [0xcafebabe], state: 'maintenance' },
    { address: '2001:db8:7::1', serverIds: [0xffffff, 0xdeadbeef] },
  ]),
  elsewhere: pool([{ address: '10.0.8.1', serverIds: [0x4321] }]),
  here: pool(['10.0.9.1', '10.0.9.2', '2001:db8:9::1'], { encap: 'gue' }),
  empty: pool([]),
  idle: pool([
    { address: '10.0.10.1', state: 'drain' },
    { address: '10.0.10.2', weight: 0 },
  ]),
};

const clients = [
  { prefix: '198.51.100.0/24', pool: 'near' },
  { prefix: '198.51.100.64/26', pool: 'segment' },
  { prefix: '198.51.100.65/32', pool: 'empty' },
  { prefix: '2001:db8:c::/48', pool: 'near' },
  { prefix: '2001:db8:c:1::/64', pool: 'gue-bare' },
];

/** Of a VIP that looks for no ids: they bring none in for the others of its pool. */
const others = [
  { prefix: '203.0.113.0/24', pool: 'elsewhere' },
  { prefix: '2001:db8:d::/48', pool: 'elsewhere' },
];

/** The same VIPs at an IPv4 and an IPv6 address. */
const twins = [
  { port: 7000, protocol: 'tcp', host: 22, pool: 'ids', clients: others },
  { port: 443, protocol: 'tcp', host: 10, pool: 'web' },
  { port: 443, protocol: 'udp', host: 10, pool: 'ids', quic: 'katran' },
  { port: 53, protocol: 'udp', host: 10, pool: 'web6' },
  { port: 0, protocol: 'tcp', host: 11, pool: 'both' },
  { port: 80, protocol: 'tcp', host: 11, pool: 'gue' },
  { port: 0, protocol: 'udp', host: 11, pool: 'gue-bare' },
  { port: 443, protocol: 'udp', host: 12, pool: 'ids', quic: 'quic-lb', udpStableRouting: true },
  { port: 444, protocol: 'udp', host: 12, pool: 'ids', quic: 'katran', udpStableRouting: true, flowCache: false },
  { port: 0, protocol: 'tcp', host: 12, pool: 'ids', tcpServerId: true, clients },
  { port: 9000, protocol: 'udp', host: 13, pool: 'ids', udpStableRouting: true, clients },
  { port: 80, protocol: 'tcp', host: 14, pool: 'both', hash: 'source' },
  { port: 0, protocol: 'udp', host: 14, pool: 'both', hash: 'dest-port' },
  { port: 0, protocol: 'tcp', host: 15, pool: 'gue', fragments: 'hash' },
  { port: 0, protocol: 'udp', host: 15, pool: 'both', fragments: 'hash' },
  { port: 5000, protocol: 'tcp', host: 16, pool: 'segment', fragments: 'hash', hash: 'source' },
  { port: 5000, protocol: 'udp', host: 16, pool: 'gue', fragments: 'hash', flowCache: false, icmpEcho: false },
  { port: 80, protocol: 'tcp', host: 17, pool: 'web', flowCache: false, icmpEcho: false },
  { port: 81, protocol: 'tcp', host: 17, pool: 'segment' },
  { port: 53, protocol: 'udp', host: 17, pool: 'gue', flowCache: false },
  { port: 80, protocol: 'tcp', host: 18, pool: 'web', clients },
  { port: 0, protocol: 'udp', host: 18, pool: 'gue', clients, hash: 'source' },
  { port: 80, protocol: 'tcp', host: 19, pool: 'here' },
  { port: 53, protocol: 'udp', host: 19, pool: 'here' },
  { port: 80, protocol: 'tcp', host: 20, pool: 'empty' },
  { port: 53, protocol: 'udp', host: 20, pool: 'idle' },
  { port: 80, protocol: 'tcp', host: 21, pool: 'segment' },
  { port: 53, protocol: 'udp', host: 21, pool: 'segment' },
] as const;

const prefixVips = [
  { address: '198.18.0.0/15', port: 0, protocol: 'tcp', pool: 'both' },
  { address: '198.18.0.0/16', port: 443, protocol: 'tcp', pool: 'web' },
  { address: '198.18.6.0/24', port: 0, protocol: 'tcp', pool: 'segment' },
  { address: '198.18.5.0/24', port: 443, protocol: 'tcp', pool: 'gue' },
  { address: '198.18.5.128/25', port: 0, protocol: 'udp', pool: 'gue', fragments: 'hash' },
  { address: '198.18.5.129', port: 53, protocol: 'udp', pool: 'web' },
  { address: '198.18.5.7', port: 80, protocol: 'tcp', pool: 'web' },
  { address: '198.18.5.8', port: 80, protocol: 'tcp', pool: 'web', fragments: 'hash' },
  { address: '198.19.0.0/16', port: 443, protocol: 'udp', pool: 'ids', quic: 'katran', icmpEcho: false },
  { address: '198.19.1.0/24', port: 80, protocol: 'tcp', pool: 'web' },
  { address: '2001:db8:aaaa::/48', port: 0, protocol: 'tcp', pool: 'both' },
  { address: '2001:db8:aaaa:1::/64', port: 443, protocol: 'tcp', pool: 'gue' },
  { address: '2001:db8:aaaa:1::7', port: 80, protocol: 'tcp', pool: 'web6' },
  { address: '2001:db8:aaaa:2::/64', port: 0, protocol: 'udp', pool: 'gue-bare', icmpEcho: false },
  { address: '2001:db8:aaaa:2::/65', port: 53, protocol: 'udp', pool: 'segment', fragments: 'hash' },
  { address: '2001:db8:aaaa:3::/64', port: 0, protocol: 'udp', pool: 'gue', fragments: 'hash' },
];

const ofFamily = (list: typeof clients, v6: boolean): typeof clients =>
  list.filter(({ prefix }) => prefix.includes(':') === v6);

function twin({ host, ...fields }: (typeof twins)[number], v6: boolean): [string, Values] {
  const address = v6 ? `2001:db8:ffff::${host}` : `192.0.2.${host}`;
  const own = 'clients' in fields ? { clients: ofFamily(fields.clients, v6) } : {};
  return [`${v6 ? 'v6' : 'v4'}-${host}-${fields.protocol}-${fields.port}`, { address, ...fields, ...own }];
}

const vips: Values = Object.fromEntries([
  ...twins.flatMap((fields) => [twin(fields, false), twin(fields, true)]),
  ...prefixVips.map((fields, i) => [`prefix-${i}`, fields]),
  ['at-tunnel-tcp', { address: '192.0.2.202', port: 80, protocol: 'tcp', pool: 'web' }],
  ['at-tunnel-udp', { address: '192.0.2.202', port: 53, protocol: 'udp', pool: 'gue' }],
]);

/** @throws Error when anything of it is refused: then it is no state that there can be */
function stateOf(settings: Values): Snapshot {
  const under = (folder: string, values: Values): [string, unknown][] =>
    Object.entries(values).map(([name, value]) => [`${folder}/${name}`, value]);
  const patientVips = Object.fromEntries(
    Object.entries(vips).map(([name, value]) => [name, { udpTimeout: '30m', ...(value as object) }]),
  );
  const { snapshot } = parse(
    Object.fromEntries([['settings', settings], ...under('vips', patientVips), ...under('pools', pools)]),
  );
  if (snapshot.rejected.length > 0) throw new Error(JSON.stringify(snapshot.rejected, null, 1));
  return snapshot;
}

const tunnels = [
  { address: '192.0.2.200', guePort: 6080 },
  { address: '192.0.2.202', guePort: 5555 },
  { address: '198.18.9.9', guePort: 6080 },
  { address: '2001:db8:ffff::200', guePort: 6080 },
];

/** One in a prefix, one that has VIPs of its own as well, one where a tunnel ends; the last is in no prefix. */
const own = new Set(['198.18.6.6', '198.19.1.7', '198.18.5.7', '198.18.9.9', '2001:db8:aaaa:3::6', '10.0.0.2']);

const host: ModelHost = {
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  egress: false,
  local: new Set(['10.0.9.1', '2001:db8:9::1']),
  neighbours: new Map([
    ['10.0.5.1', '02:00:00:00:05:01'],
    ['2001:db8:5::1', '02:00:00:00:05:06'],
  ]),
  tunnels,
  own,
};

const usual = stateOf({});

export const cases: readonly FuzzCase[] = [
  { name: 'on a stick', weight: 6, snapshot: usual, host },
  {
    name: 'small MTU',
    weight: 2,
    snapshot: stateOf({ seed: '8f3a61c2d4', outerSource: { v4: '100.64.0.0/11', v6: '2001:db8:ee::/77' } }),
    host: { ...host, mtu: 576 },
  },
  {
    name: 'egress',
    weight: 2,
    snapshot: stateOf({ seed: 'ff'.repeat(16), outerSource: { v4: '192.168.77.5/32', v6: 'fd00::1/128' } }),
    host: { ...host, egress: true, mtu: 1280 },
  },
  { name: 'no gateway', weight: 1, snapshot: usual, host: { ...host, gatewayMac: '00:00:00:00:00:00' } },
];
