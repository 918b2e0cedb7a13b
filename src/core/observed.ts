import type { MapOp, Observed } from './data-plane.ts';
import { ringSignature } from './data-plane.ts';

/** Observed with its maps open to change. */
type Mutable = {
  -readonly [K in keyof Observed]: Observed[K] extends ReadonlyMap<infer A, infer B> ? Map<A, B> : Observed[K];
};

/** What the maps hold after these operations, without reading them: the same as `observe()` would say. */
export function applied(observed: Observed, ops: readonly MapOp[]): Observed {
  const next: Mutable = {
    ...observed,
    reals: new Map(observed.reals),
    freed: new Map(observed.freed),
    rings: new Map(observed.rings),
    pools: new Map(observed.pools),
  };
  for (const op of ops) applyOne(next, op);
  return next;
}

function applyOne(next: Mutable, op: MapOp): void {
  switch (op.op) {
    case 'settings':
      next.settings = op.settings;
      break;
    case 'put-real':
      next.reals.set(op.number, op.real);
      next.freed.delete(op.number);
      break;
    case 'void-real':
      next.reals.delete(op.number);
      // Generation 0 is that of a number never used, which is not listed.
      if (op.generation > 0) next.freed.set(op.number, op.generation);
      break;
    case 'name-pool':
      next.pools.set(op.name, op.pool);
      break;
    case 'swap-rings':
      for (const { pool, spec } of op.rings) next.rings.set(pool, ringSignature(spec));
      break;
    case 'remove-pools':
      for (const pool of op.pools) next.rings.delete(pool);
      for (const [name, number] of next.pools) if (op.pools.includes(number)) next.pools.delete(name);
      break;
    case 'swap-server-ids':
      next.serverIds = op.serverIds;
      break;
    case 'swap-directory':
      next.directory = op.directory;
      next.directorySound = true;
      break;
  }
}
