import { isDeepStrictEqual } from 'node:util';
import type { MapOp, Observed, ServerIdKey, ServerIds } from './data-plane.ts';
import type { RealKey } from './model.ts';
import { lookup } from './numbers.ts';
import type { Target } from './target.ts';

/**
 * The table of ids as a whole, if it differs. Ids of VIPs that are about to change stay in it beside the new ones until the directory
 * is there, if there is room for both: `last` then takes them out.
 */
export function planServerIds(
  target: Target,
  observed: Observed,
  poolNumber: ReadonlyMap<string, number>,
  realNumber: ReadonlyMap<RealKey, number>,
  directoryChanges: boolean,
): { readonly first: MapOp[]; readonly last: MapOp[] } {
  const serverIds = new Map<ServerIdKey, number>();
  for (const [name, ids] of target.serverIds) {
    const pool = lookup(poolNumber, name);
    for (const [id, key] of ids) {
      const number = realNumber.get(key);
      // Without one it is a lingering real whose flows were void when its key vanished.
      if (number !== undefined) serverIds.set(`${pool}|${id}`, number);
    }
  }
  const before = observed.serverIds ?? new Map<ServerIdKey, number>();
  const numbers = new Set(realNumber.values());
  // Those of reals that keep no flows are gone at once.
  const both = new Map([...[...before].filter(([, number]) => numbers.has(number)), ...serverIds]);
  if (!directoryChanges || both.size === serverIds.size || both.size > observed.limits.serverIds)
    return { first: swapOf(serverIds, observed.serverIds), last: [] };
  return { first: swapOf(both, observed.serverIds), last: swapOf(serverIds, both) };
}

function swapOf(serverIds: ServerIds, before: ServerIds | null): MapOp[] {
  return isDeepStrictEqual(serverIds, before) ? [] : [{ op: 'swap-server-ids', serverIds }];
}
