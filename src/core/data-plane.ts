import type { Address, Protocol, Vip } from './model.ts';

/**
 * The language between the planner and whatever carries its plans out: what is in the maps, and what can be done to
 * them. Numbers are this host’s own: indexes into the maps, never published.
 */

/** Slots of a ring; a prime, as Maglev (Eisenbud et al., NSDI 2016, section 3.4) asks for. */
export const RING_SLOTS = 65_537;

/** `address|port|protocol`: what a packet is matched by, so no two VIPs share it. The address may be a prefix. */
export type VipId = `${Address}|${number}|${Protocol}`;

export function vipId(vip: Pick<Vip, 'address' | 'port' | 'protocol'>): VipId {
  return `${vip.address}|${vip.port}|${vip.protocol}`;
}

/** The parts of a VIP’s identity. */
export function splitVipId(id: VipId): { address: Address; port: number; protocol: Protocol } {
  const [address, port, protocol] = id.split('|') as [Address, string, Protocol];
  return { address, port: Number(port), protocol };
}

/** The program’s settings in comparable form. */
export interface SettingsImage {
  /** Eight 64-bit words as 16 hex digits each, joined by commas. */
  readonly hashKeys: string;
  /** Prefix of outer IPv4 sources, such as `172.16.0.0/16`. */
  readonly outerV4: string;
  /** The same for IPv6; its length is 64 to 128. */
  readonly outerV6: string;
  /** Largest IP packet, outer header included, in bytes. */
  readonly mtu: number;
  /** `02:00:00:00:00:01`; all zero: not known, packets for VIPs are dropped and counted. */
  readonly gatewayMac: string;
  readonly ownMac: string;
}

/** How packets get to a real. */
export type RealEncap =
  | { readonly kind: 'ipip' }
  | { readonly kind: 'gue'; readonly port: number; readonly checksum: boolean }
  /** `mac` all zero: not known, packets for the real are dropped and counted. */
  | { readonly kind: 'l2'; readonly mac: string }
  /** The real is this host. */
  | { readonly kind: 'local' };

export interface RealRecord {
  readonly address: Address;
  /** Number of its pool. */
  readonly pool: number;
  /** 0 to 127; flows remembered under another one are void. */
  readonly generation: number;
  readonly encap: RealEncap;
}

/** A VIP as the program needs it: names are numbers, and the name itself is not there. */
export interface VipRecord extends Omit<Vip, 'name' | 'address' | 'port' | 'protocol' | 'pool' | 'clients'> {
  readonly number: number;
  /** Number of its pool. */
  readonly pool: number;
  /** Sorted by prefix text; pools by number. */
  readonly clients: readonly { readonly prefix: string; readonly pool: number }[];
}

/** A tunnel that ends at this host: what comes in it is opened and treated again. */
export interface TunnelEnd {
  /** Where IPIP (protocols 4 and 41) and GUE packets are addressed to. */
  readonly address: Address;
  /** UDP port of GUE. */
  readonly guePort: number;
}

/** Everything that a destination is looked up in; it changes as a whole. */
export interface Directory {
  readonly vips: ReadonlyMap<VipId, VipRecord>;
  /** Sorted by address text. */
  readonly tunnels: readonly TunnelEnd[];
  /** Of this host or its gateway, in prefixes of VIPs and no VIP’s by themselves: packets for them are passed. Sorted. */
  readonly own: readonly Address[];
}

/** `<pool number>|<id>`: an id as the VIPs of one pool understand it. */
export type ServerIdKey = `${number}|${number}`;

/** Numbers of reals by what names them in packets. */
export type ServerIds = ReadonlyMap<ServerIdKey, number>;

/** A ring as it is to be built: members sorted by address bytes, each with the number that its slots get. */
export interface RingSpec {
  readonly seed: string;
  readonly members: readonly { readonly address: Address; readonly weight: number; readonly number: number }[];
}

/** Equal texts mean equal rings, slot by slot. */
export function ringSignature(spec: RingSpec): string {
  return `${spec.seed}:${spec.members.map((m) => `${m.address}*${m.weight}=${m.number}`).join(',')}`;
}

/** What the maps hold now. */
export interface Observed {
  readonly settings: SettingsImage | null;
  /** Null when it is not one that this agent put into place. */
  readonly directory: Directory | null;
  /** False when something of it is not as this agent put it there, or a change of it was broken off: it has to be put there again. */
  readonly directorySound: boolean;
  /** Null when it is not one that this agent made, or was changed since. */
  readonly serverIds: ServerIds | null;
  /** By number; never 0. */
  readonly reals: ReadonlyMap<number, RealRecord>;
  /** Numbers that were given up, with the generation their next user gets. A number in neither map starts at 0. */
  readonly freed: ReadonlyMap<number, number>;
  /** By pool number: the signature of its ring, or an unequal text when the ring is not one that this agent made. */
  readonly rings: ReadonlyMap<number, string>;
  /** Which pool has which number. */
  readonly pools: ReadonlyMap<string, number>;
  readonly limits: Limits;
}

/** How many numbers there are: valid ones are 0 to limit - 1 (reals: 1 to limit - 1). */
export interface Limits {
  readonly vips: number;
  readonly pools: number;
  readonly reals: number;
  /** Entries that the table of server ids surely holds. */
  readonly serverIds: number;
}

export interface RingChange {
  readonly pool: number;
  readonly spec: RingSpec;
}

export type MapOp =
  | { readonly op: 'settings'; readonly settings: SettingsImage }
  /** Claims a number for a pool, before anything under that number exists. */
  | { readonly op: 'name-pool'; readonly pool: number; readonly name: string }
  /** `fresh`: the number had no real before: its counters start at 0. Else the same real changes how it is reached. */
  | { readonly op: 'put-real'; readonly number: number; readonly real: RealRecord; readonly fresh: boolean }
  /** In one batch: a packet sees each ring whole, old or new, and after it all are new. */
  | { readonly op: 'swap-rings'; readonly rings: readonly RingChange[] }
  /** The whole table at once: a packet sees the old one or the new one. */
  | { readonly op: 'swap-server-ids'; readonly serverIds: ServerIds }
  /** The whole directory at once. `fresh`: numbers that had no VIP before, or another one: their counters start at 0. */
  | { readonly op: 'swap-directory'; readonly directory: Directory; readonly fresh: readonly number[] }
  /** Removes the rings and gives up the numbers of these pools. */
  | { readonly op: 'remove-pools'; readonly pools: readonly number[] }
  /** Gives the number up; every flow that remembers it is void from here on. */
  | { readonly op: 'void-real'; readonly number: number; readonly generation: number };

/** Whatever carries plans out. */
export interface DataPlane {
  /** Reads the maps anew. */
  observe(): Observed;
  /** @throws PilotfishError PF_MAP or PF_MAP_FULL; what was done before stays done. */
  apply(op: MapOp): Promise<void>;
}
