import { canonicalAddress, isIPv6Address } from './address.ts';
import type { Flow } from './flow-hash.ts';
import type { Address } from './model.ts';
import { protocols } from './model.ts';
import { payloadOf } from './packet-payload.ts';
import type { GivenWords, PacketProtocol, Word } from './packet-vocabulary.ts';
import { readWords, refuse, vocabulary } from './packet-vocabulary.ts';

/** Flows and packets as people write them: `tcp 198.51.100.7:40000 > 192.0.2.10:443 syn len 100`. */

export const tcpFlags = ['syn', 'ack', 'fin', 'rst'] as const;
export type TcpFlag = (typeof tcpFlags)[number];

/** What packets of every kind say. */
interface PacketBase {
  readonly source: Address;
  /** Of the same family. */
  readonly destination: Address;
  /** DSCP and ECN: the whole byte. */
  readonly tos: number;
  readonly ttl: number;
  /** Ids of VLAN tags, the outermost first; at most two. */
  readonly vlans: readonly number[];
  /** IPv4: routers may not fragment it. */
  readonly dontFragment: boolean;
}

/** A packet of a flow. */
export interface SegmentWords extends PacketBase {
  readonly kind: 'segment';
  readonly flow: Flow;
  /** None for UDP. */
  readonly flags: ReadonlySet<TcpFlag>;
  /** What is behind the TCP or UDP header. */
  readonly payload: Uint8Array;
  /** TCP: what option 0xB7 says; null when it is not there. */
  readonly serverId: number | null;
  /** Null: a whole packet. 0: the first fragment of one. Else the last, which begins so many bytes in and has no ports. */
  readonly fragment: number | null;
}

/** A ping. */
export interface EchoWords extends PacketBase {
  readonly kind: 'echo';
  readonly id: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** What a router on the way back tells that a packet was too large for it. */
export interface TooBigWords extends PacketBase {
  readonly kind: 'too-big';
  readonly mtu: number;
  /** As its client sends it: the packet that was too large came from `flow.destination`. */
  readonly flow: Flow;
}

export type PacketWords = SegmentWords | EchoWords | TooBigWords;

const example = '"tcp 198.51.100.7:40000 > 192.0.2.10:443"';

interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

function readEndpoint(text: string, word: string): Endpoint {
  const [, inBrackets, plain = '', digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(word) ?? [];
  const address = canonicalAddress(inBrackets ?? plain);
  const port = Number(digits);
  if (address !== null && port <= 0xffff && isIPv6Address(address) === (inBrackets !== undefined))
    return { address, port };
  const bare = canonicalAddress(word);
  if (bare !== null && !isIPv6Address(bare)) return refuse(text, `${word} has no port`, `write ${word}:443`);
  return refuse(text, `${word} is no address with a port`, 'write 192.0.2.10:443, or [2001:db8::10]:443 for IPv6');
}

/** ICMP has no ports. */
function readBare(text: string, word: string): Endpoint {
  const address = canonicalAddress(word);
  if (address !== null) return { address, port: 0 };
  return refuse(text, `${word} is no address`, 'write addresses without ports: icmp 198.51.100.7 > 192.0.2.10 echo');
}

interface Read {
  readonly protocol: PacketProtocol;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly given: GivenWords;
}

/** @param known what may stand first */
function read(text: string, known: readonly PacketProtocol[]): Read {
  const words = text.toLowerCase().replaceAll('>', ' > ').split(/\s+/).filter(Boolean);
  const [first = '', from, arrow, to, ...rest] = words;
  const protocol = known.find((one) => one === first);
  if (protocol === undefined)
    return refuse(
      text,
      first === '' ? 'is no flow' : `${first} is no protocol${first in vocabulary ? ' of a flow' : ''}`,
      `write ${known.join(' or ')}: ${example}`,
    );
  if (from === undefined || arrow !== '>' || to === undefined)
    return refuse(text, 'has no source > destination', `write all of it in quotes: ${example}`);
  const endpoint = protocol === 'icmp' ? readBare : readEndpoint;
  const source = endpoint(text, from);
  const destination = endpoint(text, to);
  if (isIPv6Address(source.address) !== isIPv6Address(destination.address))
    return refuse(text, 'source and destination are of different families', 'use IPv4 or IPv6 for both');
  return { protocol, from: source, to: destination, given: readWords(text, protocol, rest) };
}

function flowOf(protocol: Flow['protocol'], { from, to }: Pick<Read, 'from' | 'to'>): Flow {
  return {
    protocol,
    source: from.address,
    sourcePort: from.port,
    destination: to.address,
    destinationPort: to.port,
  };
}

/** A flow alone, or with those words behind it. */
function readSegment(text: string, allowed: readonly Word[] | null): { packet: SegmentWords; words: string } {
  const parts = read(text, protocols);
  const { given } = parts;
  const packet = segmentOf(text, parts, parts.protocol === 'udp' ? 'udp' : 'tcp');
  const extra = allowed === null ? [] : given.all.filter((word) => !allowed.includes(word));
  if (extra.length === 0) return { packet, words: given.text };
  return refuse(text, `"${extra.join(' ')}" is not part of a flow`, `write ${flowText(packet.flow)}`);
}

/**
 * A flow: protocol, source, `>`, destination.
 * @throws PilotfishError PF_USAGE
 */
export function readFlow(text: string): Flow {
  return readSegment(text, []).packet.flow;
}

/** What can be asked about: a flow, with what a packet of it carries that may decide where it goes. */
export interface Inquiry {
  readonly packet: SegmentWords;
  /** Canonical, words included. */
  readonly text: string;
}

/**
 * A flow, and behind it `cid`, `stable`, `server-id`, `payload`, or `frag`.
 * @throws PilotfishError PF_USAGE
 */
export function readInquiry(text: string): Inquiry {
  const { packet, words } = readSegment(text, ['cid', 'stable', 'server-id', 'payload', 'frag']);
  return { packet, text: [flowText(packet.flow), words].filter(Boolean).join(' ') };
}

function baseOf(text: string, { from, to, given }: Read): PacketBase {
  if (given.has('nodf') && isIPv6Address(to.address))
    refuse(text, 'IPv6 is never fragmented on the way, so there is no nodf', 'leave out nodf');
  return {
    source: from.address,
    destination: to.address,
    tos: given.number('tos') ?? 0,
    ttl: given.number('ttl') ?? 64,
    vlans: given.numbers('vlan'),
    dontFragment: !given.has('nodf') && !given.has('frag'),
  };
}

function segmentOf(text: string, parts: Read, protocol: Flow['protocol']): SegmentWords {
  const { given } = parts;
  const flags = new Set<TcpFlag>(tcpFlags.filter((flag) => given.has(flag)));
  if (protocol === 'tcp' && flags.size === 0) flags.add('ack');
  const fragment = given.number('frag');
  if (fragment !== null && fragment % 8 !== 0)
    refuse(text, `frag has ${fragment}`, 'write a multiple of 8: frag 0 is the first fragment, frag 1480 a later one');
  return {
    ...baseOf(text, parts),
    kind: 'segment',
    flow: flowOf(protocol, parts),
    flags,
    payload: payloadOf(text, given),
    serverId: given.number('server-id'),
    fragment,
  };
}

function icmpOf(text: string, parts: Read): EchoWords | TooBigWords {
  const { given, to } = parts;
  const wrong = (
    given.has('echo') ? (['too-big', 'mtu', 'about'] as const) : (['id', 'seq', 'len', 'payload'] as const)
  ).filter((word) => given.has(word));
  const base = baseOf(text, parts);
  if (given.has('echo') === given.has('too-big'))
    refuse(text, 'does not say which ICMP', 'write echo, or too-big about and the flow that a client sends');
  if (wrong.length > 0)
    refuse(
      text,
      `${given.has('echo') ? 'echo' : 'too-big'} has no ${wrong.join(', ')}`,
      `leave out ${wrong.join(' ')}`,
    );
  if (given.has('echo'))
    return {
      ...base,
      kind: 'echo',
      id: given.number('id') ?? 1,
      sequence: given.number('seq') ?? 1,
      payload: payloadOf(text, given),
    };
  const about = given.flow('about');
  if (about === null)
    return refuse(text, 'too-big is about nothing', `write too-big about and the flow that a client sends: ${example}`);
  const flow = readFlow(about);
  if (flow.destination !== to.address)
    refuse(text, `goes to ${to.address} and is about a flow to ${flow.destination}`, 'send it to where the flow goes');
  return { ...base, kind: 'too-big', mtu: given.number('mtu') ?? 1_400, flow };
}

/**
 * A flow, or two addresses for ICMP, and behind them in any order words of packet-vocabulary.ts. Without any, TCP is an
 * `ack`.
 *
 * @throws PilotfishError PF_USAGE
 */
export function readPacket(text: string): PacketWords {
  if (/^\s*icmp\b/i.test(text)) return icmpOf(text, read(text, ['icmp']));
  const parts = read(text, ['tcp', 'udp', 'icmp']);
  return segmentOf(text, parts, parts.protocol === 'udp' ? 'udp' : 'tcp');
}

function endpointText(address: Address, port: number): string {
  return `${isIPv6Address(address) ? `[${address}]` : address}:${port}`;
}

/** What `readFlow` reads, in canonical form. */
export function flowText({ protocol, source, sourcePort, destination, destinationPort }: Flow): string {
  return `${protocol} ${endpointText(source, sourcePort)} > ${endpointText(destination, destinationPort)}`;
}
