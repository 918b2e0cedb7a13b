import type { Flow } from './flow-hash.ts';
import type { Address, Vip } from './model.ts';
import type { SegmentWords } from './packet-words.ts';
import { PrefixMap } from './prefix-map.ts';

/** Which VIP takes a packet: docs/reference/packets.md, steps 2 to 4. */

export interface MatchedVip {
  readonly vip: Vip;
  /** `only one`: a fragment has no port, and goes to the only VIP of its address and protocol. */
  readonly match: 'exact port' | 'every port' | 'only one';
}

/** A VIP of the address and protocol of a packet that it does not take. */
export interface NearestVip {
  readonly name: string;
  readonly address: Address;
  readonly port: number;
  readonly protocol: string;
}

/** Bits of the address that count. */
function lengthOf({ address }: Vip): number {
  const [, length] = address.split('/', 2);
  return length === undefined ? Number.POSITIVE_INFINITY : Number(length);
}

/** Of these VIPs, the one whose address or prefix is the most specific that the address is in. */
function mostSpecific(vips: Iterable<Vip>, address: Address): Vip | undefined {
  const byName = new Map<string, Vip>();
  const prefixes = new PrefixMap();
  for (const vip of vips) {
    byName.set(vip.name, vip);
    prefixes.set(vip.address, vip.name);
  }
  return byName.get(prefixes.containing(address) ?? '');
}

/** Those that serve the address, by themselves or by a prefix. */
function serving(vips: Iterable<Vip>, address: Address): Vip[] {
  return [...vips].filter((vip) => mostSpecific([vip], address) !== undefined);
}

/** The VIP of a whole packet of the flow. */
function findByPort(flow: Flow, all: Iterable<Vip>): MatchedVip | null {
  const vips = [...all].filter(({ protocol }) => protocol === flow.protocol);
  const exact = mostSpecific(
    vips.filter(({ port }) => port === flow.destinationPort && port !== 0),
    flow.destination,
  );
  const every = mostSpecific(
    vips.filter(({ port }) => port === 0),
    flow.destination,
  );
  if (exact !== undefined && (every === undefined || lengthOf(exact) >= lengthOf(every)))
    return { vip: exact, match: 'exact port' };
  return every === undefined ? null : { vip: every, match: 'every port' };
}

/** What a packet is to the VIPs: one takes it, or it is passed up or dropped. */
export function matchVip(
  { flow, fragment }: Pick<SegmentWords, 'flow' | 'fragment'>,
  vips: Iterable<Vip>,
): MatchedVip | 'not_vip' | 'fragment' {
  if (fragment === null) return findByPort(flow, vips) ?? 'not_vip';
  const [only, ...others] = serving(vips, flow.destination).filter(({ protocol }) => protocol === flow.protocol);
  if (only === undefined) return 'not_vip';
  return others.length === 0 && only.fragments === 'hash' ? { vip: only, match: 'only one' } : 'fragment';
}

/** The VIP that serves the address and differs least: in its port rather than in its protocol. */
export function nearestVip(flow: Flow, vips: Iterable<Vip>): NearestVip | null {
  const distance = (vip: Vip): number =>
    (vip.protocol === flow.protocol ? 0 : 2 ** 16) + (vip.port === 0 ? 0 : Math.abs(vip.port - flow.destinationPort));
  const [best] = serving(vips, flow.destination).sort((a, b) => distance(a) - distance(b));
  if (best === undefined) return null;
  const { name, address, port, protocol } = best;
  return { name, address, port, protocol };
}

/** The client prefix of the VIP that the source is in, and the pool that it leads to. */
export function matchClient(flow: Flow, { clients }: Vip): Vip['clients'][number] | null {
  const prefixes = new PrefixMap();
  for (const { prefix } of clients) prefixes.set(prefix, prefix);
  const found = prefixes.containing(flow.source);
  return clients.find(({ prefix }) => prefix === found) ?? null;
}
