import { isDeepStrictEqual } from 'node:util';
import { isRecord } from './fields.ts';
import { desiredPrefix, keys as keyNames, readKey } from './key-path.ts';
import { Mistake } from './mistake.ts';
import { isConsulQuery } from './schema.ts';
import type { TreeKeys } from './tree.ts';

export interface FieldChange {
  readonly field: string;
  /** undefined: absent, so that the default holds; of a client prefix the VIP’s own pool. */
  readonly from: unknown;
  readonly to: unknown;
}

export interface KeyChange {
  readonly op: 'add' | 'change' | 'remove';
  readonly key: string;
  /** What differs, for a change. */
  readonly fields: readonly FieldChange[];
}

/** What it takes to bring a store to what a file says. */
export interface StateDiff {
  readonly put: ReadonlyMap<string, string>;
  readonly delete: readonly string[];
  /** In the order of their keys. */
  readonly changes: readonly KeyChange[];
  /** Keys that the file does not have, that pruning would remove, and that stay because nobody asked for it. */
  readonly kept: readonly string[];
}

type Keys = ReadonlyMap<string, string>;

function parsed(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
}

/** Pools by client prefix, when that is what the field holds; absent is as good as empty. */
function clientPools(clients: unknown): ReadonlyMap<string, string> | null {
  if (clients === undefined) return new Map();
  if (!Array.isArray(clients)) return null;
  const pools = new Map<string, string>();
  for (const client of clients) {
    if (!isRecord(client) || Object.keys(client).length !== 2) return null;
    const { prefix, pool } = client;
    if (typeof prefix !== 'string' || typeof pool !== 'string') return null;
    pools.set(prefix, pool);
  }
  return pools.size === clients.length ? pools : null;
}

/** Of two long lists of clients, those that differ; null when one of the two is no such list. */
function clientChanges(before: unknown, after: unknown): FieldChange[] | null {
  const [from, to] = [clientPools(before), clientPools(after)];
  if (from === null || to === null) return null;
  return [...new Set([...from.keys(), ...to.keys()])]
    .filter((prefix) => from.get(prefix) !== to.get(prefix))
    .map((prefix) => ({ field: `clients[${prefix}]`, from: from.get(prefix), to: to.get(prefix) }));
}

function fieldChanges(before: unknown, after: unknown): FieldChange[] {
  if (!isRecord(before) || !isRecord(after)) return [{ field: '', from: before, to: after }];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((field) => {
    const [from, to] = [before[field], after[field]];
    if (isDeepStrictEqual(from, to)) return [];
    return (field === 'clients' ? clientChanges(from, to) : null) ?? [{ field, from, to }];
  });
}

/** The reals inside the pool’s value, when it has some that can be keys of their own. */
function inlineReals(raw: string | undefined): Readonly<Record<string, unknown>> | null {
  const pool = raw === undefined ? null : parsed(raw);
  if (!isRecord(pool) || !isRecord(pool.reals) || isConsulQuery(pool.reals)) return null;
  return pool.reals;
}

/**
 * Reals that the store has inside the values of the file’s pools. Writing such a pool as the file has it would lose
 * them, so they are moved to keys of their own first.
 */
function movedReals(file: TreeKeys, store: Keys): Map<string, string> {
  const moved = new Map<string, string>();
  for (const key of file.keys.keys()) {
    const path = readKey(key);
    if (path instanceof Mistake || path.kind !== 'pool') continue;
    for (const [id, real] of Object.entries(inlineReals(store.get(key)) ?? {})) {
      const own = keyNames.real(path.pool, id);
      if (!store.has(own)) moved.set(own, JSON.stringify(real));
    }
  }
  return moved;
}

/**
 * What pruning may remove: VIPs and pools, and the reals of pools whose reals the file lists. Not the settings, since a
 * new seed moves every flow; not overrides that the file does not speak about, since they are people’s word of the
 * moment; nothing that this version does not know.
 */
function prunable(key: string, file: TreeKeys): boolean {
  const path = readKey(key);
  if (path instanceof Mistake) return false;
  switch (path.kind) {
    case 'settings':
      return false;
    case 'vip':
    case 'pool':
      return true;
    case 'real':
      return file.listsRealsOf.has(path.pool) || !file.keys.has(keyNames.pool(path.pool));
    case 'override':
      return file.listsOverrides;
  }
}

/** An override outlives its real only until somebody prunes that real: else it would meet the next one of that id. */
function orphanedOverrides(store: Keys, removed: ReadonlySet<string>): string[] {
  return [...store.keys()].filter((key) => {
    const path = readKey(key);
    if (path instanceof Mistake || path.kind !== 'override') return false;
    return removed.has(keyNames.real(path.pool, path.id)) || removed.has(keyNames.pool(path.pool));
  });
}

function changeOf(key: string, before: string | undefined, after: string): KeyChange | null {
  if (before === undefined) return { op: 'add', key, fields: [] };
  const fields = fieldChanges(parsed(before), parsed(after));
  return fields.length === 0 ? null : { op: 'change', key, fields };
}

/**
 * A large difference takes several transactions, and an LB may see the state between two of them. Written in this order
 * and removed in the opposite one, no VIP stands without its pool, no pool without its reals, and no drained real without
 * its override.
 */
const writeOrder = ['settings', 'override', 'real', 'pool', 'vip'];

function byWriteOrder(a: string, b: string): number {
  const place = (key: string): number => {
    const path = readKey(key);
    return path instanceof Mistake ? -1 : writeOrder.indexOf(path.kind);
  };
  return place(a) - place(b) || (a < b ? -1 : 1);
}

/**
 * @param file keys of a state file, each of them valid
 * @param store every key of the store, relative to its prefix
 * @param prune remove what the file does not have
 */
export function diffState(file: TreeKeys, store: Keys, prune: boolean): StateDiff {
  const moved = movedReals(file, store);
  const before = new Map([...[...store].filter(([key]) => key.startsWith(desiredPrefix)), ...moved]);
  const surplus = [...before.keys()].filter((key) => !file.keys.has(key) && prunable(key, file));
  const removed = new Set(prune ? surplus : []);
  for (const key of prune ? orphanedOverrides(before, removed) : []) if (!file.keys.has(key)) removed.add(key);

  const put = new Map([...moved].filter(([key]) => !removed.has(key)));
  const changes: KeyChange[] = [...removed].map((key) => ({ op: 'remove', key, fields: [] }));
  for (const [key, after] of file.keys) {
    // A pool that had its reals inside is compared with them, so that their move shows.
    const change = changeOf(key, before.get(key), after);
    if (change === null && !moved.has(key)) continue;
    put.set(key, after);
    if (change !== null) changes.push(change);
  }
  return {
    put: new Map([...put].sort(([a], [b]) => byWriteOrder(a, b))),
    delete: [...removed].filter((key) => store.has(key)).sort((a, b) => byWriteOrder(b, a)),
    changes: changes.sort((a, b) => (a.key < b.key ? -1 : 1)),
    kept: prune ? [] : surplus.sort(),
  };
}

/** The store’s desired keys once the difference is applied. */
export function applyDiff(store: Keys, diff: StateDiff): Map<string, string> {
  const after = new Map([...store, ...diff.put]);
  for (const key of diff.delete) after.delete(key);
  return after;
}
