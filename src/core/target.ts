import type { RealEncap, SettingsImage, TunnelEnd, VipId } from './data-plane.ts';
import { vipId } from './data-plane.ts';
import { effectiveReals } from './effective.ts';
import { flowKeys } from './flow-hash.ts';
import type { Lingering } from './linger.ts';
import type { Address, Pool, Real, RealKey, Settings, Snapshot, Vip } from './model.ts';
import { realKey } from './model.ts';
import type { Surroundings } from './real-encap.ts';
import { realEncap } from './real-encap.ts';
import type { NamedServerIds } from './server-ids.ts';
import { serverIdsOf } from './server-ids.ts';
import type { Verdicts } from './verdicts.ts';

/** A real that takes a share of the ring. */
export interface RingMember {
  readonly address: Address;
  /** 1 to 1000. */
  readonly weight: number;
}

/** A real that keeps the flows it has. */
export interface TargetReal {
  readonly address: Address;
  readonly encap: RealEncap;
  /** True when its key is gone: it has nothing but the flows, and the ids, that it had before. */
  readonly lingers: boolean;
}

export interface TargetPool {
  readonly name: string;
  /** Members of the ring, sorted by address bytes; empty when the pool takes no new flows. */
  readonly ring: readonly RingMember[];
  /** Reals that keep the flows they have: the ring’s members, and those that merely take no new ones. */
  readonly reals: readonly TargetReal[];
  /** True when so little weight is up that health is ignored (`minHealthy`). */
  readonly floor: boolean;
}

/** What shall be in force: the desired state with health, drains and removals settled. */
export interface Target {
  readonly seed: string;
  readonly settings: SettingsImage;
  readonly vips: ReadonlyMap<VipId, Vip>;
  /** Tunnels that end at this host, sorted by address text. */
  readonly tunnels: readonly TunnelEnd[];
  /** Of this host and its gateway, sorted by text. */
  readonly own: readonly Address[];
  /** Those of the snapshot. */
  readonly pools: ReadonlyMap<string, TargetPool>;
  /** Pools that are gone and have lingering reals. Apart, since LBs that joined at other times have others. */
  readonly leaving: readonly TargetPool[];
  /** Of reals that keep their flows. */
  readonly serverIds: NamedServerIds;
}

/** What is this host’s own. */
export interface HostImage extends Pick<SettingsImage, 'mtu' | 'gatewayMac' | 'ownMac'>, Surroundings {
  /** Sorted by address text. */
  readonly tunnels: readonly TunnelEnd[];
  /**
   * Addresses of the interfaces in use, and the gateway’s. A VIP’s prefix takes none of them: this host would lose its
   * connections to routers, store and people.
   */
  readonly own: ReadonlySet<Address>;
}

/**
 * Does this real keep the flows it has? Maintenance and a down real under `onDown: rehash` do not; all others do,
 * also those that take no new ones.
 */
function keepsFlows(pool: Pool, real: Real, verdicts: Verdicts, floor: boolean): boolean {
  if (real.state === 'maintenance') return false;
  const down = verdicts.get(realKey(pool.name, real.address)) === 'down';
  return !(down && pool.onDown === 'rehash' && !floor);
}

function targetPool(pool: Pool, host: HostImage, verdicts: Verdicts, lingering: readonly TargetReal[]): TargetPool {
  const effective = effectiveReals(pool, verdicts);
  const kept = pool.reals
    .filter((real) => keepsFlows(pool, real, verdicts, effective.floor))
    .map(({ address }): TargetReal => ({ address, encap: realEncap(address, pool, host), lingers: false }));
  return { name: pool.name, ring: effective.reals, reals: [...kept, ...lingering], floor: effective.floor };
}

function settingsImage({ seed, outerSource }: Settings, { mtu, gatewayMac, ownMac }: HostImage): SettingsImage {
  const words = Array.from(flowKeys(seed), (word) => word.toString(16).padStart(16, '0'));
  return { hashKeys: words.join(','), outerV4: outerSource.v4, outerV6: outerSource.v6, mtu, gatewayMac, ownMac };
}

/**
 * Pure: the same snapshot, verdicts and lingering reals always give the same target.
 * @param lingering where two of them had the same id, it goes on naming the first one
 */
export function buildTarget(snapshot: Snapshot, host: HostImage, verdicts: Verdicts, lingering: Lingering): Target {
  const lingeringOf = new Map<string, TargetReal[]>();
  for (const { pool, address, encap } of lingering.values()) {
    const real = { address, encap: realEncap(address, encap, host), lingers: true };
    const others = lingeringOf.get(pool);
    if (others === undefined) lingeringOf.set(pool, [real]);
    else others.push(real);
  }
  const pools = new Map<string, TargetPool>();
  for (const pool of snapshot.pools.values())
    pools.set(pool.name, targetPool(pool, host, verdicts, lingeringOf.get(pool.name) ?? []));
  const leaving: TargetPool[] = [];
  for (const [name, reals] of lingeringOf) if (!pools.has(name)) leaving.push({ name, ring: [], reals, floor: false });
  const vips = new Map<VipId, Vip>();
  for (const vip of snapshot.vips.values()) vips.set(vipId(vip), vip);
  const keeping = new Set<RealKey>();
  for (const { name, reals } of pools.values()) for (const { address } of reals) keeping.add(realKey(name, address));
  return {
    seed: snapshot.settings.seed,
    settings: settingsImage(snapshot.settings, host),
    vips,
    tunnels: host.tunnels,
    own: [...host.own].sort(),
    pools,
    leaving,
    serverIds: serverIdsOf(snapshot, lingering, (key) => keeping.has(key)),
  };
}
