import type { Observation, Snapshot } from '../core/model.ts';
import { type FleetState, type LbInfo, type LbState, observationOf } from './fleet-state.ts';

/** What the LBs of a fleet say, set side by side. Pure. */

/** How an LB stands to the others. */
export type Standing =
  /** Its digest is that of every LB that has one. */
  | 'agrees'
  /** Another LB has another digest at the same revision: they send some packets to different reals. */
  | 'differs'
  /** Another LB has another digest, at another revision: one of them may not have come as far yet. */
  | 'elsewhere'
  /** It is published and has nothing in force yet. */
  | 'starting'
  /** It has keys and no info, or was expected and has none at all: it died, or its lease ran out. */
  | 'missing';

export interface LbComparison {
  readonly name: string;
  readonly standing: Standing;
  readonly info: LbInfo | null;
  /** Keys that it refuses. */
  readonly rejected: number;
}

export interface PoolComparison {
  readonly pool: string;
  readonly equal: boolean;
  /** Of the ring, by LB; null where the LB has no such pool. */
  readonly digests: Readonly<Record<string, string | null>>;
}

export interface RealComparison {
  readonly pool: string;
  /** Its id in the store; null when the store does not have it any more. */
  readonly real: string | null;
  readonly address: string;
  /** By LB; null where the LB says nothing about the pool. */
  readonly observations: Readonly<Record<string, Observation | null>>;
}

export interface FleetComparison {
  /** True when there is an LB and every one agrees. */
  readonly agree: boolean;
  readonly lbs: readonly LbComparison[];
  readonly pools: readonly PoolComparison[];
  /** Only those that LBs differ about. */
  readonly observations: readonly RealComparison[];
}

/** LBs whose maps hold a state. */
function serving(lbs: readonly LbState[]): (LbState & { readonly info: LbInfo })[] {
  return lbs.flatMap((lb) => (lb.info !== null && lb.info.digests.state !== null ? [{ ...lb, info: lb.info }] : []));
}

function standingOf({ info }: LbState, all: readonly LbState[]): Standing {
  if (info === null) return 'missing';
  const { revision, digests } = info;
  if (revision === null || digests.state === null) return 'starting';
  const others = serving(all).filter((lb) => lb.info.digests.state !== digests.state);
  if (others.length === 0) return 'agrees';
  // By number alone: after a restore two LBs may have different names for one generation of the store.
  return others.some((lb) => lb.info.revision?.number === revision.number) ? 'differs' : 'elsewhere';
}

function comparePools(lbs: readonly LbState[]): PoolComparison[] {
  const running = serving(lbs);
  const names = new Set(running.flatMap(({ info }) => Object.keys(info.digests.pools)));
  return [...names].sort().map((pool) => {
    const digests = Object.fromEntries(running.map(({ lb, info }) => [lb, info.digests.pools[pool] ?? null]));
    return { pool, equal: new Set(Object.values(digests)).size === 1, digests };
  });
}

function compareObservations(lbs: readonly LbState[], { pools }: Pick<Snapshot, 'pools'>): RealComparison[] {
  const seen = new Map<string, Set<string>>();
  for (const { observations } of lbs)
    for (const [pool, { up, down }] of observations)
      seen.set(pool, new Set([...(seen.get(pool) ?? []), ...up, ...down]));
  const compared: RealComparison[] = [];
  for (const [pool, addresses] of [...seen].sort(([a], [b]) => (a < b ? -1 : 1)))
    for (const address of [...addresses].sort()) {
      const observations = Object.fromEntries(lbs.map((lb) => [lb.lb, observationOf(lb, pool, address)]));
      if (new Set(Object.values(observations)).size === 1) continue;
      const real = pools.get(pool)?.reals.find((candidate) => candidate.address === address)?.id ?? null;
      compared.push({ pool, real, address, observations });
    }
  return compared;
}

/**
 * @param expected names of LBs that there have to be, whether or not they are published
 */
export function compareFleet(
  fleet: FleetState,
  snapshot: Pick<Snapshot, 'pools'>,
  expected: readonly string[] = [],
): FleetComparison {
  const absent = expected.filter((name) => fleet.lbs.every(({ lb }) => lb !== name));
  const lbs = fleet.lbs.map(
    (lb): LbComparison => ({
      name: lb.lb,
      standing: standingOf(lb, fleet.lbs),
      info: lb.info,
      rejected: lb.rejected.length,
    }),
  );
  for (const name of new Set(absent)) lbs.push({ name, standing: 'missing', info: null, rejected: 0 });
  lbs.sort((a, b) => (a.name < b.name ? -1 : 1));
  const present = fleet.lbs.filter(({ info }) => info !== null);
  return {
    agree: lbs.length > 0 && lbs.every(({ standing }) => standing === 'agrees'),
    lbs,
    pools: comparePools(fleet.lbs),
    observations: compareObservations(present, snapshot),
  };
}
