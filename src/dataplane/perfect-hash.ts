import { enums } from './layout.gen.ts';
import type { Word64 } from './mix64.ts';

/**
 * The perfect hash of docs/decisions/0005-directory.md: hash and displace (Belazzougui, Botelho, Dietzfelbinger, ESA
 * 2009). Its buckets are called homes here.
 */

/** Displacements have 16 bits. */
const DISPLACEMENTS = 65_536;

const { PF_PLACES_PER_HOME } = enums.pf_homes;

export interface PerfectHash {
  /** Places: a power of two, one home’s at least. */
  readonly size: number;
  /** By key: its own place, which no other key has. */
  readonly places: Uint32Array;
  /** By home; 0 where no key has its home. */
  readonly displacements: Uint16Array;
}

/** @param size places of the table: a power of two */
export function homeOf({ high }: Readonly<Word64>, size: number): number {
  return (high >>> 8) & (size / PF_PLACES_PER_HOME - 1);
}

export function placeOf({ high, low }: Readonly<Word64>, displacement: number, size: number): number {
  return ((low + Math.imul(displacement, high)) >>> 16) & (size - 1);
}

/** Numbers of keys, ordered by home; those of home h start at `starts[h]` and end at `starts[h + 1]`. */
function byHome(hashes: readonly Readonly<Word64>[], size: number): { keys: Uint32Array; starts: Uint32Array } {
  const homes = size / PF_PLACES_PER_HOME;
  const starts = new Uint32Array(homes + 1);
  for (const hash of hashes) starts[homeOf(hash, size) + 1]!++;
  for (let home = 0; home < homes; home++) starts[home + 1]! += starts[home]!;
  const next = starts.slice();
  const keys = new Uint32Array(hashes.length);
  for (const [key, hash] of hashes.entries()) keys[next[homeOf(hash, size)]!++] = key;
  return { keys, starts };
}

/** Homes that have keys, those with most of them first. */
function* inOrder(starts: Uint32Array): Iterable<number> {
  let most = 0;
  for (let home = 0; home + 1 < starts.length; home++) most = Math.max(most, starts[home + 1]! - starts[home]!);
  for (let count = most; count > 0; count--)
    for (let home = 0; home + 1 < starts.length; home++) if (starts[home + 1]! - starts[home]! === count) yield home;
}

/** Takes the places that this displacement gives the keys, all of them or none. */
function takePlaces(
  hashes: readonly Readonly<Word64>[],
  displacement: number,
  taken: Uint8Array,
  places: number[],
): boolean {
  places.length = 0;
  for (const hash of hashes) {
    const place = placeOf(hash, displacement, taken.length);
    if (taken[place] !== 0) {
      for (const own of places) taken[own] = 0;
      return false;
    }
    taken[place] = 1;
    places.push(place);
  }
  return true;
}

/**
 * A place for each key. The homes with most keys choose first, while there is most room.
 *
 * @param hashes of the keys, all of them different
 * @param size places: a power of two, 65,536 at most
 * @returns null when the keys do not fit. Up to half of the size they do, unless two of one home have all but equal hashes.
 */
export function perfectHash(hashes: readonly Readonly<Word64>[], size: number): PerfectHash | null {
  if (hashes.length > size) return null;
  const { keys, starts } = byHome(hashes, size);
  const taken = new Uint8Array(size);
  const places = new Uint32Array(hashes.length);
  const displacements = new Uint16Array(size / PF_PLACES_PER_HOME);
  const found: number[] = [];
  for (const home of inOrder(starts)) {
    const own: Readonly<Word64>[] = [];
    for (let i = starts[home]!; i < starts[home + 1]!; i++) own.push(hashes[keys[i]!]!);
    let displacement = 0;
    while (displacement < DISPLACEMENTS && !takePlaces(own, displacement, taken, found)) displacement++;
    if (displacement === DISPLACEMENTS) return null;
    displacements[home] = displacement;
    for (const [i, place] of found.entries()) places[keys[starts[home]! + i]!] = place;
  }
  return { size, places, displacements };
}

/**
 * The same in as few places as it will do, for what is close together stays in the nearest caches: three quarters of
 * them are taken at most, for beyond that it would be searched for in vain.
 *
 * @param most places: a power of two, 65,536 at most
 */
export function densestHash(hashes: readonly Readonly<Word64>[], most: number): PerfectHash | null {
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(PF_PLACES_PER_HOME, (hashes.length * 4) / 3)));
  for (let size = Math.min(wanted, most); size <= most; size *= 2) {
    const found = perfectHash(hashes, size);
    if (found !== null) return found;
  }
  return null;
}

const SMALLEST_TABLE = 1_024;
/** Places that a displacement can lead to. */
export const LARGEST_TABLE = 65_536;

/** Places of a table for so many keys. */
export function tablePlaces(keys: number): number {
  return Math.min(LARGEST_TABLE, Math.max(SMALLEST_TABLE, 2 ** Math.ceil(Math.log2(2 * keys))));
}

/** Keys that such a table has room for, whatever their hashes. */
export function surelyHeld(places: number): number {
  return places / 2;
}

/** Bytes of the map that holds such a table: the number of places in use, the places, the displacements. */
export function tableSize(places: number, entryBytes: number): number {
  return (1 + places) * entryBytes + (places / PF_PLACES_PER_HOME) * Uint16Array.BYTES_PER_ELEMENT;
}

/**
 * The whole map.
 *
 * @param entries in the order of the keys, encoded
 * @param most places that the map has room for
 */
export function tableBytes(
  entries: readonly Uint8Array[],
  { size, places, displacements }: PerfectHash,
  most: number,
  entryBytes: number,
): Uint8Array {
  const bytes = new Uint8Array(tableSize(most, entryBytes));
  new DataView(bytes.buffer).setUint32(0, size - 1, true);
  for (const [key, entry] of entries.entries()) bytes.set(entry, (1 + (places[key] ?? 0)) * entryBytes);
  const view = new DataView(bytes.buffer, (1 + size) * entryBytes);
  displacements.forEach((displacement, home) => {
    view.setUint16(home * Uint16Array.BYTES_PER_ELEMENT, displacement, true);
  });
  return bytes;
}
