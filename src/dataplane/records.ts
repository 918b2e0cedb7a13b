import { parsePrefix } from '../core/address.ts';
import type { RealEncap, RealRecord, SettingsImage } from '../core/data-plane.ts';
import { addressWords, wordsAddress } from './address-words.ts';
import type { StructValue } from './codec.ts';
import { decode, encode } from './codec.ts';
import { enums, structs } from './layout.gen.ts';

/** Settings and reals as the structs of bpf/layout.h, and back. */

const { PF_FAMILY_V4 } = enums.pf_family;
const { PF_ENCAP_NONE, PF_ENCAP_IPIP, PF_ENCAP_GUE, PF_ENCAP_L2, PF_ENCAP_LOCAL } = enums.pf_encap;
const NO_MAC = '00:00:00:00:00:00';

type WayFields = Pick<StructValue<'pf_real'>, 'encap' | 'gue_checksum' | 'gue_port' | 'mac'>;

function encodeWay(encap: RealEncap): WayFields {
  const plain = { gue_checksum: 0, gue_port: 0, mac: macBytes(NO_MAC) };
  switch (encap.kind) {
    case 'ipip':
      return { ...plain, encap: PF_ENCAP_IPIP };
    case 'gue':
      return { ...plain, encap: PF_ENCAP_GUE, gue_checksum: encap.checksum ? 1 : 0, gue_port: encap.port };
    case 'l2':
      return { ...plain, encap: PF_ENCAP_L2, mac: macBytes(encap.mac) };
    case 'local':
      return { ...plain, encap: PF_ENCAP_LOCAL };
  }
}

/** A kind that no agent writes reads as the plain one; the planner sees a difference only in what it wrote itself. */
function decodeWay({ encap, gue_checksum, gue_port, mac }: WayFields): RealEncap {
  switch (encap) {
    case PF_ENCAP_GUE:
      return { kind: 'gue', port: gue_port, checksum: gue_checksum !== 0 };
    case PF_ENCAP_L2:
      return { kind: 'l2', mac: macText(mac) };
    case PF_ENCAP_LOCAL:
      return { kind: 'local' };
    default:
      return { kind: 'ipip' };
  }
}

export function encodeReal({ address, pool, generation, encap }: RealRecord): Uint8Array {
  const { words, family } = addressWords(address);
  return encode('pf_real', {
    address: words,
    pool,
    family,
    generation,
    ...encodeWay(encap),
    address_sum: sumOf(words),
  });
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
  return encode('pf_real', { ...decode('pf_real', before), encap: PF_ENCAP_NONE, generation });
}

/** The real `before`, with the MAC address that `after` has. */
export function withMacOf(before: Uint8Array, after: Uint8Array): Uint8Array {
  return encode('pf_real', { ...decode('pf_real', before), mac: decode('pf_real', after).mac });
}

/** Of all 16-bit words, in one’s complement (RFC 1071): so the program need not sum up addresses for its headers. */
function sumOf(words: readonly number[]): number {
  let sum = words.reduce((total, word) => total + (word >>> 16) + (word & 0xffff), 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The real, or for a number without one the generation that its next user gets. */
export function decodeReal(bytes: Uint8Array): RealRecord | { readonly address: null; readonly generation: number } {
  // Most numbers are unused: they are told apart before anything is decoded.
  if (bytes[structs.pf_real.fields.encap.offset] === PF_ENCAP_NONE)
    return { address: null, generation: bytes[structs.pf_real.fields.generation.offset] ?? 0 };
  const real = decode('pf_real', bytes);
  return {
    address: wordsAddress(real.address, real.family),
    pool: real.pool,
    generation: real.generation,
    // With another sum every header would be wrong: it then reads as an encap without one, for the planner to see.
    encap: real.address_sum === sumOf(real.address) ? decodeWay(real) : { kind: 'local' },
  };
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

/** The longest packet that may be sent: none while the next hop is not known. */
function roomOf({ gatewayMac, mtu }: Pick<SettingsImage, 'gatewayMac' | 'mtu'>): number {
  return gatewayMac === NO_MAC ? 0 : mtu;
}

/** The settings `before`, with no more room than those `after` have. */
export function withRoomOfBoth(before: Uint8Array, after: Uint8Array): Uint8Array {
  const [old, next] = [decode('pf_settings', before), decode('pf_settings', after)];
  return encode('pf_settings', { ...old, room: Math.min(old.room, next.room) });
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
    room: roomOf(image),
    gateway_mac: macBytes(image.gatewayMac),
    own_mac: macBytes(image.ownMac),
    zero: 0,
  });
}

function decodeOuterV4(settings: StructValue<'pf_settings'>): string {
  return `${wordsAddress([settings.outer_v4], PF_FAMILY_V4)}/${32 - countBits(settings.outer_v4_host)}`;
}

function decodeOuterV6(settings: StructValue<'pf_settings'>): string {
  const hostBits = settings.outer_v6_host.reduce((sum, mask) => sum + countBits(mask), 0);
  return `${wordsAddress(settings.outer_v6, enums.pf_family.PF_FAMILY_V6)}/${128 - hostBits}`;
}

/** Null when nothing was ever written: all keys zero cannot come from a seed. */
export function decodeSettings(bytes: Uint8Array): SettingsImage | null {
  const settings = decode('pf_settings', bytes);
  // Nor can a word that the program relies on to be 0.
  if (settings.hash_key.every((word) => word === 0n) || settings.zero !== 0) return null;
  const image = {
    hashKeys: settings.hash_key.map((word) => word.toString(16).padStart(16, '0')).join(','),
    outerV4: decodeOuterV4(settings),
    outerV6: decodeOuterV6(settings),
    mtu: settings.mtu,
    gatewayMac: macText(settings.gateway_mac),
    ownMac: macText(settings.own_mac),
  };
  return settings.room === roomOf(image) ? image : null;
}
