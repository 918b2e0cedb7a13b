import type { Limits, Observed, SettingsImage, VipId } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import type { Vip } from '../../src/core/model.ts';
import type { Target, TargetPool } from '../../src/core/target.ts';

/** What tests of the planner share: small states, and what they mean. */

export const settings: SettingsImage = {
  hashKeys: Array.from({ length: 8 }, (_, i) => (2 * i + 1).toString(16).padStart(16, '0')).join(','),
  outerV4: '172.16.0.0/16',
  outerV6: '100::/64',
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
};

/** Maps that nobody has written to. */
export function emptyMaps(limits: Partial<Limits> = {}): Observed {
  return {
    settings: null,
    addresses: new Map(),
    vips: new Map(),
    reals: new Map(),
    freed: new Map(),
    rings: new Map(),
    pools: new Map(),
    limits: { vips: 32, pools: 16, reals: 64, ...limits },
  };
}

/** @param kept reals that take no new flows and keep theirs */
export function targetPool(name: string, ring: readonly string[], kept: readonly string[] = []): TargetPool {
  return { name, ring: ring.map((address) => ({ address, weight: 1 })), reals: [...ring, ...kept], floor: false };
}

/** @param vips pool by VIP */
export function targetOf(
  pools: readonly TargetPool[],
  vips: Readonly<Record<VipId, string>> = {},
  leaving: readonly TargetPool[] = [],
): Target {
  return {
    seed: '00',
    settings,
    vips: new Map((Object.entries(vips) as [VipId, string][]).map(([id, pool]) => [id, vipOf(id, pool)])),
    pools: new Map(pools.map((pool) => [pool.name, pool])),
    leaving,
  };
}

export function vipOf(id: VipId, pool: string): Vip {
  return { name: id, ...splitVipId(id), pool };
}

export interface Member {
  readonly address: string;
  readonly weight: number;
  readonly number: number;
}

/** The members of a ring, as its signature has them. */
export function membersOf(signature: string): Member[] {
  return [...signature.matchAll(/([^:,]*)\*(\d+)=(\d+)/g)].map(([, address = '', weight, number]) => ({
    address,
    weight: Number(weight),
    number: Number(number),
  }));
}

/** The signature of a ring with these members that this agent did not make. */
export function foreignSignature(members: readonly Member[]): string {
  return `not ours;${members.map(({ number }) => `?*0=${number}`).join(',')}`;
}

/**
 * What packets could meet that they must not: a VIP whose address is not served or whose pool has no ring, or a slot
 * of its ring that leads to no real, or to one of another pool.
 */
export function unsound({ addresses, vips, rings, reals }: Observed): Set<string> {
  const found = new Set<string>();
  for (const [id, vip] of vips) {
    const { address, protocol } = splitVipId(id);
    if (!addresses.get(address)?.has(protocol)) found.add(`${id}: the address is not served`);
    const signature = rings.get(vip.pool);
    if (signature === undefined) found.add(`${id}: no ring`);
    for (const { number } of membersOf(signature ?? '')) {
      const pool = reals.get(number)?.pool;
      if (pool === undefined) found.add(`${id}: no real ${number}`);
      else if (pool !== vip.pool) found.add(`${id}: real ${number} is of another pool`);
    }
  }
  return found;
}

/** What is in force, without this host’s own numbers. */
export function meaningOf(observed: Observed) {
  const names = new Map([...observed.pools].map(([name, number]) => [number, name]));
  const nameOf = (pool: number): string => names.get(pool) ?? `pool number ${pool}`;
  const byText = <T>(entries: Iterable<readonly [string, T]>): (readonly [string, T])[] =>
    [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  const ring = (signature: string) => ({
    seed: signature.split(':', 1)[0],
    members: membersOf(signature).map(({ number, weight }) => `${observed.reals.get(number)?.address}*${weight}`),
  });
  return {
    settings: observed.settings,
    addresses: byText([...observed.addresses].map(([address, served]) => [address, [...served].sort()])),
    vips: byText([...observed.vips].map(([id, { pool }]) => [id, nameOf(pool)])),
    rings: byText([...observed.rings].map(([pool, signature]) => [nameOf(pool), ring(signature)])),
    pools: [...observed.pools.keys()].sort(),
    reals: [...observed.reals.values()].map(({ pool, address }) => `${nameOf(pool)}|${address}`).sort(),
  };
}
