import { isIPv4, isIPv6 } from 'node:net';
import { PilotfishError } from './errors.ts';
import { Mistake } from './mistake.ts';
import type { Address } from './model.ts';

/** An address range: `length` leading bits of `address` count, all later ones are 0. */
export interface Prefix {
  readonly address: Address;
  /** 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly length: number;
}

function ipv6Groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

function ipv6Bytes(text: string): Uint8Array {
  const tail = text.slice(text.lastIndexOf(':') + 1);
  const quad = isIPv4(tail) ? ipv4Bytes(tail) : null;
  const hex = (high: number, low: number): string => ((high << 8) | low).toString(16);
  const plain =
    quad === null ? text : text.slice(0, -tail.length) + [hex(quad[0]!, quad[1]!), hex(quad[2]!, quad[3]!)].join(':');
  const [head = '', rest] = plain.split('::');
  const left = ipv6Groups(head);
  const right = rest === undefined ? [] : ipv6Groups(rest);
  const zeros = new Array<number>(8 - left.length - right.length).fill(0);
  return new Uint8Array([...left, ...zeros, ...right].flatMap((group) => [group >> 8, group & 0xff]));
}

function ipv4Bytes(text: string): Uint8Array {
  return new Uint8Array(text.split('.').map(Number));
}

/** A zone (`fe80::1%eth0`) means something on one host only, so such a text is no address here. */
function bytesOf(text: string): Uint8Array | null {
  if (isIPv4(text)) return ipv4Bytes(text);
  if (isIPv6(text) && !text.includes('%')) return ipv6Bytes(text);
  return null;
}

/**
 * The address in network byte order: 4 or 16 bytes.
 * @throws PilotfishError PF_STATE when the text is no address
 */
export function addressBytes(address: Address): Uint8Array {
  const bytes = bytesOf(address);
  if (bytes === null)
    throw new PilotfishError('PF_STATE', `"${address}" is not an IP address`, {
      fix: 'write an address such as 192.0.2.10 or 2001:db8::10',
    });
  return bytes;
}

/** The longest run of at least two zero groups, the first of equals (RFC 5952, section 4.2). */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === 0) end++;
    if (end - start > Math.max(best.length, 1)) best = { start, length: end - start };
  }
  return best;
}

/**
 * Canonical text of an address in network byte order. IPv6 as RFC 5952 writes it, IPv4-mapped ones in the mixed
 * notation of its section 5.
 * @param bytes 4 or 16 bytes
 */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join('.')}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(i * 2));
  const zeros = longestZeros(groups);
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (zeros.length === 0) return text(groups);
  return `${text(groups.slice(0, zeros.start))}::${text(groups.slice(zeros.start + zeros.length))}`;
}

/** `::ffff:0:0/96` (RFC 4291, section 2.5.5.2). */
function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

/** The canonical text of an address, or null when the text is none. */
export function canonicalAddress(text: string): Address | null {
  const bytes = bytesOf(text);
  return bytes === null ? null : addressFromBytes(bytes);
}

/** @param address canonical */
export function isIPv6Address(address: Address): boolean {
  return address.includes(':');
}

/** IPv4 before IPv6, then by bytes: the order that rings are built in, the same on every LB. */
export function compareAddresses(a: Address, b: Address): number {
  const left = addressBytes(a);
  const right = addressBytes(b);
  return left.length - right.length || Buffer.compare(left, right);
}

/** Reads `address/length`; bits after the length have to be 0. */
export function readPrefix(text: string): Prefix | Mistake {
  const slash = text.indexOf('/');
  const bytes = slash < 0 ? null : bytesOf(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  const length = /^(0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Number.POSITIVE_INFINITY;
  if (bytes === null || length > bytes.length * 8)
    return new Mistake('must be an address, a slash and a length', 'write a prefix such as 172.16.0.0/16 or 100::/64');
  const network = Uint8Array.from(bytes, (byte, i) => byte & ~(0xff >> Math.min(8, Math.max(0, length - i * 8))));
  const address = addressFromBytes(network);
  if (Buffer.compare(network, bytes) !== 0)
    return new Mistake(`has bits set after the first ${length}`, `write ${address}/${length}`);
  return { address, length };
}

/**
 * Why no packet can be sent to any address of this prefix, or null when nothing speaks against it.
 * @param prefix aligned
 */
export function unusablePrefix({ address, length }: Prefix): string | null {
  const last = addressBytes(address).map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, length - i * 8))));
  const reason = unusableAddress(address);
  // Every reason stands for one range without gaps.
  return reason === unusableAddress(addressFromBytes(last)) ? reason : null;
}

/** @throws PilotfishError PF_STATE when it is no prefix, or when bits after its length are set */
export function parsePrefix(text: string): Prefix {
  const prefix = readPrefix(text);
  if (prefix instanceof Mistake)
    throw new PilotfishError('PF_STATE', `prefix "${text}" ${prefix.message}`, { fix: prefix.fix });
  return prefix;
}

/**
 * Why no packet can be sent to this address, or null when nothing speaks against it. Special ranges are those of the
 * IANA registries (RFC 6890).
 * @param address canonical
 */
export function unusableAddress(address: Address): string | null {
  const bytes = addressBytes(address);
  const first = bytes[0]!;
  if (bytes.length === 4) {
    if (first === 0) return 'belongs to 0.0.0.0/8, which stands for no host';
    if (first === 127) return 'is a loopback address';
    if (first >= 224 && first < 240) return 'is a multicast address';
    return bytes.every((byte) => byte === 255) ? 'is the broadcast address' : null;
  }
  if (isMapped(bytes)) return 'is an IPv4 address in IPv6 notation';
  if (bytes.every((byte) => byte === 0)) return 'is the unspecified address';
  if (bytes.subarray(0, 15).every((byte) => byte === 0) && bytes[15] === 1) return 'is the loopback address';
  if (first === 0xff) return 'is a multicast address';
  return first === 0xfe && (bytes[1]! & 0xc0) === 0x80 ? 'is a link-local address' : null;
}
