import { isDeepStrictEqual } from 'node:util';
import type { MapOp, Observed, ServerIdKey } from './data-plane.ts';
import type { RealKey } from './model.ts';
import { lookup } from './numbers.ts';
import type { Target } from './target.ts';

/** The table of ids as a whole, if it differs. */
export function planServerIds(
  target: Target,
  observed: Observed,
  poolNumber: ReadonlyMap<string, number>,
  realNumber: ReadonlyMap<RealKey, number>,
): MapOp[] {
  const serverIds = new Map<ServerIdKey, number>();
  for (const [name, ids] of target.serverIds) {
    const pool = lookup(poolNumber, name);
    for (const [id, key] of ids) {
      const number = realNumber.get(key);
      // Without one it is a lingering real whose flows were void when its key vanished.
      if (number !== undefined) serverIds.set(`${pool}|${id}`, number);
    }
  }
  return isDeepStrictEqual(serverIds, observed.serverIds) ? [] : [{ op: 'swap-server-ids', serverIds }];
}
