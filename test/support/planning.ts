import type { Limits, Observed, RealEncap, SettingsImage, VipId } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import type { RealKey, Vip } from '../../src/core/model.ts';
import type { Target, TargetPool } from '../../src/core/target.ts';
import { vip } from './model.ts';

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
    directory: null,
    directorySound: false,
    serverIds: null,
    reals: new Map(),
    freed: new Map(),
    rings: new Map(),
    pools: new Map(),
    limits: { vips: 32, pools: 16, reals: 64, serverIds: 512, ...limits },
  };
}

const ipip: RealEncap = { kind: 'ipip' };

/** @param kept reals that take no new flows and keep theirs */
export function targetPool(
  name: string,
  ring: readonly string[],
  kept: readonly string[] = [],
  encap: RealEncap = ipip,
): TargetPool {
  return {
    name,
    ring: ring.map((address) => ({ address, weight: 1 })),
    reals: [...ring, ...kept].map((address) => ({ address, encap, lingers: false })),
    floor: false,
  };
}

/** A pool whose key is gone, and most of whose reals linger. */
export function leavingPool(name: string, addresses: readonly string[]): TargetPool {
  const pool = targetPool(name, [], addresses);
  return { ...pool, reals: pool.reals.map((real) => ({ ...real, lingers: true })) };
}

/** @param vips pool by VIP, or more about it */
export function targetOf(
  pools: readonly TargetPool[],
  vips: Readonly<Record<VipId, string | Partial<Vip>>> = {},
  rest: Partial<Pick<Target, 'leaving' | 'tunnels' | 'own'>> & {
    readonly ids?: Record<string, Record<number, RealKey>>;
  } = {},
): Target {
  const ids = Object.entries(rest.ids ?? {}).map(
    ([pool, of]) => [pool, new Map(Object.entries(of).map(([id, key]) => [Number(id), key]))] as const,
  );
  return {
    seed: '00',
    settings,
    vips: new Map((Object.entries(vips) as [VipId, string][]).map(([id, what]) => [id, vipOf(id, what)])),
    tunnels: rest.tunnels ?? [],
    own: rest.own ?? [],
    pools: new Map(pools.map((pool) => [pool.name, pool])),
    leaving: rest.leaving ?? [],
    serverIds: new Map(ids),
  };
}

/** @param what its pool, or more about it */
export function vipOf(id: VipId, what: string | Partial<Vip>): Vip {
  return vip(id, { ...splitVipId(id), ...(typeof what === 'string' ? { pool: what } : what) });
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

/** Numbers of the pools that packets for a VIP can be sent to by a ring. */
function poolsReached({ directory }: Observed): Map<string, number> {
  const reached = new Map<string, number>();
  for (const [id, { pool, clients }] of directory?.vips ?? []) {
    reached.set(id, pool);
    for (const client of clients) reached.set(`${id} from ${client.prefix}`, client.pool);
  }
  return reached;
}

/**
 * What packets could meet in these maps that they must not: a VIP whose pool, or the pool of some of its clients, has no
 * ring, a slot of such a ring that leads to no real or to one of another pool, or an id that names none.
 */
export function unsound(observed: Observed): Set<string> {
  const { rings, reals, serverIds } = observed;
  const found = new Set<string>();
  for (const [from, reached] of poolsReached(observed)) {
    const signature = rings.get(reached);
    if (signature === undefined) found.add(`${from}: no ring`);
    for (const { number } of membersOf(signature ?? '')) {
      const pool = reals.get(number)?.pool;
      if (pool === undefined) found.add(`${from}: no real ${number}`);
      else if (pool !== reached) found.add(`${from}: real ${number} is of another pool`);
    }
  }
  for (const [key, number] of serverIds ?? []) if (!reals.has(number)) found.add(`id ${key}: no real ${number}`);
  return found;
}

function byText<T>(entries: Iterable<readonly [string, T]>): (readonly [string, T])[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** What is in force, without this host’s own numbers. */
export function meaningOf({ settings, directory, serverIds, reals, rings, pools }: Observed) {
  const names = new Map([...pools].map(([name, number]) => [number, name]));
  const nameOf = (pool: number): string => names.get(pool) ?? `pool number ${pool}`;
  const realOf = (number: number): string => {
    const real = reals.get(number);
    return real === undefined ? `real number ${number}` : `${nameOf(real.pool)}|${real.address}`;
  };
  const ring = (signature: string) => ({
    seed: signature.split(':', 1)[0],
    members: membersOf(signature).map(({ number, weight }) => `${reals.get(number)?.address}*${weight}`),
  });
  const idOf = (key: string): string => `${nameOf(Number(key.split('|')[0]))}|${key.split('|')[1]}`;
  return {
    settings,
    tunnels: directory?.tunnels ?? null,
    own: directory?.own ?? null,
    vips: byText(
      [...(directory?.vips ?? [])].map(([id, { number, pool, clients, ...rest }]) => [
        id,
        { ...rest, pool: nameOf(pool), clients: clients.map((c) => `${c.prefix} ${nameOf(c.pool)}`) },
      ]),
    ),
    serverIds: byText([...(serverIds ?? [])].map(([key, number]) => [idOf(key), realOf(number)])),
    rings: byText([...rings].map(([pool, signature]) => [nameOf(pool), ring(signature)])),
    pools: [...pools.keys()].sort(),
    reals: byText([...reals].map(([number, { encap }]) => [realOf(number), encap])),
  };
}
