import * as z from 'zod';
import type { Observation, Rejection } from '../core/model.ts';

/** What the LBs say under fleet/, as a command reads it. */

const infoSchema = z.object({
  version: z.string(),
  revision: z.object({ generation: z.string(), number: z.number() }).nullable(),
  digests: z.object({ state: z.string().nullable(), pools: z.record(z.string(), z.string()) }),
  host: z.string(),
  since: z.string(),
});
const observationsSchema = z.object({ up: z.array(z.string()), down: z.array(z.string()) });
const rejectedSchema = z.array(
  z.object({
    path: z.string(),
    value: z.string(),
    message: z.string(),
    fix: z.string(),
    keptLastGood: z.boolean(),
  }),
);

export type LbInfo = z.output<typeof infoSchema>;

export interface LbState {
  readonly lb: string;
  readonly info: LbInfo | null;
  /** By pool. */
  readonly observations: ReadonlyMap<string, { readonly up: readonly string[]; readonly down: readonly string[] }>;
  readonly rejected: readonly Rejection[];
}

export interface FleetState {
  /** By name, in name order. */
  readonly lbs: readonly LbState[];
  /** Keys whose values no LB of this version writes. */
  readonly unreadable: readonly string[];
}

function readAs<T>(schema: z.ZodType<T>, raw: string): T | null {
  try {
    return schema.safeParse(JSON.parse(raw)).data ?? null;
  } catch {
    return null;
  }
}

class Lb implements LbState {
  readonly lb: string;
  info: LbInfo | null = null;
  readonly observations = new Map<string, z.output<typeof observationsSchema>>();
  rejected: readonly Rejection[] = [];

  constructor(lb: string) {
    this.lb = lb;
  }

  /** Takes a key relative to the LB’s folder; false when the value cannot be read. */
  take(key: string, raw: string): boolean {
    const [section, pool] = key.split('/', 2);
    if (section === 'info') {
      this.info = readAs(infoSchema, raw);
      return this.info !== null;
    }
    if (section === 'rejected') {
      const rejected = readAs(rejectedSchema, raw);
      this.rejected = rejected ?? [];
      return rejected !== null;
    }
    const observations = section === 'observations' && pool !== undefined ? readAs(observationsSchema, raw) : null;
    if (pool !== undefined && observations !== null) this.observations.set(pool, observations);
    return observations !== null;
  }
}

/** @param keys every key that starts with `fleet/`, relative to the store’s prefix */
export function readFleet(keys: ReadonlyMap<string, string>): FleetState {
  const lbs = new Map<string, Lb>();
  const unreadable: string[] = [];
  for (const [key, raw] of keys) {
    const [, name = '', ...rest] = key.split('/');
    const lb = lbs.get(name) ?? new Lb(name);
    lbs.set(name, lb);
    if (!lb.take(rest.join('/'), raw)) unreadable.push(key);
  }
  return { lbs: [...lbs.values()].sort((a, b) => (a.lb < b.lb ? -1 : 1)), unreadable };
}

/** What an LB has concluded about a real; null when it says nothing about the real’s pool. */
export function observationOf(lb: LbState, pool: string, address: string): Observation | null {
  const observations = lb.observations.get(pool);
  if (observations === undefined) return null;
  if (observations.up.includes(address)) return 'up';
  return observations.down.includes(address) ? 'down' : 'unknown';
}
