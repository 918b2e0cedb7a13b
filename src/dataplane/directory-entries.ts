import type { Directory, VipRecord } from '../core/data-plane.ts';
import { splitVipId } from '../core/data-plane.ts';
import type { Words } from './address-words.ts';
import type { StructValue } from './codec.ts';
import { enums } from './layout.gen.ts';
import { tableFull } from './table-full.ts';
import { type Range, rangeOf, VipPlaces } from './vip-places.ts';

/** What the directory has entries for, and what they say. Where each stands is the business of directory-table.ts. */

const { PF_FAMILY_PREFIX, PF_FAMILY_V4 } = enums.pf_family;
const flag = enums.pf_flag;

/** IANA protocol numbers. */
const protocolNumbers = { tcp: 6, udp: 17, icmp: 1, icmpv6: 58, ipv4: 4, ipv6: 41 } as const;

/** The program keeps time in 10 bits: a longer timeout would look like a short one. */
const MOST_TICKS = 1_000;

export type Entry = Omit<StructValue<'pf_entry'>, 'spare'>;
/** What an entry says about packets that have its key. */
type Meaning = Omit<Entry, 'address' | 'port' | 'protocol' | 'family'>;

/** What this host’s program knows VIPs’ addresses and clients by. */
export interface Numbering {
  /** By prefix. One that no VIP has gets entries too, if it inherits some: a look-up may lead to it. */
  readonly prefixes: ReadonlyMap<string, number>;
  /** Scopes of lists of client prefixes, none of them empty. */
  readonly scopes: ReadonlyMap<VipRecord['clients'], number>;
  /** Length of a tick of the flow cache. */
  readonly tickMs: number;
}

interface PlacedVip {
  readonly port: number;
  readonly protocol: number;
  readonly record: VipRecord;
  readonly meaning: Meaning;
}

type Levels = readonly (readonly PlacedVip[])[];

/** By protocol and port. */
type Services = Map<number, Map<number, Meaning>>;

/** Says no more than that something is served. */
const SIGN: Meaning = { number: 0, pool: 0, flags: 0, udp_timeout: 0, clients: 0 };

function flagsOf(record: VipRecord): number {
  return (
    flag.PF_VIP |
    (record.hash === 'source' ? flag.PF_HASH_SOURCE : 0) |
    (record.hash === 'dest-port' ? flag.PF_HASH_PORT : 0) |
    (record.fragments === 'hash' ? flag.PF_PAIR : 0) |
    (record.flowCache ? 0 : flag.PF_NO_CACHE) |
    (record.quic === 'katran' ? flag.PF_QUIC : 0) |
    (record.quic === 'quic-lb' ? flag.PF_QUIC_LB : 0) |
    (record.tcpServerId ? flag.PF_TCP_ID : 0) |
    (record.udpStableRouting ? flag.PF_UDP_STABLE : 0) |
    (record.clients.length > 0 ? flag.PF_CLIENTS : 0)
  );
}

/** What the flow cache has of a UDP flow is void when it was not used for more whole ticks than these. */
export function udpTicks({ udpTimeoutMs }: Pick<VipRecord, 'udpTimeoutMs'>, tickMs: number): number {
  return Math.min(MOST_TICKS, Math.max(1, Math.floor(udpTimeoutMs / tickMs)));
}

function meaningOf(record: VipRecord, { scopes, tickMs }: Numbering): Meaning {
  return {
    number: record.number,
    pool: record.pool,
    flags: flagsOf(record),
    udp_timeout: udpTicks(record, tickMs),
    clients: scopes.get(record.clients) ?? 0,
  };
}

function placesOf({ vips }: Directory, numbering: Numbering): VipPlaces<PlacedVip> {
  const places = new VipPlaces<PlacedVip>();
  for (const [id, record] of vips) {
    const { address, port, protocol } = splitVipId(id);
    places.add(address, { port, protocol: protocolNumbers[protocol], record, meaning: meaningOf(record, numbering) });
  }
  return places;
}

/** What the ports of one protocol lead to; port 0 stands for all others, or for the protocol as a whole. */
function portsOf(levels: Levels, protocol: number): Map<number, Meaning> {
  const ports = new Map<number, Meaning>();
  const matching = levels.map((vips) => vips.filter((vip) => vip.protocol === protocol));
  for (const vips of matching) {
    for (const { port, meaning } of vips) if (!ports.has(port)) ports.set(port, meaning);
    // It takes what is left, so that nothing is for shorter prefixes.
    if (ports.has(0)) break;
  }
  const all = matching.flat();
  const [first] = all;
  if (first === undefined) return ports;
  const alone = all.length === 1 && first.record.fragments === 'hash';
  const every = ports.get(0);
  const { flags, ...rest } = every ?? (alone ? first.meaning : SIGN);
  const isVip = every === undefined ? 0 : flag.PF_VIP;
  return ports.set(0, { ...rest, flags: (flags & ~flag.PF_VIP) | isVip | (alone ? flag.PF_FRAGMENTS : 0) });
}

function icmpOf(family: number): number {
  return family === PF_FAMILY_V4 ? protocolNumbers.icmp : protocolNumbers.icmpv6;
}

function servicesOf(family: number, levels: Levels): Services {
  const services: Services = new Map();
  for (const protocol of [protocolNumbers.tcp, protocolNumbers.udp]) services.set(protocol, portsOf(levels, protocol));
  const vips = levels.flat();
  if (vips.length > 0) {
    const flags = vips.every(({ record }) => record.icmpEcho) ? flag.PF_ECHO : 0;
    services.set(icmpOf(family), new Map([[0, { ...SIGN, flags }]]));
  }
  return services;
}

/** Of an own address: keys that a look-up finds before it comes to the prefixes that the address is in. */
function passedOf(family: number): Services {
  const sign = new Map([[0, { ...SIGN, flags: flag.PF_OWN }]]);
  return new Map([protocolNumbers.tcp, protocolNumbers.udp, icmpOf(family)].map((protocol) => [protocol, sign]));
}

/** A tunnel’s end takes what is for it before any VIP does. */
function withTunnel(services: Services, guePort: number): Services {
  const end: Meaning = { ...SIGN, flags: flag.PF_OPEN };
  const udp = services.get(protocolNumbers.udp);
  return new Map([
    ...services,
    [protocolNumbers.ipv4, new Map([[0, end]])],
    [protocolNumbers.ipv6, new Map([[0, end]])],
    [protocolNumbers.udp, new Map([[0, SIGN], ...(udp ?? []), [guePort, end]])],
  ]);
}

/** The number as a word whose bytes are those of a value of the map prefixes, which is in the byte order of the host. */
function numberWords(number: number): Words {
  return [new DataView(Uint32Array.of(number).buffer).getUint32(0), 0, 0, 0];
}

/** What every address leads to that the directory has by itself. */
function* servicesByAddress(directory: Directory, places: VipPlaces<PlacedVip>): Iterable<[Range, Services]> {
  const guePorts = new Map(directory.tunnels.map(({ address, guePort }) => [address, guePort]));
  const own = new Set(directory.own);
  const served = [...directory.vips.keys()].map((id) => splitVipId(id).address);
  for (const address of new Set([...guePorts.keys(), ...own, ...served])) {
    if (address.includes('/')) continue;
    const range = rangeOf(address);
    const vips = own.has(address) ? new Map() : servicesOf(range.family, places.containing(range));
    const guePort = guePorts.get(address);
    const services = guePort === undefined ? vips : withTunnel(vips, guePort);
    yield [range, own.has(address) ? new Map([...passedOf(range.family), ...services]) : services];
  }
}

/** What each prefix leads to by its number. */
function* servicesByPrefix({ prefixes }: Numbering, places: VipPlaces<PlacedVip>): Iterable<[Words, Services]> {
  for (const [prefix, number] of prefixes) {
    const range = rangeOf(prefix);
    yield [numberWords(number), servicesOf(range.family, places.containing(range))];
  }
}

/**
 * Everything that the directory has to have; no two entries have the same key.
 *
 * @param most entries: prefixes can ask for millions, so it stops there
 * @throws PilotfishError PF_MAP_FULL
 */
export function directoryEntries(directory: Directory, numbering: Numbering, most: number): Entry[] {
  const places = placesOf(directory, numbering);
  const entries: Entry[] = [];
  const add = (address: Words, family: number, services: Services): void => {
    for (const [protocol, ports] of services)
      for (const [port, meaning] of ports) entries.push({ address, family, port, protocol, ...meaning });
    if (entries.length > most) throw tableFull('directory', `more than ${most}`, most);
  };
  for (const [{ words, family }, services] of servicesByAddress(directory, places)) add(words, family, services);
  for (const [words, services] of servicesByPrefix(numbering, places)) add(words, PF_FAMILY_PREFIX, services);
  return entries;
}
