import type { Vip } from './model.ts';

/** Do packets for this VIP carry ids of reals? */
export function readsIds({ quic, tcpServerId, udpStableRouting }: Omit<Vip, 'name'>): boolean {
  return quic !== 'off' || tcpServerId || udpStableRouting;
}

/**
 * How many entries the table of ids needs: an id counts once for each pool whose VIPs find it. One that no VIP finds counts
 * as well, so that a VIP of its pool that comes to look for ids adds none.
 */
export class ServerIdCount {
  #entries = 0;
  /** By pool. */
  readonly #ids = new Map<string, number>();
  /** By the pool of VIPs that look for ids: where they find them. */
  readonly #scopes = new Map<string, Set<string>>();
  /** By pool: how many of those it is in. */
  readonly #finders = new Map<string, number>();

  /** The count that there would be with so many more ids of the pool’s reals. */
  withIds(pool: string, ids: number): number {
    return this.#entries + ids * Math.max(1, this.#finders.get(pool) ?? 0);
  }

  addIds(pool: string, ids: number): void {
    this.#entries = this.withIds(pool, ids);
    this.#ids.set(pool, (this.#ids.get(pool) ?? 0) + ids);
  }

  /** The count that there would be with this VIP. */
  withVip(vip: Omit<Vip, 'name'>): number {
    let entries = this.#entries;
    for (const pool of this.#newlyFound(vip)) if (this.#finders.has(pool)) entries += this.#ids.get(pool) ?? 0;
    return entries;
  }

  addVip(vip: Omit<Vip, 'name'>): void {
    this.#entries = this.withVip(vip);
    const found = this.#newlyFound(vip);
    this.#scopes.set(vip.pool, (this.#scopes.get(vip.pool) ?? new Set()).union(found));
    for (const pool of found) this.#finders.set(pool, (this.#finders.get(pool) ?? 0) + 1);
  }

  /** Pools that VIPs of this VIP’s pool did not find ids of until now. */
  #newlyFound(vip: Omit<Vip, 'name'>): Set<string> {
    if (!readsIds(vip)) return new Set();
    const pools = new Set([vip.pool, ...vip.clients.map(({ pool }) => pool)]);
    return pools.difference(this.#scopes.get(vip.pool) ?? new Set());
  }
}
