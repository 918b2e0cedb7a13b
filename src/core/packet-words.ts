import { canonicalAddress, isIPv6Address } from './address.ts';
import { PilotfishError } from './errors.ts';
import type { Flow } from './flow-hash.ts';
import { suggest } from './hints.ts';
import type { Address } from './model.ts';
import { protocols } from './model.ts';

/** Flows and packets as people write them: `tcp 198.51.100.7:40000 > 192.0.2.10:443 syn len 100`. */

export const tcpFlags = ['syn', 'ack', 'fin', 'rst'] as const;
export type TcpFlag = (typeof tcpFlags)[number];

/** A packet of a flow; what it carries are zeros. */
export interface PacketWords {
  readonly flow: Flow;
  /** None for UDP. */
  readonly flags: ReadonlySet<TcpFlag>;
  /** Bytes behind the TCP or UDP header. */
  readonly length: number;
  /** DSCP and ECN: the whole byte. */
  readonly tos: number;
  readonly ttl: number;
}

/** By word: range and default. The longest packet fits into the longest frame that the kernel runs a program on. */
const numbers = {
  len: { min: 0, max: 3_400, otherwise: 0 },
  tos: { min: 0, max: 255, otherwise: 0 },
  ttl: { min: 0, max: 255, otherwise: 64 },
} as const;
type NumberWord = keyof typeof numbers;

const example = '"tcp 198.51.100.7:40000 > 192.0.2.10:443"';

interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

function refuse(text: string, what: string, fix: string): never {
  throw new PilotfishError('PF_USAGE', `"${text}": ${what}`, { fix });
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

/** The flow, and the words behind it. */
function split(text: string): { readonly flow: Flow; readonly rest: readonly string[] } {
  const words = text.toLowerCase().replaceAll('>', ' > ').split(/\s+/).filter(Boolean);
  const [first = '', from, arrow, to, ...rest] = words;
  const protocol = protocols.find((known) => known === first);
  if (protocol === undefined)
    return refuse(
      text,
      first === '' ? 'is no flow' : `${first} is no protocol`,
      `write ${protocols.join(' or ')}: ${example}`,
    );
  if (from === undefined || arrow !== '>' || to === undefined)
    return refuse(text, 'has no source > destination', `write all of it in quotes: ${example}`);
  const source = readEndpoint(text, from);
  const destination = readEndpoint(text, to);
  if (isIPv6Address(source.address) !== isIPv6Address(destination.address))
    return refuse(text, 'source and destination are of different families', 'use IPv4 or IPv6 for both');
  const flow = {
    protocol,
    source: source.address,
    sourcePort: source.port,
    destination: destination.address,
    destinationPort: destination.port,
  };
  return { flow, rest };
}

/**
 * A flow: protocol, source, `>`, destination.
 * @throws PilotfishError PF_USAGE
 */
export function readFlow(text: string): Flow {
  const { flow, rest } = split(text);
  if (rest.length === 0) return flow;
  return refuse(text, `"${rest.join(' ')}" is not part of a flow`, `write ${flowText(flow)}`);
}

function readNumber(text: string, word: NumberWord, value: string | undefined): number {
  const { min, max } = numbers[word];
  if (value !== undefined && /^(\d{1,4}|0x[0-9a-f]{1,2})$/.test(value) && Number(value) >= min && Number(value) <= max)
    return Number(value);
  return refuse(text, `${word} has ${value ?? 'no value'}`, `write ${word} and a number from ${min} to ${max}`);
}

/**
 * A flow, and behind it in any order TCP flags (without any: `ack`), `len` (0 to 3,400 bytes, default 0), `tos`
 * (default 0) and `ttl` (default 64).
 *
 * @throws PilotfishError PF_USAGE
 */
export function readPacket(text: string): PacketWords {
  const { flow, rest } = split(text);
  const flags = new Set<TcpFlag>();
  const given = new Map<NumberWord, number>();
  const words = rest.values();
  for (const word of words) {
    const flag = tcpFlags.find((known) => known === word);
    if (flag !== undefined) flags.add(flag);
    else if (Object.hasOwn(numbers, word))
      given.set(word as NumberWord, readNumber(text, word as NumberWord, words.next().value));
    else refuse(text, `${word} is not known`, suggest(word, [...tcpFlags, ...Object.keys(numbers)]));
  }
  if (flow.protocol === 'udp' && flags.size > 0) refuse(text, 'UDP has no flags', `leave out ${[...flags].join(' ')}`);
  if (flow.protocol === 'tcp' && flags.size === 0) flags.add('ack');
  const number = (word: NumberWord): number => given.get(word) ?? numbers[word].otherwise;
  return { flow, flags, length: number('len'), tos: number('tos'), ttl: number('ttl') };
}

function endpointText(address: Address, port: number): string {
  return `${isIPv6Address(address) ? `[${address}]` : address}:${port}`;
}

/** What `readFlow` reads, in canonical form. */
export function flowText({ protocol, source, sourcePort, destination, destinationPort }: Flow): string {
  return `${protocol} ${endpointText(source, sourcePort)} > ${endpointText(destination, destinationPort)}`;
}
