import type { SettingsImage, VipId } from './data-plane.ts';
import { vipId } from './data-plane.ts';
import { effectiveReals } from './effective.ts';
import { flowKeys } from './flow-hash.ts';
import type { Lingering } from './linger.ts';
import type { Address, Observation, Pool, Real, RealKey, Settings, Snapshot, Vip } from './model.ts';
import { realKey } from './model.ts';

/** A real that takes a share of the ring. */
export interface RingMember {
  readonly address: Address;
  /** 1 to 1000. */
  readonly weight: number;
}

export interface TargetPool {
  readonly name: string;
  /** Members of the ring, sorted by address bytes; empty when the pool takes no new flows. */
  readonly ring: readonly RingMember[];
  /** Reals that keep the flows they have: the ring’s members, and those that merely take no new ones. */
  readonly reals: readonly Address[];
  /** True when so little weight is up that health is ignored (`minHealthy`). */
  readonly floor: boolean;
}

/** What shall be in force: the desired state with health, drains and removals settled. */
export interface Target {
  readonly seed: string;
  readonly settings: SettingsImage;
  readonly vips: ReadonlyMap<VipId, Vip>;
  /** Those of the snapshot. */
  readonly pools: ReadonlyMap<string, TargetPool>;
  /** Pools that are gone and have lingering reals. Apart, since LBs that joined at other times have others. */
  readonly leaving: readonly TargetPool[];
}

export type Verdicts = ReadonlyMap<RealKey, Observation>;

/**
 * Does this real keep the flows it has? Maintenance and a down real under `onDown: rehash` do not; all others do,
 * also those that take no new ones.
 */
function keepsFlows(pool: Pool, real: Real, verdicts: Verdicts, floor: boolean): boolean {
  if (real.state === 'maintenance') return false;
  const down = verdicts.get(realKey(pool.name, real.address)) === 'down';
  return !(down && pool.onDown === 'rehash' && !floor);
}

function targetPool(pool: Pool, verdicts: Verdicts, lingering: readonly Address[]): TargetPool {
  const effective = effectiveReals(pool, verdicts);
  const kept = pool.reals.filter((real) => keepsFlows(pool, real, verdicts, effective.floor));
  return {
    name: pool.name,
    ring: effective.reals,
    reals: [...kept.map((real) => real.address), ...lingering],
    floor: effective.floor,
  };
}

/** What of the program’s settings is this host’s own. */
export type HostImage = Pick<SettingsImage, 'mtu' | 'gatewayMac' | 'ownMac'>;

function settingsImage(settings: Settings, host: HostImage): SettingsImage {
  const words = Array.from(flowKeys(settings.seed), (word) => word.toString(16).padStart(16, '0'));
  return { hashKeys: words.join(','), outerV4: settings.outerSource.v4, outerV6: settings.outerSource.v6, ...host };
}

/** Pure: the same snapshot, verdicts and lingering reals always give the same target. */
export function buildTarget(snapshot: Snapshot, host: HostImage, verdicts: Verdicts, lingering: Lingering): Target {
  const lingeringOf = new Map<string, Address[]>();
  for (const { pool, address } of lingering.values()) {
    const addresses = lingeringOf.get(pool);
    if (addresses === undefined) lingeringOf.set(pool, [address]);
    else addresses.push(address);
  }
  const pools = new Map<string, TargetPool>();
  for (const pool of snapshot.pools.values())
    pools.set(pool.name, targetPool(pool, verdicts, lingeringOf.get(pool.name) ?? []));
  const leaving: TargetPool[] = [];
  for (const [name, reals] of lingeringOf) if (!pools.has(name)) leaving.push({ name, ring: [], reals, floor: false });
  const vips = new Map<VipId, Vip>();
  for (const vip of snapshot.vips.values()) vips.set(vipId(vip), vip);
  return { seed: snapshot.settings.seed, settings: settingsImage(snapshot.settings, host), vips, pools, leaving };
}
