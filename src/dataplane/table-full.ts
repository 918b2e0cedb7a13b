import { PilotfishError } from '../core/errors.ts';
import type { TableName } from './map-store.ts';
import { LARGEST_TABLE } from './perfect-hash.ts';

/** What people know of a table. */
const tables: Readonly<Record<TableName, { readonly what: string; readonly limit: string; readonly less: string }>> = {
  directory: {
    what: 'the directory of VIPs',
    limit: 'limits.vips',
    less: 'use fewer ports on prefixes, or fewer VIPs and tunnels inside of them',
  },
  server_ids: {
    what: 'the table of server ids',
    limit: 'limits.serverIds',
    less: 'remove server ids, or pools from clients of VIPs that look for ids',
  },
};

/**
 * Why keys do not fit.
 *
 * @param keys how many, in words
 * @param size places of the table
 */
export function tableFull(table: TableName, keys: string, size: number): PilotfishError {
  const { what, limit, less } = tables[table];
  const [which, fix] =
    size < LARGEST_TABLE
      ? [`a table of ${size}`, `raise ${limit} in agent.yaml and restart the agent, or remove what is not needed`]
      : [`the largest table that there is, one of ${size}`, less];
  return new PilotfishError('PF_MAP_FULL', `${what} needs ${keys} entries, which do not fit into ${which}`, { fix });
}
