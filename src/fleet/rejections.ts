import type { Rejection } from '../core/model.ts';

/** A third of what etcd takes as one value, and some thousand keys: more than anybody reads. */
const MAX_BYTES = 500_000;

/**
 * What one LB publishes about the keys that it refuses: as many of the first ones as fit into one value of the store, and
 * one entry more that counts the others. Null when it refuses nothing.
 */
export function packRejections(rejected: readonly Rejection[]): string | null {
  if (rejected.length === 0) return null;
  const entries: string[] = [];
  let bytes = 0;
  for (const rejection of rejected) {
    const entry = JSON.stringify(rejection);
    bytes += Buffer.byteLength(entry);
    if (bytes > MAX_BYTES) break;
    entries.push(entry);
  }
  const others = rejected.length - entries.length;
  if (others > 0) entries.push(JSON.stringify(entryFor(others)));
  return `[${entries.join(',')}]`;
}

/** Sorted by its path it is the last one. */
function entryFor(others: number): Rejection {
  return {
    path: `… and ${others} more`,
    value: '',
    message: 'this LB refuses more keys than it can list here',
    fix: 'mend those that are listed, and look again',
    keptLastGood: false,
  };
}
