import type { ServerIds } from '../core/data-plane.ts';
import { encode } from './codec.ts';
import { tableFull } from './directory-table.ts';
import { structs } from './layout.gen.ts';
import type { Word64 } from './mix64.ts';
import { MIX_1, MIX_2, mix } from './mix64.ts';
import { perfectHash } from './perfect-hash.ts';

const { size: ENTRY_BYTES, fields } = structs.pf_server_id;

function hashOf(id: number, pool: number): Word64 {
  const word = { high: pool, low: id };
  mix(word, MIX_1);
  mix(word, MIX_2);
  return word;
}

/**
 * All entries of the inner map, as docs/decisions/0005-directory.md lays them out.
 *
 * @param size entries of the table: a power of two
 * @throws PilotfishError PF_MAP_FULL
 */
export function serverIdTable(serverIds: ServerIds, size: number): Uint8Array {
  const entries = [...serverIds].map(([key, real]) => {
    const [pool = 0, id = 0] = key.split('|').map(Number);
    return { pool, id, real };
  });
  const found = perfectHash(
    entries.map(({ id, pool }) => hashOf(id, pool)),
    size,
  );
  if (found === null) throw tableFull('the table of server ids', entries.length, size, 'limits.reals');
  const bytes = new Uint8Array(size * ENTRY_BYTES);
  for (const [key, entry] of entries.entries())
    bytes.set(encode('pf_server_id', { ...entry, displacement: 0 }), (found.places[key] ?? 0) * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  found.displacements.forEach((displacement, home) => {
    view.setUint32(home * ENTRY_BYTES + fields.displacement.offset, displacement, true);
  });
  return bytes;
}
