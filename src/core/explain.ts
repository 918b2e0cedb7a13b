import { vipId } from './data-plane.ts';
import type { ExplainedReal, Health } from './explain-reals.ts';
import { explainReals } from './explain-reals.ts';
import { type Flow, flowHash, flowKeys, slotOf } from './flow-hash.ts';
import type { Address, Snapshot, Vip } from './model.ts';
import { flowText } from './packet-words.ts';
import type { RingBuilder } from './ring-builder.ts';
import type { Target } from './target.ts';

/** Why a flow goes to its real: what is in force, step by step as the program takes it. */

/** What the flow cache of one CPU has of the flow. */
export interface Remembered {
  readonly cpu: number;
  /** Null: the entry is void, its real is no longer there. */
  readonly real: { readonly address: Address; readonly pool: string } | null;
}

/** What becomes of a packet, in the words of trace and the counters. */
export interface Outcome {
  /** `forwarded`, or why not. */
  readonly reason: string;
  /** Also when the packet is dropped later. */
  readonly real: Address | null;
  /** Of the real; an entry of the flow cache may be older than the VIP’s pool. */
  readonly pool: string | null;
  readonly path: 'cache' | 'ring' | null;
}

export interface Explanation {
  readonly flow: string;
  readonly vip: {
    readonly name: string;
    readonly address: Address;
    /** 0: every port. */
    readonly port: number;
    readonly protocol: string;
    readonly match: 'exact port' | 'every port';
  } | null;
  /** When no VIP matches: the one of that address that comes closest. */
  readonly nearest: { readonly name: string; readonly port: number; readonly protocol: string } | null;
  /** From here on null, or empty, when no VIP matches. */
  readonly pool: string | null;
  /** True when so little weight is up that health is ignored. */
  readonly floor: boolean;
  /** 64 bits as 16 hex digits. */
  readonly hash: string | null;
  readonly slot: number | null;
  /** Whose the slot is; null when the ring is empty. */
  readonly owner: Address | null;
  readonly reals: readonly ExplainedReal[];
  /** Null without an agent. */
  readonly cache: readonly Remembered[] | null;
  /** Of the flow’s next packet that opens no connection, by the CPU it arrives on; `cpu` null: on every other one. */
  readonly nextPacket: readonly (Outcome & { readonly cpu: number | null })[];
  /** Of a TCP SYN, and of a UDP packet that no flow cache knows. */
  readonly newConnection: Outcome;
}

export interface ExplainSources {
  readonly snapshot: Snapshot;
  /** What is in force. */
  readonly target: Target;
  readonly rings: RingBuilder;
  readonly health: Health;
  /** What this host’s flow cache has of a hash; null where there is none. */
  readonly remembered: ((hash: bigint) => readonly Remembered[]) | null;
}

const NO_GATEWAY = '00:00:00:00:00:00';

function findVip(flow: Flow, { vips }: Target): { vip: Vip; match: 'exact port' | 'every port' } | null {
  const at = (port: number) => vips.get(vipId({ address: flow.destination, port, protocol: flow.protocol }));
  const exact = at(flow.destinationPort);
  if (exact !== undefined) return { vip: exact, match: exact.port === 0 ? 'every port' : 'exact port' };
  const every = at(0);
  return every === undefined ? null : { vip: every, match: 'every port' };
}

/** The VIP of the same address that differs least: in its port rather than in its protocol. */
function nearestVip(flow: Flow, { vips }: Target): Explanation['nearest'] {
  const distance = (vip: Vip): number =>
    (vip.protocol === flow.protocol ? 0 : 2 ** 16) + (vip.port === 0 ? 0 : Math.abs(vip.port - flow.destinationPort));
  const [best] = [...vips.values()]
    .filter(({ address }) => address === flow.destination)
    .sort((a, b) => distance(a) - distance(b));
  return best === undefined ? null : { name: best.name, port: best.port, protocol: best.protocol };
}

function passed(flow: Flow, { target, remembered }: ExplainSources): Explanation {
  const outcome = { reason: 'not_vip', real: null, pool: null, path: null } as const;
  return {
    flow: flowText(flow),
    vip: null,
    nearest: nearestVip(flow, target),
    pool: null,
    floor: false,
    hash: null,
    slot: null,
    owner: null,
    reals: [],
    cache: remembered === null ? null : [],
    nextPacket: [{ ...outcome, cpu: null }],
    newConnection: outcome,
  };
}

/** Pure: the same sources always explain a flow alike. */
export function explainFlow(flow: Flow, sources: ExplainSources): Explanation {
  const { snapshot, target, rings, health } = sources;
  const found = findVip(flow, target);
  const pool = snapshot.pools.get(found?.vip.pool ?? '');
  const inForce = target.pools.get(found?.vip.pool ?? '');
  if (found === null || pool === undefined || inForce === undefined) return passed(flow, sources);

  const hash = flowHash(flowKeys(target.seed), flow);
  const slot = slotOf(hash);
  const { indexes } = rings.ring(target.seed, inForce.ring);
  const owner = indexes === null ? null : (inForce.ring[indexes[slot]!]?.address ?? null);
  const cache = sources.remembered?.(hash) ?? null;

  const sent = (real: Remembered['real'], path: Outcome['path']): Outcome => {
    if (real === null) return { reason: 'no_real', real: null, pool: null, path: null };
    const reason = target.settings.gatewayMac === NO_GATEWAY ? 'no_gateway' : 'forwarded';
    return { reason, real: real.address, pool: real.pool, path };
  };
  const newConnection = sent(owner === null ? null : { address: owner, pool: pool.name }, 'ring');
  const byCache = (cache ?? []).flatMap(({ cpu, real }) => (real === null ? [] : [{ ...sent(real, 'cache'), cpu }]));
  const { vip, match } = found;
  return {
    flow: flowText(flow),
    vip: { name: vip.name, address: vip.address, port: vip.port, protocol: vip.protocol, match },
    nearest: null,
    pool: pool.name,
    floor: inForce.floor,
    hash: hash.toString(16).padStart(16, '0'),
    slot,
    owner,
    reals: explainReals(pool, inForce, target, rings, health),
    cache,
    nextPacket: [...byCache, { ...newConnection, cpu: null }],
    newConnection,
  };
}
