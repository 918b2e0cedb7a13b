import type { RealEncap } from './data-plane.ts';
import type { ExplainedId } from './explain-ids.ts';
import { explainIds } from './explain-ids.ts';
import type { ExplainedReal, Health } from './explain-reals.ts';
import { explainReals } from './explain-reals.ts';
import type { Sending } from './explain-sending.ts';
import { explainSending, sendingReason } from './explain-sending.ts';
import type { MatchedVip, NearestVip } from './explain-vip.ts';
import { matchClient, matchVip, nearestVip } from './explain-vip.ts';
import { cacheMode, type FlowMode, flowHash, flowKeys, slotMode, slotOf } from './flow-hash.ts';
import type { Address, Pool, Snapshot, Vip } from './model.ts';
import { ownInPrefixes } from './own-addresses.ts';
import type { Inquiry } from './packet-words.ts';
import type { RingBuilder } from './ring-builder.ts';
import type { Target, TargetPool } from './target.ts';

/** Why a flow goes to its real: what is in force, step by step as the program takes it (docs/reference/packets.md). */

interface FoundReal {
  readonly address: Address;
  readonly pool: string;
}

/** What the flow cache of one CPU has of the flow. */
export interface Remembered {
  readonly cpu: number;
  /** Null: the entry is void. */
  readonly real: FoundReal | null;
}

/** What becomes of a packet, in the words of trace and the counters. */
export interface Outcome {
  /** `forwarded`, or why not. */
  readonly reason: string;
  /** Also when the packet is dropped later. */
  readonly real: Address | null;
  /** Of the real; an entry of the flow cache may be older than the VIP’s pool. */
  readonly pool: string | null;
  readonly path: 'cache' | 'ring' | 'prefix' | ExplainedId['path'] | null;
  /** Null when there is no real to send to. */
  readonly sending: Sending | null;
}

export interface Explanation {
  /** And the words that were given with it. */
  readonly flow: string;
  readonly vip: {
    readonly name: string;
    /** Or its prefix. */
    readonly address: Address;
    /** 0: every port. */
    readonly port: number;
    readonly protocol: string;
    readonly match: MatchedVip['match'];
  } | null;
  /** When no VIP matches: the one that serves the address and comes closest. */
  readonly nearest: NearestVip | null;
  /** What each rule of the VIP finds in the packet; the first real that one names is the packet’s. A SYN carries none. */
  readonly ids: readonly ExplainedId[];
  /** Prefix of the VIP’s `clients` that the source is in. */
  readonly client: { readonly prefix: string; readonly pool: string } | null;
  /** Whose ring is asked. From here on null, or empty, when no VIP matches. */
  readonly pool: string | null;
  /** True when so little weight is up that health is ignored. */
  readonly floor: boolean;
  /** What of the flow chooses the slot; `pair`: the two addresses. */
  readonly mode: FlowMode | null;
  /** In that mode: 64 bits as 16 hex digits. */
  readonly hash: string | null;
  readonly slot: number | null;
  /** Whose the slot is; null when the ring is empty. */
  readonly owner: Address | null;
  readonly reals: readonly ExplainedReal[];
  /** What the flow cache knows the flow by. Null: the VIP has `flowCache: false`. */
  readonly cacheMode: FlowMode | null;
  /** Null without an agent, and with `flowCache: false`. */
  readonly cache: readonly Remembered[] | null;
  /** Of the flow’s next packet that opens no connection, by the CPU it arrives on; `cpu` null: on every other one. */
  readonly nextPacket: readonly (Outcome & { readonly cpu: number | null })[];
  /** Of a TCP SYN, and of other packets that no flow cache knows. With `fragments: hash` a SYN is like any other packet. */
  readonly newConnection: Outcome;
}

export interface ExplainSources {
  readonly snapshot: Snapshot;
  /** What is in force. */
  readonly target: Target;
  /** False: MTU and MAC addresses of the target are not those of any link. */
  readonly linkKnown: boolean;
  readonly rings: RingBuilder;
  readonly health: Health;
  /** What this host’s flow cache has of a hash, for a VIP; null where there is none. */
  readonly remembered: ((hash: bigint, vip: Vip) => readonly Remembered[]) | null;
}

/** What is the same for every packet of the flow once its VIP is found. */
interface Found {
  readonly match: MatchedVip;
  readonly client: Explanation['client'];
  readonly pool: Pool;
  readonly inForce: TargetPool;
}

function nowhere(reason: string): Outcome {
  return { reason, real: null, pool: null, path: null, sending: null };
}

function passedOrDropped(
  reason: 'not_vip' | 'fragment',
  { packet, text }: Inquiry,
  { target, remembered }: ExplainSources,
): Explanation {
  const outcome = nowhere(reason);
  return {
    flow: text,
    vip: null,
    nearest: nearestVip(packet.flow, target.vips.values()),
    ids: [],
    client: null,
    pool: null,
    floor: false,
    mode: null,
    hash: null,
    slot: null,
    owner: null,
    reals: [],
    cacheMode: null,
    cache: remembered === null ? null : [],
    nextPacket: [{ ...outcome, cpu: null }],
    newConnection: outcome,
  };
}

function find({ packet }: Inquiry, { snapshot, target }: ExplainSources): Found | 'not_vip' | 'fragment' {
  const { destination } = packet.flow;
  const isOwn = target.own.includes(destination) && ownInPrefixes(target.vips.values(), [destination]).size > 0;
  const match = isOwn ? 'not_vip' : matchVip(packet, target.vips.values());
  if (typeof match === 'string') return match;
  const client = matchClient(packet.flow, match.vip);
  const name = client?.pool ?? match.vip.pool;
  const pool = snapshot.pools.get(name);
  const inForce = target.pools.get(name);
  // Every pool that a VIP names is in its snapshot, and every pool of the snapshot in the target.
  return pool === undefined || inForce === undefined ? 'not_vip' : { match, client, pool, inForce };
}

function encapOf({ pools, leaving }: Target, { address, pool }: FoundReal): RealEncap | null {
  const inForce = pools.get(pool) ?? leaving.find(({ name }) => name === pool);
  return inForce?.reals.find((real) => real.address === address)?.encap ?? null;
}

/** What becomes of a packet for this real. */
function outcomeOf(
  real: FoundReal,
  path: Outcome['path'],
  hash: bigint,
  { target, linkKnown }: ExplainSources,
): Outcome {
  const encap = encapOf(target, real);
  const sending = encap === null ? null : explainSending(real.address, encap, hash, target.settings, linkKnown);
  // The maps are ahead of the target for a moment when a real is taken out.
  const reason = sending === null ? 'forwarded' : sendingReason(sending);
  return { reason, real: real.address, pool: real.pool, path, sending };
}

/** Pure: the same sources always explain a flow alike. */
export function explainFlow(inquiry: Inquiry, sources: ExplainSources): Explanation {
  const { packet, text } = inquiry;
  const found = find(inquiry, sources);
  if (typeof found === 'string') return passedOrDropped(found, inquiry, sources);
  const { match, client, pool, inForce } = found;
  const { vip } = match;
  const { target, rings } = sources;

  const keys = flowKeys(target.seed);
  const mode = slotMode(vip);
  const slotHash = flowHash(keys, packet.flow, mode);
  const hash = flowHash(keys, packet.flow, cacheMode(vip));
  const slot = slotOf(slotHash);
  const { indexes } = rings.ring(target.seed, inForce.ring);
  const owner = indexes === null ? null : (inForce.ring[indexes[slot]!]?.address ?? null);

  const to = (real: FoundReal, path: Outcome['path']): Outcome => outcomeOf(real, path, hash, sources);
  const byRing =
    owner === null ? nowhere('no_real') : to({ address: owner, pool: pool.name }, client === null ? 'ring' : 'prefix');
  const ids = explainIds(packet, vip, target);
  const named = ids.flatMap(({ real, path }) => (real === null ? [] : [to(real, path)]))[0];
  const cache = vip.flowCache ? (sources.remembered?.(hash, vip) ?? null) : null;
  const byCache = (cache ?? []).flatMap(({ cpu, real }) => (real === null ? [] : [{ ...to(real, 'cache'), cpu }]));
  return {
    flow: text,
    vip: { name: vip.name, address: vip.address, port: vip.port, protocol: vip.protocol, match: match.match },
    nearest: null,
    ids,
    client,
    pool: pool.name,
    floor: inForce.floor,
    mode,
    hash: slotHash.toString(16).padStart(16, '0'),
    slot,
    owner,
    reals: explainReals(pool, inForce, target, rings, sources.health),
    cacheMode: vip.flowCache ? cacheMode(vip) : null,
    cache,
    nextPacket: named === undefined ? [...byCache, { ...byRing, cpu: null }] : [{ ...named, cpu: null }],
    newConnection: packet.flow.protocol === 'udp' ? (named ?? byRing) : byRing,
  };
}
