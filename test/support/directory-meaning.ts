import { addressBytes } from '../../src/core/address.ts';
import type { Directory, VipRecord } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import type { Address } from '../../src/core/model.ts';
import { enums } from '../../src/dataplane/layout.gen.ts';
import { probedAddresses, probedPorts } from './directory-arb.ts';
import { type Entry, findDestination, findPrefix, type Maps } from './look-up.ts';

/** What a directory means for a packet, once as docs/reference/packets.md says and once as the maps have it. */

const flag = enums.pf_flag;
const TCP = 6;
const UDP = 17;

/** Where a client of 198.51.100.7, or of an IPv6 address, is sent when the flow cache does not know its flow. */
const CLIENT = { v4: '198.51.100.7', v6: '2001:db8:ffff::7' } as const;

function bitsOf(address: Address): string {
  return [...addressBytes(address)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
}

/** Bits that match, -1 when the address is not in it. */
function matchLength(place: string, address: Address): number {
  const [base = '', length] = place.split('/');
  if (base.includes(':') !== address.includes(':')) return -1;
  const bits = length === undefined ? bitsOf(base).length : Number(length);
  return bitsOf(base).slice(0, bits) === bitsOf(address).slice(0, bits) ? bits : -1;
}

interface Match {
  readonly length: number;
  readonly port: number;
  readonly record: VipRecord;
}

function matching({ vips, own }: Directory, address: Address, protocol: number | null): Match[] {
  return [...(own.includes(address) ? [] : vips)]
    .map(([id, record]) => ({ ...splitVipId(id), record }))
    .filter((vip) => protocol === null || (vip.protocol === 'tcp' ? TCP : UDP) === protocol)
    .map(({ address: place, port, record }) => ({ length: matchLength(place, address), port, record }))
    .filter(({ length }) => length >= 0);
}

function clientPool(record: VipRecord, client: Address): number | null {
  const found = record.clients
    .map(({ prefix, pool }) => ({ pool, length: matchLength(prefix, client) }))
    .filter(({ length }) => length >= 0)
    .toSorted((a, b) => b.length - a.length);
  return found[0]?.pool ?? null;
}

function told(record: VipRecord, client: Address, tickMs: number) {
  const { number, pool, hash, flowCache, quic, tcpServerId, udpStableRouting, fragments, udpTimeoutMs } = record;
  const udpTicks = Math.min(1_000, Math.max(1, Math.floor(udpTimeoutMs / tickMs)));
  const ids = { quic, tcpServerId, udpStableRouting };
  return { number, pool, hash, flowCache, ids, fragments, udpTicks, clientPool: clientPool(record, client) };
}

function vipMeant(directory: Directory, address: Address, port: number, protocol: number): VipRecord | null {
  const matches = matching(directory, address, protocol).filter((match) => match.port === port || match.port === 0);
  const best = matches.toSorted((a, b) => b.length - a.length || b.port - a.port)[0];
  return best?.record ?? null;
}

/** A packet of each kind that can be told apart, by words. */
export function meant(directory: Directory, tickMs: number): Record<string, unknown> {
  const meaning: Record<string, unknown> = {};
  for (const address of probedAddresses) {
    const client = CLIENT[address.includes(':') ? 'v6' : 'v4'];
    const tunnel = directory.tunnels.find((end) => end.address === address);
    for (const protocol of [TCP, UDP]) {
      const matches = matching(directory, address, protocol);
      const only = matches.length === 1 ? matches[0]?.record : undefined;
      const served = matches.length > 0 || (protocol === UDP && tunnel !== undefined);
      meaning[`${address} ${protocol} fragment`] =
        only?.fragments === 'hash' ? told(only, client, tickMs) : served ? 'refused' : null;
      for (const port of probedPorts.filter((port) => port > 0)) {
        const vip = vipMeant(directory, address, port, protocol);
        const found = vip === null ? (served ? 'no VIP' : null) : told(vip, client, tickMs);
        meaning[`${address} ${protocol} ${port}`] = protocol === UDP && tunnel?.guePort === port ? 'opened' : found;
      }
    }
    for (const protocol of [4, 41]) meaning[`${address} ${protocol}`] = tunnel === undefined ? null : 'opened';
    const all = matching(directory, address, null);
    const echo = all.every(({ record }) => record.icmpEcho) ? 'echo' : 'no echo';
    meaning[`${address} icmp`] = all.length === 0 ? null : echo;
  }
  return meaning;
}

function toldByEntry(maps: Maps, entry: Entry, client: Address) {
  const { number, pool, flags, udp_timeout, clients } = entry;
  const has = (bit: number): boolean => (flags & bit) !== 0;
  return {
    number,
    pool,
    hash: has(flag.PF_HASH_SOURCE) ? 'source' : has(flag.PF_HASH_PORT) ? 'dest-port' : '5-tuple',
    flowCache: !has(flag.PF_NO_CACHE),
    ids: {
      quic: has(flag.PF_QUIC) ? 'katran' : has(flag.PF_QUIC_LB) ? 'quic-lb' : 'off',
      tcpServerId: has(flag.PF_TCP_ID),
      udpStableRouting: has(flag.PF_UDP_STABLE),
    },
    fragments: has(flag.PF_PAIR) ? 'hash' : 'drop',
    udpTicks: udp_timeout,
    clientPool: has(flag.PF_CLIENTS) ? findPrefix(maps, clients, client) : null,
  };
}

function isOwn({ flags }: Entry): boolean {
  return (flags & flag.PF_OWN) !== 0;
}

/** The same, read from the maps. */
export function found(maps: Maps): Record<string, unknown> {
  const meaning: Record<string, unknown> = {};
  for (const address of probedAddresses) {
    const client = CLIENT[address.includes(':') ? 'v6' : 'v4'];
    for (const protocol of [TCP, UDP]) {
      const sign = findDestination(maps, address, 0, protocol);
      const takes = sign !== null && (sign.flags & flag.PF_FRAGMENTS) !== 0;
      meaning[`${address} ${protocol} fragment`] =
        sign === null || isOwn(sign) ? null : takes ? toldByEntry(maps, sign, client) : 'refused';
      for (const port of probedPorts.filter((port) => port > 0)) {
        const entry = findDestination(maps, address, port, protocol);
        const isVip = entry !== null && (entry.flags & flag.PF_VIP) !== 0;
        const opens = entry !== null && (entry.flags & flag.PF_OPEN) !== 0;
        const other = entry === null || isOwn(entry) ? null : 'no VIP';
        meaning[`${address} ${protocol} ${port}`] = opens ? 'opened' : isVip ? toldByEntry(maps, entry, client) : other;
      }
    }
    for (const protocol of [4, 41]) {
      const entry = findDestination(maps, address, 0, protocol);
      meaning[`${address} ${protocol}`] = entry !== null && (entry.flags & flag.PF_OPEN) !== 0 ? 'opened' : null;
    }
    const icmp = findDestination(maps, address, 0, address.includes(':') ? 58 : 1);
    const echo = icmp !== null && (icmp.flags & flag.PF_ECHO) !== 0 ? 'echo' : 'no echo';
    meaning[`${address} icmp`] = icmp === null || isOwn(icmp) ? null : echo;
  }
  return meaning;
}
