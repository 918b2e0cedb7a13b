import { decode, indexKey, type StructValue } from './codec.ts';
import { enums, structs } from './layout.gen.ts';
import type { MapName, MapStore } from './map-store.ts';

/** Names as metrics, trace and the reference write them, in the order of their numbers. */
function namesOf(members: Readonly<Record<string, number>>, count: number, prefix: string): readonly string[] {
  return Object.keys(members)
    .slice(0, count)
    .map((name) => name.slice(prefix.length).toLowerCase());
}

/** Why packets are passed, dropped or sent: `not_vip`, `forwarded`. */
export const reasonNames = namesOf(enums.pf_reason, enums.pf_reason.PF_REASON_COUNT, 'PF_');

/** What may happen to packets on their way: `unknown_id`. */
export const eventNames = namesOf(enums.pf_event, enums.pf_event.PF_EVENT_COUNT, 'PF_EVENT_');

/** Of packets that were sent to a real, or passed to one that is this host. */
export interface Traffic {
  readonly packets: bigint;
  /** Of IP packets as they came in. */
  readonly bytes: bigint;
  /** SYNs, and packets of UDP flows that the flow cache did not know. */
  readonly newFlows: bigint;
  /** Found in the flow cache. */
  readonly hits: bigint;
  /** Of TCP, not SYN, that the flow cache did not know. */
  readonly misses: bigint;
}

/** Since the program was loaded, over all CPUs. */
export interface Counters {
  /** Packets by reason. */
  readonly reasons: Record<string, bigint>;
  /** How often what happened. */
  readonly events: Record<string, bigint>;
}

export function readCounters(store: Pick<MapStore, 'get'>): Counters {
  const { size, fields } = structs.pf_cpu_state;
  const value = store.get('cpu_state', indexKey(0)) ?? new Uint8Array();
  const sum = ({ offset, count }: { readonly offset: number; readonly count: number }, names: readonly string[]) => {
    const sums = new BigUint64Array(count);
    for (let at = 0; at + size <= value.length; at += size) {
      const own = new BigUint64Array(value.buffer, value.byteOffset + at + offset, count);
      for (const [index, n] of own.entries()) sums[index]! += n;
    }
    return Object.fromEntries(names.map((name, index) => [name, sums[index]!]));
  };
  return { reasons: sum(fields.reasons, reasonNames), events: sum(fields.events, eventNames) };
}

export function readReasons(store: Pick<MapStore, 'get'>): Record<string, bigint> {
  return readCounters(store).reasons;
}

export function readEvents(store: Pick<MapStore, 'get'>): Record<string, bigint> {
  return readCounters(store).events;
}

/** What has counters of its own. */
export type Counted = 'vip' | 'real';

/** The maps that have those counters, and the struct of each one’s values. */
export const trafficMaps = {
  vip: { hits: 'vip_hits', others: 'vip_traffic' },
  real: { hits: 'real_hits', others: 'real_traffic' },
} as const satisfies Record<Counted, Record<'hits' | 'others', MapName>>;

/** The values of all CPUs. */
function eachCpu<T extends 'pf_hits' | 'pf_traffic'>(
  store: Pick<MapStore, 'get'>,
  map: MapName,
  struct: T,
  number: number,
): StructValue<T>[] {
  const { size } = structs[struct];
  const value = store.get(map, indexKey(number)) ?? new Uint8Array();
  return Array.from({ length: value.length / size }, (_, cpu) => decode(struct, value.subarray(cpu * size)));
}

/** Traffic of a VIP or a real by its number, over all CPUs. */
export function readTraffic(store: Pick<MapStore, 'get'>, of: Counted, number: number): Traffic {
  const sum = { packets: 0n, bytes: 0n, newFlows: 0n, hits: 0n, misses: 0n };
  for (const { bytes, packets } of eachCpu(store, trafficMaps[of].hits, 'pf_hits', number)) {
    sum.packets += packets;
    sum.bytes += bytes;
    sum.hits += packets;
  }
  for (const { bytes, unused, new_flows, misses } of eachCpu(store, trafficMaps[of].others, 'pf_traffic', number)) {
    sum.packets += unused + new_flows + misses;
    sum.bytes += bytes;
    sum.newFlows += new_flows;
    sum.misses += misses;
  }
  return sum;
}

/** Sets it to 0. */
export function resetTraffic(store: Pick<MapStore, 'put' | 'cpus'>, of: Counted, number: number): void {
  for (const [map, struct] of [
    [trafficMaps[of].hits, structs.pf_hits],
    [trafficMaps[of].others, structs.pf_traffic],
  ] as const)
    store.put(map, indexKey(number), new Uint8Array(struct.size * store.cpus));
}
