import { addressBytes } from '../../src/core/address.ts';
import type { Address } from '../../src/core/model.ts';
import { decode, indexKey, indexOf, type StructValue } from '../../src/dataplane/codec.ts';
import { enums } from '../../src/dataplane/layout.gen.ts';
import type { MapStore } from '../../src/dataplane/map-store.ts';

/**
 * How the program finds things in the maps, written from docs/decisions/0005-directory.md: in 64-bit arithmetic, and in
 * nothing that the agent builds the tables with.
 */

const { PF_FAMILY_PREFIX, PF_FAMILY_V4, PF_FAMILY_V6 } = enums.pf_family;

export type Maps = Pick<MapStore, 'get' | 'entries' | 'tableBytes'>;
export type Entry = StructValue<'pf_entry'>;

const u64 = (n: bigint): bigint => BigInt.asUintN(64, n);
const folded = (h: bigint): bigint => h ^ (h >> 32n);

const both = (a: bigint, b: bigint): bigint => u64(a * 0x9e3779b97f4a7c15n) ^ u64(b * 0xc2b2ae3d27d4eb4fn);

function firstPlace(h: bigint, size: number): number {
  return Number(h >> BigInt(64 - Math.log2(size)));
}

function otherPlace(h: bigint, displacement: number, size: number): number {
  const x = BigInt.asUintN(32, h + BigInt(displacement) * (h >> 32n));
  return Number(x >> 16n) & (size - 1);
}

/** The 16 bytes of an address in a key. */
function wide(address: Address): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(addressBytes(address));
  return bytes;
}

interface Key {
  readonly address: Uint8Array;
  readonly port: number;
  readonly protocol: number;
  readonly family: number;
}

function hashesOf({ address, port, protocol, family }: Key): { ofAddress: bigint; ofKey: bigint } {
  const view = new DataView(address.buffer);
  const ofAddress =
    family === PF_FAMILY_V6 ? both(view.getBigUint64(0), view.getBigUint64(8)) : both(BigInt(view.getUint32(0)), 0n);
  const last = new DataView(Uint8Array.of(port >> 8, port & 0xff, protocol, family).buffer).getUint32(0, true);
  return { ofAddress, ofKey: folded(ofAddress ^ u64(BigInt(last) * 0x165667b19e3779f9n)) };
}

/** Before the first place there are `entryBytes` that begin with how many there are, less one. */
function sizeOf(table: Uint8Array): number {
  return new DataView(table.buffer, table.byteOffset).getUint32(0, true) + 1;
}

function entryAt(table: Uint8Array, place: number): Entry {
  return decode('pf_entry', table.subarray((1 + place) * 32, (2 + place) * 32));
}

/** Behind the places, `entryBytes` each, there are 2 bytes for every 8 of them. */
function displacementOf(table: Uint8Array, h: bigint, size: number, entryBytes: number): number {
  const home = Number(h >> 40n) & (size / 8 - 1);
  return new DataView(table.buffer, table.byteOffset).getUint16((1 + size) * entryBytes + home * 2, true);
}

function findKey(table: Uint8Array, key: Key): Entry | null {
  const size = sizeOf(table);
  const { ofKey } = hashesOf(key);
  const displacement = displacementOf(table, ofKey, size, 32);
  const words = [0, 4, 8, 12].map((at) => new DataView(key.address.buffer).getUint32(at));
  const isIt = (entry: Entry): boolean =>
    entry.address.every((word, i) => word === words[i]) &&
    entry.port === key.port &&
    entry.protocol === key.protocol &&
    entry.family === key.family;
  const places = [firstPlace(ofKey, size), otherPlace(ofKey, displacement, size)];
  return places.map((place) => entryAt(table, place)).find(isIt) ?? null;
}

/** Which keys of a directory are at their first places: by address, in hex, and port. */
export function atFirstPlaces(table: Uint8Array): ReadonlyMap<string, boolean> {
  const size = sizeOf(table);
  const found = new Map<string, boolean>();
  for (let place = 0; place < size; place++) {
    const { port, protocol, family } = entryAt(table, place);
    const address = table.slice((1 + place) * 32, (1 + place) * 32 + 16);
    const isAt = firstPlace(hashesOf({ address, port, protocol, family }).ofKey, size) === place;
    if (family !== 0) found.set(`${Buffer.from(address).toString('hex')} ${port}`, isAt);
  }
  return found;
}

function findPort(table: Uint8Array, key: Key): Entry | null {
  return findKey(table, key) ?? findKey(table, { ...key, port: 0 });
}

/** The value of the longest prefix in a scope that contains the address. */
export function findPrefix(maps: Maps, scope: number, address: Address): number | null {
  const bits = [...wide(address)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let longest = { length: -1, value: 0 };
  for (const [bytes, value] of maps.entries('prefixes')) {
    const key = decode('pf_prefix_key', bytes);
    const length = key.length - 32;
    const prefix = key.address.map((word) => word.toString(2).padStart(32, '0')).join('');
    const contains = key.scope === scope && prefix.slice(0, length) === bits.slice(0, length);
    if (contains && length > longest.length) longest = { length, value: indexOf(value) };
  }
  return longest.length < 0 ? null : longest.value;
}

/** The entry that a packet to this destination meets: that of its port, or the one of port 0. */
export function findDestination(maps: Maps, address: Address, port: number, protocol: number): Entry | null {
  const family = address.includes(':') ? PF_FAMILY_V6 : PF_FAMILY_V4;
  const key = { address: wide(address), port, protocol, family };
  const filter = maps.get('address_filter', indexKey(0)) ?? new Uint8Array();
  const { ofAddress } = hashesOf(key);
  const bit = (folded(ofAddress) >> 16n) & 0xffffn;
  const word = new DataView(filter.buffer, filter.byteOffset).getBigUint64(8 * Number(bit >> 6n), true);
  const table = maps.tableBytes('directory');
  if (((word >> (bit & 63n)) & 1n) === 0n || table === null) return null;
  const own = findPort(table, key);
  if (own !== null) return own;
  const number = findPrefix(maps, family === PF_FAMILY_V4 ? 0 : 1, address);
  if (number === null) return null;
  const numbered = new Uint8Array(16);
  numbered.set(indexKey(number));
  return findPort(table, { ...key, address: numbered, family: PF_FAMILY_PREFIX });
}

/** The number of the real that an id names for the VIPs of a pool; 0 for none. */
export function findServerId(maps: Maps, pool: number, id: number): number {
  const table = maps.tableBytes('server_ids');
  if (table === null) return 0;
  const size = sizeOf(table);
  const h = folded(both(BigInt(id), BigInt(pool)));
  const places = [firstPlace(h, size), otherPlace(h, displacementOf(table, h, size, 16), size)];
  const entries = places.map((place) => decode('pf_server_id', table.subarray((1 + place) * 16, (2 + place) * 16)));
  return entries.find((entry) => entry.id === id && entry.pool === pool)?.real ?? 0;
}
