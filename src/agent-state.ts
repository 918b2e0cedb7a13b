import type { AnnounceState } from './announce/announcer.ts';
import { vipId } from './core/data-plane.ts';
import type { RealObservation } from './core/health-state.ts';
import type { RealKey, Snapshot } from './core/model.ts';
import { realKey } from './core/model.ts';
import type { RingBuilder } from './core/ring-builder.ts';
import { type Counted, readCounters, readTraffic } from './dataplane/counters.ts';
import type { EgressState } from './dataplane/egress.ts';
import type { MapStore } from './dataplane/map-store.ts';
import type { ReconcilerStatus } from './sync/reconciler.ts';
import type { SourceStatus } from './sync/source.ts';
import { version } from './version.ts';

/** What GET /v1/state tells about this LB; `pilotfish status` prints it. Counters are JSON numbers, exact to 2^53. */
export interface AgentState {
  readonly lb: string;
  readonly version: string;
  readonly interface: string;
  /** Null when packets to reals leave by `interface`. */
  readonly egress: EgressState | null;
  readonly gateway: { readonly address: string; readonly mac: string };
  /** `driver`, `generic`, `kept` when an earlier agent’s link was taken over, null while not attached. */
  readonly attached: string | null;
  readonly ready: boolean;
  readonly announced: AnnounceState;
  /** Why not ready; alarms that do not stop forwarding. */
  readonly problems: readonly string[];
  readonly source: SourceStatus;
  readonly revision: { readonly generation: string; readonly number: number } | null;
  /** Of all that is in force; equal on LBs that send every packet to the same real. Null before the first state. */
  readonly digest: string | null;
  readonly reconciles: { readonly applied: number; readonly failures: number; readonly lastError: string | null };
  /** Of the checking thread; lateness is the worst of the last minute, inconclusive ones say nothing about a real. */
  readonly checks: { readonly runs: number; readonly maxLatenessMs: number; readonly inconclusive: number };
  readonly vips: readonly VipState[];
  readonly pools: readonly PoolState[];
  /** Packets by what became of them. */
  readonly reasons: Readonly<Record<string, number>>;
  /** What happened to packets on their way. */
  readonly events: Readonly<Record<string, number>>;
  readonly rejected: Snapshot['rejected'];
}

/** Of packets that were sent to a real, or passed to one that is this host. */
export interface TrafficState {
  readonly packets: number;
  readonly bytes: number;
  readonly newFlows: number;
  /** Found in the flow cache. */
  readonly hits: number;
  /** Of TCP, not SYN, that the flow cache did not know. */
  readonly misses: number;
}

export interface VipState extends TrafficState {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly pool: string;
}

export interface PoolState {
  readonly name: string;
  /** Digest of the ring over addresses; equal on LBs that agree. */
  readonly digest: string;
  /** True when so few reals are up that health is ignored. */
  readonly floor: boolean;
  readonly reals: readonly RealState[];
}

export interface RealState extends TrafficState {
  readonly id: string;
  readonly address: string;
  readonly weight: number;
  readonly state: string;
  readonly health: string;
  readonly reason: string;
  /** Wall-clock milliseconds of the last transition. */
  readonly since: number;
  /** Slots of the ring that are its own, of 65,537. */
  readonly slots: number;
}

/** The parts that the state is read from. */
export interface StateSources {
  readonly status: ReconcilerStatus;
  readonly store: MapStore;
  readonly rings: RingBuilder;
  readonly observations: ReadonlyMap<RealKey, RealObservation>;
}

/** What only the agent itself knows. */
export type AgentFacts = Pick<
  AgentState,
  | 'lb'
  | 'interface'
  | 'egress'
  | 'gateway'
  | 'attached'
  | 'ready'
  | 'announced'
  | 'digest'
  | 'problems'
  | 'source'
  | 'rejected'
  | 'checks'
>;

const NO_TRAFFIC: TrafficState = { packets: 0, bytes: 0, newFlows: 0, hits: 0, misses: 0 };

function traffic(store: MapStore, of: Counted, number: number | undefined): TrafficState {
  if (number === undefined) return NO_TRAFFIC;
  const { packets, bytes, newFlows, hits, misses } = readTraffic(store, of, number);
  return {
    packets: Number(packets),
    bytes: Number(bytes),
    newFlows: Number(newFlows),
    hits: Number(hits),
    misses: Number(misses),
  };
}

function vipStates({ status, store }: StateSources): VipState[] {
  const known = status.observed?.directory?.vips;
  return [...(status.snapshot?.vips.values() ?? [])].map((vip) => {
    const { name, address, port, protocol, pool } = vip;
    return {
      name,
      address,
      port,
      protocol,
      pool,
      ...traffic(store, 'vip', known?.get(vipId(vip))?.number),
    };
  });
}

function poolStates({ status, store, rings, observations }: StateSources): PoolState[] {
  const { snapshot, target, observed } = status;
  if (snapshot === null || target === null || observed === null) return [];
  const numbers = new Map<string, number>();
  for (const [number, real] of observed.reals) numbers.set(`${real.pool}|${real.address}`, number);
  return [...snapshot.pools.values()].map((pool) => {
    const wanted = target.pools.get(pool.name);
    const members = wanted?.ring ?? [];
    const ring = rings.ring(target.seed, members);
    const poolNumber = observed.pools.get(pool.name);
    const reals = pool.reals.map(({ id, address, weight, state }) => {
      const observation = observations.get(realKey(pool.name, address));
      return {
        id,
        address,
        weight,
        state,
        health: observation?.observation ?? 'unknown',
        reason: observation?.reason ?? 'not checked: no VIP uses the pool',
        since: observation?.since ?? 0,
        slots: ring.slots[members.findIndex((member) => member.address === address)] ?? 0,
        ...traffic(store, 'real', numbers.get(`${poolNumber}|${address}`)),
      };
    });
    return { name: pool.name, digest: ring.digest, floor: wanted?.floor ?? false, reals };
  });
}

function asNumbers(counts: Readonly<Record<string, bigint>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, Number(count)]));
}

export function agentState(facts: AgentFacts, sources: StateSources): AgentState {
  const { snapshot, applied, failures, lastError } = sources.status;
  const { reasons, events } = readCounters(sources.store);
  return {
    ...facts,
    version,
    revision: snapshot?.revision ?? null,
    reconciles: { applied, failures, lastError },
    vips: vipStates(sources),
    pools: poolStates(sources),
    reasons: asNumbers(reasons),
    events: asNumbers(events),
  };
}
