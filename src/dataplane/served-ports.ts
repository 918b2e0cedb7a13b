import { isDeepStrictEqual } from 'node:util';
import { type Directory, splitVipId, type VipId, type VipRecord } from '../core/data-plane.ts';
import type { Protocol } from '../core/model.ts';
import { rangeOf, VipPlaces } from './vip-places.ts';

type Vips = ReadonlyMap<VipId, VipRecord>;

/** What of a VIP says where its flows go. */
function sameWay(a: VipRecord, b: VipRecord): boolean {
  return (
    a.pool === b.pool &&
    a.hash === b.hash &&
    a.fragments === b.fragments &&
    a.flowCache === b.flowCache &&
    a.tcpServerId === b.tcpServerId &&
    sameClients(a.clients, b.clients)
  );
}

function sameClients(a: VipRecord['clients'], b: VipRecord['clients']): boolean {
  return a.length === b.length && a.every(({ prefix, pool }, i) => prefix === b[i]?.prefix && pool === b[i]?.pool);
}

/** Pools of VIPs that get what removed ones leave: at the same address, or in a prefix that it is in. */
function heirs(before: Vips, next: Vips): number[] {
  const removed = new Set([...before.keys()].filter((id) => !next.has(id)).map((id) => splitVipId(id).address));
  if (removed.size === 0) return [];
  const places = new VipPlaces<number>();
  for (const [id, { pool }] of next) places.add(splitVipId(id).address, pool);
  return [...removed].flatMap((address) => places.containing(rangeOf(address)).flat());
}

/**
 * Which destinations have had VIPs, so that it is known which pools get flows that the flow cache may have at the reals of other pools:
 * pools of VIPs that were changed, that take over what another VIP had, or that get what a removed one leaves.
 */
export class ServedPorts {
  #served = new VipPlaces<{ readonly port: number; readonly protocol: Protocol }>();
  readonly #ids = new Set<VipId>();
  /** Those that have had no VIP since the last call of `settle`. */
  #gone = new Set<VipId>();
  /** What packets may meet now. More than one: it is not known whether the last ones came into force. */
  #possible: readonly Vips[] = [new Map()];

  /** Pools with flows from elsewhere once the directory has these VIPs. To be called before it has. */
  takeOver({ vips }: Pick<Directory, 'vips'>): Set<number> {
    const pools = new Set<number>();
    for (const before of this.#possible) {
      for (const [id, record] of vips) {
        const earlier = before.get(id);
        if (earlier === undefined ? this.#wasServed(id) : !sameWay(earlier, record)) pools.add(record.pool);
      }
      for (const pool of heirs(before, vips)) pools.add(pool);
    }
    // What is tried again and again is kept once.
    this.#possible = [...this.#possible.filter((before) => !isDeepStrictEqual(before, vips)), vips];
    for (const id of vips.keys()) this.#serve(id);
    return pools;
  }

  /** The directory has the VIPs that took over last, and no others. */
  tookOver(): void {
    this.#possible = this.#possible.slice(-1);
  }

  /**
   * Forgets what has had no VIP since the last call: who comes back after so long may be taken for new, as in settling.ts. Or else what
   * is kept would grow with every VIP that ever was.
   */
  settle(): void {
    for (const id of this.#gone) this.#ids.delete(id);
    if (this.#gone.size > 0) {
      this.#served = new VipPlaces();
      for (const id of this.#ids) this.#place(id);
    }
    this.#gone = new Set([...this.#ids].filter((id) => !this.#possible.some((vips) => vips.has(id))));
  }

  /** May packets to a VIP have been another one’s? */
  #wasServed(id: VipId): boolean {
    const { address, port, protocol } = splitVipId(id);
    // Some of its addresses may have been served: nobody looks which.
    if (address.includes('/')) return this.#ids.size > 0;
    return this.#served
      .containing(rangeOf(address))
      .flat()
      .some((other) => other.protocol === protocol && (port === 0 || other.port === 0 || other.port === port));
  }

  #serve(id: VipId): void {
    this.#gone.delete(id);
    if (this.#ids.has(id)) return;
    this.#ids.add(id);
    this.#place(id);
  }

  #place(id: VipId): void {
    const { address, port, protocol } = splitVipId(id);
    this.#served.add(address, { port, protocol });
  }
}
