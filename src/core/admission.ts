import type { Item, ItemOf } from './candidate.ts';
import { listed, nearest } from './hints.ts';
import { type Problem, shown } from './mistake.ts';
import type { Address, Real } from './model.ts';

/** How many of each one LB takes. */
export interface StateLimits {
  readonly vips: number;
  readonly pools: number;
  readonly reals: number;
}

export const defaultLimits: StateLimits = { vips: 4_096, pools: 1_024, reals: 16_384 };

/** What one pool has so far. */
interface PoolTally {
  /** A check takes the VIP’s port, so all VIPs have to have the same one. */
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
  readonly #vipByAddress = new Map<Address, string>();
  readonly #realByAddress = new Map<Address, string>();
  readonly #poolHints = new Map<string, string>();
  #poolCount = 0;
  #realCount = 0;

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

  #admitVip({ name, value: { address, port, protocol, pool } }: ItemOf<'vip'>): Problem | null {
    const endpoint = `${address} port ${port} ${protocol}`;
    const tally = this.#tally(pool);
    const found =
      this.#missingPool('pool', pool) ??
      this.#endpointClash(endpoint, address) ??
      this.#portClash(tally, pool, port) ??
      this.#full('vips', this.#vips.size + 1);
    if (found !== null) return found;
    this.#vips.set(endpoint, name);
    this.#vipByAddress.set(address, name);
    tally.vips.set(port, name);
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
      this.#full('reals', this.#realCount + reals.length);
    if (found !== null) return found;
    this.#realCount += reals.length;
    for (const [, { id, address }] of reals) {
      tally.ids.set(address, id);
      tally.reals.add(id);
      this.#realByAddress.set(address, `${pool}/${id}`);
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

  #full(kind: keyof StateLimits, count: number): Problem | null {
    const limit = this.#limits[kind];
    if (count <= limit) return null;
    return problem('', count, `exceeds the ${limit} ${kind} that one LB takes`, `remove ${kind} that are not used`);
  }

  #missingPool(field: string, pool: string): Problem | null {
    if (this.#pools.has(pool)) return null;
    if (this.#refusedPools.has(pool))
      return problem(field, pool, `pool "${pool}" is refused itself`, `mend pool "${pool}" first`);
    return problem(field, pool, `pool "${pool}" does not exist`, this.#poolHint(pool));
  }

  /** Remembered, because one pool that is gone may be missed by thousands. */
  #poolHint(pool: string): string {
    const near = this.#poolHints.get(pool) ?? nearest(pool, [...this.#pools, ...this.#refusedPools]) ?? '';
    this.#poolHints.set(pool, near);
    return near === '' ? `add pool "${pool}", or name one that exists` : `did you mean "${near}"?`;
  }

  #endpointClash(endpoint: string, address: Address): Problem | null {
    const vip = this.#vips.get(endpoint);
    if (vip !== undefined) {
      const fix = 'change address, port or protocol of one of the two';
      return problem('address', address, `${endpoint} is VIP "${vip}" already`, fix);
    }
    const real = this.#realByAddress.get(address);
    if (real === undefined) return null;
    return problem('address', address, `is the address of real ${real}`, 'use an address that no real has');
  }

  #portClash(tally: PoolTally, pool: string, port: number): Problem | null {
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

  #realClash(tally: PoolTally, place: string, { id, address }: Real): Problem | null {
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
    const vip = this.#vipByAddress.get(address);
    if (vip === undefined) return null;
    return problem(field, address, `is the address of VIP "${vip}"`, 'write the real’s own address');
  }
}

function firstOf<T>(items: readonly T[], check: (item: T) => Problem | null): Problem | null {
  for (const item of items) {
    const found = check(item);
    if (found !== null) return found;
  }
  return null;
}
