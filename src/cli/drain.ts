import { readConfig } from '../config.ts';
import type { StateLimits } from '../core/admission.ts';
import { PilotfishError } from '../core/errors.ts';
import { suggest } from '../core/hints.ts';
import { desiredPrefix, keys as keyNames, readKey } from '../core/key-path.ts';
import { Mistake } from '../core/mistake.ts';
import type { Real, Revision } from '../core/model.ts';
import { parseState } from '../core/parse-state.ts';
import { EtcdStore } from '../sync/etcd-store.ts';
import { fetchState } from './agent-client.ts';
import { awaitQuiet } from './await-quiet.ts';
import { defaultConfigPath } from './config-path.ts';
import { refuseShortWait, type StoreOptions, storePlace } from './options.ts';
import { exitCodes } from './report-error.ts';

export interface DrainOptions extends StoreOptions {
  readonly maintenance?: boolean;
  readonly wait?: boolean;
  /** Seconds, as is `timeout`. */
  readonly quietFor: number;
  readonly timeout: number;
  readonly socket?: string;
}

type Override = 'drain' | 'maintenance';

interface Name {
  readonly pool: string;
  readonly id: string;
}

/** By pool and id. Null: the key is there and cannot be used, and LBs may keep a last good value. */
type Reals = ReadonlyMap<string, ReadonlyMap<string, Real | null>>;

/** @throws PilotfishError PF_USAGE */
function readName(text: string): Name {
  const [pool = '', id = '', ...rest] = text.split('/');
  if (pool !== '' && id !== '' && rest.length === 0) return { pool, id };
  throw new PilotfishError('PF_USAGE', `"${text}" does not name a real`, {
    fix: 'write pool and real, such as web/r1; `pilotfish get reals` lists them',
  });
}

function realsOf(keys: ReadonlyMap<string, string>, revision: Revision, limits: StateLimits): Reals {
  const reals = new Map<string, Map<string, Real | null>>();
  const add = (pool: string, entries: Iterable<readonly [string, Real | null]>): void => {
    reals.set(pool, new Map([...(reals.get(pool) ?? []), ...entries]));
  };
  for (const key of keys.keys()) {
    const path = readKey(key);
    if (path instanceof Mistake) continue;
    if (path.kind === 'pool') add(path.pool, []);
    if (path.kind === 'real') add(path.pool, [[path.id, null]]);
  }
  for (const pool of parseState(keys, revision, null, limits).snapshot.pools.values())
    add(
      pool.name,
      pool.reals.map((real) => [real.id, real]),
    );
  return reals;
}

/** @throws PilotfishError PF_USAGE with the nearest name */
function requireReal({ pool, id }: Name, reals: Reals): void {
  const ids = reals.get(pool);
  if (ids?.has(id)) return;
  if (ids === undefined)
    throw new PilotfishError('PF_USAGE', `there is no pool "${pool}"`, {
      fix: reals.size === 0 ? 'the store has no pools: check endpoint and prefix' : suggest(pool, [...reals.keys()]),
    });
  const owner = [...ids.values()].find((real) => real?.address === id);
  const fix = owner ? `that is the address of ${pool}/${owner.id}` : suggest(id, [...ids.keys()]);
  throw new PilotfishError('PF_USAGE', `pool ${pool} has no real "${id}"`, {
    fix: ids.size === 0 ? 'the pool has no reals' : fix,
  });
}

/**
 * Writes or removes what people say about one real.
 * @param wanted null: nothing any more
 * @returns a line about what was done
 */
async function override(text: string, wanted: Override | null, options: StoreOptions): Promise<string> {
  const name = readName(text);
  const key = keyNames.override(name.pool, name.id);
  const { etcd, limits } = storePlace(options);
  const store = new EtcdStore(etcd);
  try {
    const { keys, revision } = await store.list(desiredPrefix);
    const before = realsOf(keys, revision, limits);
    // An override may outlive its real, and can be ended then.
    if (wanted !== null || !keys.has(key)) requireReal(name, before);
    const value = wanted === null ? null : JSON.stringify({ state: wanted });
    const stateIn = (reals: Reals): string => reals.get(name.pool)?.get(name.id)?.state ?? 'not usable';
    if ((keys.get(key) ?? null) === value)
      return wanted === null ? `${text} has no override, it is ${stateIn(before)}` : `${text} is ${wanted} already`;
    const put = new Map(value === null ? [] : [[key, value]]);
    const written = await store.apply({ put, delete: value === null ? [key] : [] }, revision);
    keys.delete(key);
    const own = stateIn(realsOf(keys, revision, limits));
    const now = wanted ?? (own === 'active' ? own : `${own} by its own key`);
    return `${text} is ${now} at revision ${written?.number}, was ${stateIn(before)}`;
  } finally {
    store.close();
  }
}

/**
 * A real takes no new flows from here on; in maintenance none at all.
 * @throws PilotfishError PF_USAGE, PF_STORE; PF_AGENT when it shall wait and no agent answers
 */
export async function runDrain(text: string, options: DrainOptions): Promise<number> {
  const wanted = options.maintenance === true ? 'maintenance' : 'drain';
  if (options.wait !== true) {
    console.log(await override(text, wanted, options));
    return exitCodes.done;
  }
  refuseShortWait(options.timeout, options.quietFor);
  const socket = options.socket ?? readConfig(options.config ?? defaultConfigPath).admin.socket;
  // Before anything is written: nobody could tell when the flows have ended.
  await fetchState(socket);
  console.log(await override(text, wanted, options));
  const { pool, id } = readName(text);
  const { lb, unquiet } = await awaitQuiet(pool, id, {
    socket,
    quietForMs: options.quietFor * 1_000,
    timeoutMs: options.timeout * 1_000,
  });
  if (unquiet === null) {
    console.log(`${text} got no packet from ${lb} for ${options.quietFor} s`);
    return exitCodes.done;
  }
  console.error(`${text} is not quiet on ${lb} after ${options.timeout} s: ${unquiet}`);
  return exitCodes.failed;
}

/**
 * A real is again what its own key says.
 * @throws PilotfishError PF_USAGE, PF_STORE
 */
export async function runUndrain(text: string, options: StoreOptions): Promise<number> {
  console.log(await override(text, null, options));
  return exitCodes.done;
}
