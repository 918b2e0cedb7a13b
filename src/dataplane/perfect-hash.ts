import { enums } from './layout.gen.ts';
import type { Word64 } from './mix64.ts';

/**
 * Where the keys of a table are, as docs/decisions/0005-directory.md has it: most at the place that their hash says, the others by hash and
 * displace (Belazzougui, Botelho, Dietzfelbinger, ESA 2009). Its buckets are called homes here.
 */

/** Displacements have 16 bits. */
const DISPLACEMENTS = 65_536;

const { PF_PLACES_PER_HOME } = enums.pf_homes;

export interface PerfectHash {
  /** Places: a power of two, one home’s at least. */
  readonly size: number;
  /** By key: its own place, which no other key has. */
  readonly places: Uint32Array;
  /** By home, for keys that are not at their first places; 0 where no such key has its home. */
  readonly displacements: Uint16Array;
}

/** Where a key is unless another one is. @param size places of the table: a power of two, 2 at least */
export function firstPlaceOf({ high }: Readonly<Word64>, size: number): number {
  return high >>> (32 - Math.log2(size));
}

/** @param size places of the table: a power of two */
export function homeOf({ high }: Readonly<Word64>, size: number): number {
  return (high >>> 8) & (size / PF_PLACES_PER_HOME - 1);
}

export function placeOf({ high, low }: Readonly<Word64>, displacement: number, size: number): number {
  return ((low + Math.imul(displacement, high)) >>> 16) & (size - 1);
}

/** Gives keys their first places, until these are taken. Returns the other keys. */
function takeFirstPlaces(hashes: readonly Readonly<Word64>[], taken: Uint8Array, places: Uint32Array): number[] {
  const others: number[] = [];
  for (const [key, hash] of hashes.entries()) {
    const place = firstPlaceOf(hash, taken.length);
    if (taken[place] === 0) places[key] = place;
    else others.push(key);
    taken[place] = 1;
  }
  return others;
}

/** Homes with their keys, those with most of them first. */
function byHome(keys: readonly number[], hashes: readonly Readonly<Word64>[], size: number): [number, number[]][] {
  const homes = new Map<number, number[]>();
  for (const key of keys) {
    const home = homeOf(hashes[key]!, size);
    const own = homes.get(home);
    if (own === undefined) homes.set(home, [key]);
    else own.push(key);
  }
  return [...homes].sort(([a, one], [b, other]) => other.length - one.length || a - b);
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
 * A place for each key. Of two with one first place it is the earlier one’s; of homes, those with most of the other keys choose
 * first, while there is most room.
 *
 * @param hashes of the keys, all of them different
 * @param size places: a power of two, 65,536 at most
 * @returns null when the keys do not fit. Up to half of the size they do, unless two of one home have all but equal hashes.
 */
export function perfectHash(hashes: readonly Readonly<Word64>[], size: number): PerfectHash | null {
  if (hashes.length > size) return null;
  const taken = new Uint8Array(size);
  const places = new Uint32Array(hashes.length);
  const displacements = new Uint16Array(size / PF_PLACES_PER_HOME);
  const found: number[] = [];
  for (const [home, keys] of byHome(takeFirstPlaces(hashes, taken, places), hashes, size)) {
    const own = keys.map((key) => hashes[key]!);
    let displacement = 0;
    while (displacement < DISPLACEMENTS && !takePlaces(own, displacement, taken, found)) displacement++;
    if (displacement === DISPLACEMENTS) return null;
    displacements[home] = displacement;
    for (const [i, place] of found.entries()) places[keys[i]!] = place;
  }
  return { size, places, displacements };
}

/** Few keys are hardly ever in each other’s way in so many places, of which each is near once it was looked at. */
const LEAST_PLACES = 64;

/**
 * The same in as few places as it will do, for what is close together stays in the nearest caches: three quarters of
 * them are taken at most, for beyond that it would be searched for in vain.
 *
 * @param most places: a power of two, 65,536 at most
 */
export function densestHash(hashes: readonly Readonly<Word64>[], most: number): PerfectHash | null {
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(LEAST_PLACES, (hashes.length * 4) / 3)));
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

/** Bytes of the map that holds such a table: the number of places in use and the shift to one of them, the places, the displacements. */
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
  const header = new DataView(bytes.buffer);
  header.setUint32(0, size - 1, true);
  header.setUint32(4, 64 - Math.log2(size), true);
  for (const [key, entry] of entries.entries()) bytes.set(entry, (1 + (places[key] ?? 0)) * entryBytes);
  const view = new DataView(bytes.buffer, (1 + size) * entryBytes);
  displacements.forEach((displacement, home) => {
    view.setUint16(home * Uint16Array.BYTES_PER_ELEMENT, displacement, true);
  });
  return bytes;
}
