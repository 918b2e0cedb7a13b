import { addressBytes, addressFromBytes, parsePrefix } from '../core/address.ts';
import type { RealRecord, SettingsImage, VipId, VipRecord } from '../core/data-plane.ts';
import { splitVipId, vipId } from '../core/data-plane.ts';
import type { Address, Protocol } from '../core/model.ts';
import type { StructValue } from './codec.ts';
import { decode, encode } from './codec.ts';
import { enums, structs } from './layout.gen.ts';

/** The planner’s records as the structs of bpf/layout.h, and back. */

const { PF_FAMILY_NONE, PF_FAMILY_V4, PF_FAMILY_V6 } = enums.pf_family;
const { PF_SERVES_TCP, PF_SERVES_UDP } = enums.pf_served;

/** IANA protocol numbers. */
const protocolNumbers: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 };

type Words = readonly [number, number, number, number];

function addressWords(address: Address): { words: Words; family: number } {
  const bytes = addressBytes(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (i: number): number => (i * 4 < bytes.length ? view.getUint32(i * 4) : 0);
  return { words: [word(0), word(1), word(2), word(3)], family: bytes.length === 4 ? PF_FAMILY_V4 : PF_FAMILY_V6 };
}

function wordsAddress(words: readonly number[], family: number): Address {
  const bytes = new Uint8Array(family === PF_FAMILY_V4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < bytes.length / 4; i++) view.setUint32(i * 4, words[i] ?? 0);
  return addressFromBytes(bytes);
}

export function encodeVipKey(id: VipId): Uint8Array {
  const { address, port, protocol } = splitVipId(id);
  const { words, family } = addressWords(address);
  return encode('pf_vip_key', { address: words, port, protocol: protocolNumbers[protocol], family });
}

export function decodeVipKey(bytes: Uint8Array): VipId {
  const { address, port, protocol, family } = decode('pf_vip_key', bytes);
  return vipId({
    address: wordsAddress(address, family),
    port,
    protocol: protocol === protocolNumbers.tcp ? 'tcp' : 'udp',
  });
}

export function encodeVip(record: VipRecord): Uint8Array {
  return encode('pf_vip', record);
}

export function decodeVip(bytes: Uint8Array): VipRecord {
  return decode('pf_vip', bytes);
}

export function encodeAddressKey(address: Address): Uint8Array {
  const { words, family } = addressWords(address);
  return encode('pf_address_key', { address: words, family });
}

export function decodeAddressKey(bytes: Uint8Array): Address {
  const { address, family } = decode('pf_address_key', bytes);
  return wordsAddress(address, family);
}

export function encodeServed(protocols: ReadonlySet<Protocol>): Uint8Array {
  const bits = (protocols.has('tcp') ? PF_SERVES_TCP : 0) | (protocols.has('udp') ? PF_SERVES_UDP : 0);
  return encode('pf_address', { protocols: bits });
}

export function decodeServed(bytes: Uint8Array): Set<Protocol> {
  const { protocols } = decode('pf_address', bytes);
  const served = new Set<Protocol>();
  if (protocols & PF_SERVES_TCP) served.add('tcp');
  if (protocols & PF_SERVES_UDP) served.add('udp');
  return served;
}

export function encodeReal({ address, pool, generation }: RealRecord): Uint8Array {
  const { words, family } = addressWords(address);
  return encode('pf_real', { address: words, pool, family, generation });
}

/**
 * A number that was given up: its next user will have this generation. The rest stays: a packet that has just looked it
 * up must not be sent to address 0.
 *
 * @param before what stands there now
 */
export function encodeVoidReal(
  generation: number,
  before: Uint8Array = new Uint8Array(structs.pf_real.size),
): Uint8Array {
  return encode('pf_real', { ...decode('pf_real', before), family: PF_FAMILY_NONE, generation });
}

/** The real, or for a number without one the generation that its next user gets. */
export function decodeReal(bytes: Uint8Array): RealRecord | { readonly address: null; readonly generation: number } {
  // Most numbers are unused: they are told apart before anything is decoded.
  if (bytes[structs.pf_real.fields.family.offset] === PF_FAMILY_NONE)
    return { address: null, generation: bytes[structs.pf_real.fields.generation.offset] ?? 0 };
  const { address, pool, family, generation } = decode('pf_real', bytes);
  return { address: wordsAddress(address, family), pool, generation };
}

function macBytes(mac: string): number[] {
  return mac.split(':').map((byte) => Number.parseInt(byte, 16));
}

function macText(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** The lowest bits of a word, 0 to 32 of them. */
function lowBits(count: number): number {
  return 2 ** Math.min(32, Math.max(0, count)) - 1;
}

function countBits(mask: number): number {
  return Math.log2(mask + 1);
}

export function encodeSettings(image: SettingsImage): Uint8Array {
  const v4 = parsePrefix(image.outerV4);
  const v6 = parsePrefix(image.outerV6);
  return encode('pf_settings', {
    hash_key: image.hashKeys.split(',').map((word) => BigInt(`0x${word}`)),
    outer_v4: addressWords(v4.address).words[0],
    outer_v4_host: lowBits(32 - v4.length),
    outer_v6: addressWords(v6.address).words,
    outer_v6_host: [lowBits(96 - v6.length), lowBits(128 - v6.length)],
    mtu: image.mtu,
    gateway_mac: macBytes(image.gatewayMac),
    own_mac: macBytes(image.ownMac),
  });
}

function decodeOuterV4(settings: StructValue<'pf_settings'>): string {
  return `${wordsAddress([settings.outer_v4], PF_FAMILY_V4)}/${32 - countBits(settings.outer_v4_host)}`;
}

function decodeOuterV6(settings: StructValue<'pf_settings'>): string {
  const hostBits = settings.outer_v6_host.reduce((sum, mask) => sum + countBits(mask), 0);
  return `${wordsAddress(settings.outer_v6, PF_FAMILY_V6)}/${128 - hostBits}`;
}

/** Null when nothing was ever written: all keys zero cannot come from a seed. */
export function decodeSettings(bytes: Uint8Array): SettingsImage | null {
  const settings = decode('pf_settings', bytes);
  if (settings.hash_key.every((word) => word === 0n)) return null;
  return {
    hashKeys: settings.hash_key.map((word) => word.toString(16).padStart(16, '0')).join(','),
    outerV4: decodeOuterV4(settings),
    outerV6: decodeOuterV6(settings),
    mtu: settings.mtu,
    gatewayMac: macText(settings.gateway_mac),
    ownMac: macText(settings.own_mac),
  };
}
