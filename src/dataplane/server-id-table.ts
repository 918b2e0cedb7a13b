import type { ServerIds } from '../core/data-plane.ts';
import { encode } from './codec.ts';
import { structs } from './layout.gen.ts';
import type { Word64 } from './mix64.ts';
import { fold, MIX_1, MIX_2, product, xor } from './mix64.ts';
import { densestHash, tableBytes } from './perfect-hash.ts';
import { tableFull } from './table-full.ts';

function hashOf(id: number, pool: number): Word64 {
  return fold(xor(product({ high: 0, low: id }, MIX_1), product({ high: 0, low: pool }, MIX_2)));
}

/**
 * All of the inner map, as docs/decisions/0005-directory.md lays them out.
 *
 * @param size places that the table has room for: a power of two
 * @throws PilotfishError PF_MAP_FULL
 */
export function serverIdTable(serverIds: ServerIds, size: number): Uint8Array {
  const entries = [...serverIds].map(([key, real]) => {
    const [pool = 0, id = 0] = key.split('|').map(Number);
    return { pool, id, real };
  });
  const found = densestHash(
    entries.map(({ id, pool }) => hashOf(id, pool)),
    size,
  );
  if (found === null) throw tableFull('server_ids', `${entries.length}`, size);
  const encoded = entries.map((entry) => encode('pf_server_id', { ...entry, spare: [0, 0] }));
  return tableBytes(encoded, found, size, structs.pf_server_id.size);
}
