import { encode } from './codec.ts';
import type { Entry } from './directory-entries.ts';
import { enums, structs } from './layout.gen.ts';
import type { Word64 } from './mix64.ts';
import { fold, MIX_1, MIX_2, MIX_3, product, xor } from './mix64.ts';
import { densestHash, tableBytes } from './perfect-hash.ts';
import { tableFull } from './table-full.ts';

/** The directory as docs/decisions/0005-directory.md lays it out. */

const { PF_FAMILY_V6 } = enums.pf_family;
const { PF_VIP } = enums.pf_flag;
const FAMILY_AT = structs.pf_key.fields.family.offset;

interface Hashes {
  /** Bit of the address filter. */
  readonly filter: number;
  readonly key: Word64;
}

/** @param entry an encoded pf_entry: it starts with its key */
function hashesOf(entry: Uint8Array): Hashes {
  const view = new DataView(entry.buffer, entry.byteOffset);
  const word = (at: number): number => view.getUint32(at);
  const address =
    view.getUint8(FAMILY_AT) === PF_FAMILY_V6
      ? xor(product({ high: word(0), low: word(4) }, MIX_1), product({ high: word(8), low: word(12) }, MIX_2))
      : product({ high: 0, low: word(0) }, MIX_1);
  const tail = product({ high: 0, low: view.getUint32(16, true) }, MIX_3);
  return { filter: fold(address).low >>> 16, key: fold(xor(address, tail)) };
}

export interface DirectoryTable {
  /** All of the inner map. */
  readonly bytes: Uint8Array;
  /** The value of the map address_filter. */
  readonly filter: Uint8Array;
}

/**
 * The entries of VIPs have the first choice of places: nearly all packets look for those.
 *
 * @param given with keys that all differ
 * @param size places that the table has room for: a power of two
 * @throws PilotfishError PF_MAP_FULL
 */
export function directoryTable(given: readonly Entry[], size: number): DirectoryTable {
  const entries = given.toSorted((a, b) => (b.flags & PF_VIP) - (a.flags & PF_VIP));
  const encoded = entries.map((entry) => encode('pf_entry', { ...entry, spare: 0 }));
  const hashes = encoded.map(hashesOf);
  const found = densestHash(
    hashes.map(({ key }) => key),
    size,
  );
  if (found === null) throw tableFull('directory', `${entries.length}`, size);
  return { bytes: tableBytes(encoded, found, size, structs.pf_entry.size), filter: filterOf(entries, hashes) };
}

function filterOf(entries: readonly Entry[], hashes: readonly Hashes[]): Uint8Array {
  const filter = new Uint8Array(structs.pf_filter.size);
  // Any address may be in a prefix, as far as its hash tells.
  if (entries.some(({ family }) => family === enums.pf_family.PF_FAMILY_PREFIX)) return filter.fill(0xff);
  for (const { filter: bit } of hashes) filter[bit >> 3]! |= 1 << (bit & 7);
  return filter;
}
