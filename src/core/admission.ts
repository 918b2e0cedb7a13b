import { type Item, type ItemOf, poolsNeededBy } from './candidate.ts';
import { DirectoryKeyCount, directoryKeyLimit, isLargestDirectory } from './directory-keys.ts';
import { listed, nearest } from './hints.ts';
import { type Problem, shown } from './mistake.ts';
import type { Address, Real, Vip } from './model.ts';
import { PrefixMap } from './prefix-map.ts';
import { ServerIdCount } from './server-id-count.ts';

/** How many of each one LB takes. */
export interface StateLimits {
  readonly vips: number;
  readonly pools: number;
  readonly reals: number;
  /** Client prefixes of all VIPs together. */
  readonly clients: number;
  /** Ids of all reals together, each counted once for every pool whose VIPs find it. */
  readonly serverIds: number;
}

export const defaultLimits: StateLimits = {
  vips: 4_096,
  pools: 1_024,
  reals: 16_384,
  clients: 100_000,
  serverIds: 32_768,
};

/** How messages call what is limited, and the field that it stands in. */
const limited: Readonly<Record<keyof StateLimits, readonly [field: string, what: string]>> = {
  vips: ['', 'vips'],
  pools: ['', 'pools'],
  reals: ['', 'reals'],
  clients: ['clients', 'client prefixes'],
  serverIds: ['serverIds', 'server ids'],
};

/** What one pool has so far. */
interface PoolTally {
  /** A check takes the VIP’s port, so all VIPs that lead here, be it for some clients, have to have the same one. */
  needsPort: boolean;
  /** VIP by port. */
  readonly vips: Map<number, string>;
  /** Real id by address. */
  readonly ids: Map<Address, string>;
  readonly reals: Set<string>;
}

function problem(field: string, value: unknown, message: string, fix: string): Problem {
  return { field, value: shown(value), message, fix };
}

function within(outer: string, field: string): string {
  return outer !== '' && field !== '' ? `${outer}.${field}` : `${outer}${field}`;
}

/** What a packet is matched by. */
function endpointOf({ address, port, protocol }: Omit<Vip, 'name'>): string {
  return `${address} port ${port} ${protocol}`;
}

/** What a fragment is matched by: it has no port. */
function serviceOf({ address, protocol }: Omit<Vip, 'name'>): string {
  return `${address} ${protocol}`;
}

/** Where a VIP names this pool for the first time, as it was written: its clients are sorted since. */
function placeOfPool({ raw, value }: ItemOf<'vip'>, pool: string): string {
  if (pool === value.pool) return 'pool';
  const { clients } = JSON.parse(raw) as Pick<Vip, 'clients'>;
  return `clients[${clients.findIndex((client) => client.pool === pool)}].pool`;
}

/**
 * Takes items one after the other and says what speaks against each, given those that were taken before. An item that
 * is not taken leaves no trace.
 */
export class Admission {
  readonly #limits: StateLimits;
  readonly #pools: ReadonlySet<string>;
  readonly #refusedPools: ReadonlySet<string>;
  readonly #tallies = new Map<string, PoolTally>();
  /** VIP by what a packet is matched by. */
  readonly #vips = new Map<string, string>();
  /** By address and protocol. */
  readonly #services = new Map<string, { readonly vip: string; readonly takesFragments: boolean }>();
  readonly #vipByAddress = new PrefixMap();
  readonly #realByAddress = new PrefixMap();
  readonly #realByServerId = new Map<number, string>();
  readonly #directoryKeys = new DirectoryKeyCount();
  readonly #serverIds = new ServerIdCount();
  readonly #poolHints = new Map<string, string>();
  #poolCount = 0;
  #realCount = 0;
  #clientCount = 0;

  /**
   * @param pools every pool that is taken or going to be: items come in the order of precedence, not of dependence
   * @param refusedPools pools whose key is there but cannot be used
   */
  constructor(limits: StateLimits, pools: ReadonlySet<string>, refusedPools: ReadonlySet<string>) {
    this.#limits = limits;
    this.#pools = pools;
    this.#refusedPools = refusedPools;
  }

  /** Takes the item and returns null, or returns why it cannot be taken. */
  admit(item: Item): Problem | null {
    switch (item.kind) {
      case 'vip':
        return this.#admitVip(item);
      case 'pool':
        return this.#admitPool(item);
      case 'real':
        return this.#missingPool('', item.pool) ?? this.#admitReals(item.pool, [['', { ...item.value, id: item.id }]]);
      default:
        return null;
    }
  }

  #admitVip(item: ItemOf<'vip'>): Problem | null {
    const { name, value: vip } = item;
    const { address, port, fragments, clients } = vip;
    const pools = poolsNeededBy(item);
    const found =
      this.#missingPoolOf(item, pools) ??
      this.#endpointClash(vip) ??
      this.#addressClash(address) ??
      firstOf(pools, (pool) => this.#portClash(pool, port)) ??
      this.#full('vips', this.#vips.size + 1) ??
      this.#full('clients', this.#clientCount + clients.length) ??
      this.#directoryFull(vip) ??
      this.#idsFull(vip);
    if (found !== null) return found;
    this.#vips.set(endpointOf(vip), name);
    this.#services.set(serviceOf(vip), { vip: name, takesFragments: fragments === 'hash' });
    this.#vipByAddress.set(address, name);
    for (const pool of pools) this.#tally(pool).vips.set(port, name);
    this.#clientCount += clients.length;
    this.#directoryKeys.add(vip);
    this.#serverIds.addVip(vip);
    return null;
  }

  #admitPool({ pool, value: { checks, reals } }: ItemOf<'pool'>): Problem | null {
    const tally = this.#tally(pool);
    const unported = checks.findIndex((check) => check.port === null);
    const found =
      (unported < 0 ? null : this.#unsettledPort(tally, `checks[${unported}].port`)) ??
      this.#full('pools', this.#poolCount + 1) ??
      this.#admitReals(
        pool,
        reals.map((real) => [`reals.${real.id}`, real]),
      );
    if (found !== null) return found;
    this.#poolCount++;
    tally.needsPort = unported >= 0;
    return null;
  }

  #admitReals(pool: string, reals: readonly (readonly [place: string, real: Real])[]): Problem | null {
    const tally = this.#tally(pool);
    const found =
      firstOf(reals, ([place, real]) => this.#realClash(tally, place, real)) ??
      this.#full('reals', this.#realCount + reals.length) ??
      this.#idsOfRealsFull(pool, reals);
    if (found !== null) return found;
    this.#realCount += reals.length;
    for (const [, { id, address, serverIds }] of reals) {
      tally.ids.set(address, id);
      tally.reals.add(id);
      this.#realByAddress.set(address, `${pool}/${id}`);
      for (const serverId of serverIds) this.#realByServerId.set(serverId, `${pool}/${id}`);
      this.#serverIds.addIds(pool, serverIds.length);
    }
    return null;
  }

  #tally(pool: string): PoolTally {
    let tally = this.#tallies.get(pool);
    if (tally === undefined) {
      tally = { needsPort: false, vips: new Map(), ids: new Map(), reals: new Set() };
      this.#tallies.set(pool, tally);
    }
    return tally;
  }

  #full(kind: keyof StateLimits, count: number, place = ''): Problem | null {
    const limit = this.#limits[kind];
    if (count <= limit) return null;
    const [field, what] = limited[kind];
    const message = `exceeds the ${limit} ${what} that one LB takes`;
    return problem(within(place, field), count, message, `remove ${what} that are not used`);
  }

  #directoryFull(vip: Omit<Vip, 'name'>): Problem | null {
    const keys = this.#directoryKeys.with(vip);
    const limit = directoryKeyLimit(this.#limits.vips);
    if (keys <= limit) return null;
    const why = 'an address also has every port of the prefixes that contain it';
    const fix = 'use fewer ports on prefixes, or have fewer VIPs inside of them';
    return problem(
      'address',
      vip.address,
      `takes the directory to ${keys} entries, and one LB has room for ${limit}: ${why}`,
      isLargestDirectory(this.#limits.vips) ? fix : `${fix}, or raise limits.vips in agent.yaml`,
    );
  }

  #idsFull(vip: Omit<Vip, 'name'>): Problem | null {
    const entries = this.#serverIds.withVip(vip);
    const { serverIds } = this.#limits;
    if (entries <= serverIds) return null;
    const why = 'an id counts once for every pool whose VIPs find it';
    const message = `takes the server ids to ${entries}, and one LB has room for ${serverIds}: ${why}`;
    return problem('pool', vip.pool, message, 'have fewer ids, or fewer pools in clients of VIPs that look for ids');
  }

  #idsOfRealsFull(pool: string, reals: readonly (readonly [place: string, real: Real])[]): Problem | null {
    let ids = 0;
    return firstOf(reals, ([place, { serverIds }]) => {
      ids += serverIds.length;
      return serverIds.length === 0 ? null : this.#full('serverIds', this.#serverIds.withIds(pool, ids), place);
    });
  }

  #missingPool(field: string, pool: string): Problem | null {
    if (this.#pools.has(pool)) return null;
    if (this.#refusedPools.has(pool))
      return problem(field, pool, `pool "${pool}" is refused itself`, `mend pool "${pool}" first`);
    return problem(field, pool, `pool "${pool}" does not exist`, this.#poolHint(pool));
  }

  #missingPoolOf(item: ItemOf<'vip'>, pools: readonly string[]): Problem | null {
    const missing = pools.find((pool) => !this.#pools.has(pool));
    return missing === undefined ? null : this.#missingPool(placeOfPool(item, missing), missing);
  }

  /** Remembered, because one pool that is gone may be missed by thousands. */
  #poolHint(pool: string): string {
    const near = this.#poolHints.get(pool) ?? nearest(pool, [...this.#pools, ...this.#refusedPools]) ?? '';
    this.#poolHints.set(pool, near);
    return near === '' ? `add pool "${pool}", or name one that exists` : `did you mean "${near}"?`;
  }

  #endpointClash(vip: Omit<Vip, 'name'>): Problem | null {
    const { address, fragments } = vip;
    const twin = this.#vips.get(endpointOf(vip));
    if (twin !== undefined) {
      const fix = 'change address, port or protocol of one of the two';
      return problem('address', address, `${endpointOf(vip)} is VIP "${twin}" already`, fix);
    }
    const other = this.#services.get(serviceOf(vip));
    if (other === undefined) return null;
    if (other.takesFragments) {
      const fix = `use another address, or remove fragments from VIP "${other.vip}"`;
      return problem('address', address, `has VIP "${other.vip}", whose fragments "hash" lets no other be there`, fix);
    }
    if (fragments === 'drop') return null;
    const message = `lets no other VIP be at ${serviceOf(vip)}, and VIP "${other.vip}" is there`;
    return problem('fragments', fragments, message, 'remove it, or use an address without another VIP');
  }

  #addressClash(address: Address): Problem | null {
    const real = this.#realByAddress.within(address);
    if (real === undefined) return null;
    return address.includes('/')
      ? problem('address', address, `contains the address of real ${real}`, 'use a prefix that no real is in')
      : problem('address', address, `is the address of real ${real}`, 'use an address that no real has');
  }

  #portClash(pool: string, port: number): Problem | null {
    const tally = this.#tally(pool);
    if (!tally.needsPort || (port !== 0 && (tally.vips.size === 0 || tally.vips.has(port)))) return null;
    const [other] = tally.vips.values();
    const why = port === 0 ? 'stands for every port' : `is not the port of VIP "${other}"`;
    const fix = `give the checks of pool "${pool}" a port`;
    return problem('port', port, `${why}, and pool "${pool}" is checked at the port of its VIPs`, fix);
  }

  #unsettledPort(tally: PoolTally, field: string): Problem | null {
    if (tally.vips.size < 2 && !tally.vips.has(0)) return null;
    const vips = listed([...tally.vips].map(([port, name]) => `"${name}" (${port})`));
    return problem(field, undefined, `cannot be the VIP’s port, since the VIPs are ${vips}`, 'write the port to check');
  }

  #realClash(tally: PoolTally, place: string, { id, address, serverIds }: Real): Problem | null {
    const field = within(place, 'address');
    const twin = tally.ids.get(address);
    if (tally.reals.has(id))
      return problem(
        place,
        id,
        'is a real of the pool already',
        'write each real either in its pool or as its own key',
      );
    if (twin !== undefined)
      return problem(field, address, `is the address of real "${twin}" of the same pool`, 'keep one of the two');
    const vip = this.#vipByAddress.containing(address);
    if (vip !== undefined) {
      const what = this.#vipByAddress.within(address) === undefined ? 'lies in the prefix' : 'is the address';
      return problem(field, address, `${what} of VIP "${vip}"`, 'write the real’s own address');
    }
    const known = serverIds.find((serverId) => this.#realByServerId.has(serverId));
    if (known === undefined) return null;
    const message = `${known} names real ${this.#realByServerId.get(known)} already`;
    return problem(within(place, 'serverIds'), known, message, 'give every real ids of its own');
  }
}

function firstOf<T>(items: readonly T[], check: (item: T) => Problem | null): Problem | null {
  for (const item of items) {
    const found = check(item);
    if (found !== null) return found;
  }
  return null;
}
