import { compareAddresses } from './address.ts';
import { defaultLimits, type StateLimits } from './admission.ts';
import { candidate, type Item } from './candidate.ts';
import { desiredPrefix, type KeyPath, keys as keyNames, readKey } from './key-path.ts';
import { Mistake, type Problem, shown } from './mistake.ts';
import type { Pool, Real, RealState, Rejection, Revision, Settings, Snapshot, Vip } from './model.ts';
import { type Resolution, resolve } from './resolve.ts';
import { defaultSettings, readValue } from './schema.ts';

/** A snapshot, and for each key what the next parse needs to know: what it said and what is in force for it. */
export interface ParsedState {
  readonly snapshot: Snapshot;
  readonly entries: ReadonlyMap<string, Entry>;
}

interface Reading {
  readonly raw: string;
  readonly path: KeyPath | null;
  /** What the key says, or everything that is wrong with it by itself. */
  readonly said: Item | readonly Problem[];
}

export interface Entry extends Reading {
  readonly inForce: Item | null;
}

function isItem(said: Reading['said']): said is Item {
  return 'kind' in said;
}

function read(key: string, raw: string): Reading {
  const path = readKey(key);
  if (path instanceof Mistake) {
    const { message, fix } = path;
    return { raw, path: null, said: [{ field: '', value: shown(key), message, fix }] };
  }
  const value = readValue(path.kind, raw);
  if (Array.isArray(value)) return { raw, path, said: value };
  // The compiler cannot see that path and value are of the same kind.
  return { raw, path, said: { ...path, key, raw, value } as Item };
}

function readAll(keys: ReadonlyMap<string, string>, previous: ParsedState | null): Map<string, Reading> {
  const readings = new Map<string, Reading>();
  for (const key of [...keys.keys()].filter((name) => name.startsWith(desiredPrefix)).sort()) {
    const raw = keys.get(key)!;
    const known = previous?.entries.get(key);
    readings.set(key, known?.raw === raw ? known : read(key, raw));
  }
  return readings;
}

function poolsWritten(readings: ReadonlyMap<string, Reading>): Set<string> {
  const pools = new Set<string>();
  for (const { path } of readings.values()) if (path?.kind === 'pool') pools.add(path.pool);
  return pools;
}

/** A real is lost with its pool, and the pool’s own rejection says so. */
function isCoveredByPool({ path, said }: Reading, resolutions: ReadonlyMap<string, Resolution>): boolean {
  return path?.kind === 'real' && isItem(said) && resolutions.get(keyNames.pool(path.pool))?.item === null;
}

function rejectionsOf(
  readings: ReadonlyMap<string, Reading>,
  resolutions: ReadonlyMap<string, Resolution>,
): Rejection[] {
  const rejections: Rejection[] = [];
  for (const [key, reading] of readings) {
    const { item, reason } = resolutions.get(key)!;
    if (isCoveredByPool(reading, resolutions)) continue;
    const problems = isItem(reading.said) ? (reason === null ? [] : [reason]) : reading.said;
    for (const { field, value, message, fix } of problems)
      rejections.push({
        path: field === '' ? key : `${key}: ${field}`,
        value,
        message,
        fix,
        keptLastGood: item !== null,
      });
  }
  return rejections;
}

interface Parts {
  settings: Settings;
  readonly vips: Vip[];
  readonly pools: Map<string, { pool: Omit<Pool, 'reals'>; reals: Real[] }>;
  readonly overrides: Map<string, RealState>;
}

function collect(items: Iterable<Item>): Parts {
  const parts: Parts = { settings: defaultSettings, vips: [], pools: new Map(), overrides: new Map() };
  const reals: Extract<Item, { kind: 'real' }>[] = [];
  for (const item of items)
    if (item.kind === 'settings') parts.settings = item.value;
    else if (item.kind === 'vip') parts.vips.push({ name: item.name, ...item.value });
    else if (item.kind === 'override') parts.overrides.set(`${item.pool}/${item.id}`, item.value.state);
    else if (item.kind === 'real') reals.push(item);
    else {
      const { reals: inline, ...pool } = item.value;
      parts.pools.set(item.pool, { pool: { name: item.pool, ...pool }, reals: [...inline] });
    }
  for (const { pool, id, value } of reals) parts.pools.get(pool)?.reals.push({ id, ...value });
  return parts;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function buildSnapshot(items: Iterable<Item>, revision: Revision, rejected: readonly Rejection[]): Snapshot {
  const { settings, vips, pools, overrides } = collect(items);
  const settled = [...pools.values()].map(({ pool, reals }): Pool => {
    const overridden = reals.map((real) => ({
      ...real,
      state: overrides.get(`${pool.name}/${real.id}`) ?? real.state,
    }));
    return { ...pool, reals: overridden.sort((a, b) => compareAddresses(a.address, b.address)) };
  });
  return {
    revision,
    settings,
    vips: new Map(vips.sort(byName).map((vip) => [vip.name, vip])),
    pools: new Map(settled.sort(byName).map((pool) => [pool.name, pool])),
    rejected,
  };
}

/**
 * The desired state that these keys describe. A key that cannot be used keeps its last good value, or has none, and is
 * reported with everything that is wrong with it; the others come into force without it. A key that is gone is gone.
 * Never throws; the order of the keys does not matter; keys that do not start with `desired/` are passed over.
 *
 * @param keys relative to the store’s prefix
 * @param previous the state that was in force until now; null when there is none, as after a start
 */
export function parseState(
  keys: ReadonlyMap<string, string>,
  revision: Revision,
  previous: ParsedState | null,
  limits: StateLimits = defaultLimits,
): ParsedState {
  const readings = readAll(keys, previous);
  const candidates = [...readings].map(([key, { said }]) =>
    candidate(key, isItem(said) ? said : null, previous?.entries.get(key)?.inForce ?? null),
  );
  const resolutions = resolve(candidates, poolsWritten(readings), limits);
  const items = [...resolutions.values()].flatMap(({ item }) => item ?? []);
  return {
    snapshot: buildSnapshot(items, revision, rejectionsOf(readings, resolutions)),
    entries: new Map([...readings].map(([key, reading]) => [key, { ...reading, inForce: resolutions.get(key)!.item }])),
  };
}

/** Rejections of keys that are wrong by themselves, whatever other keys say. */
export function unreadable({ snapshot, entries }: ParsedState): Rejection[] {
  return snapshot.rejected.filter(({ path }) => {
    const entry = entries.get(path) ?? entries.get(path.split(': ', 1)[0]!);
    return entry !== undefined && !isItem(entry.said);
  });
}
