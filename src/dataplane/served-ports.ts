import { type Directory, splitVipId, type VipId, type VipRecord } from '../core/data-plane.ts';
import type { Address } from '../core/model.ts';

type Vips = ReadonlyMap<VipId, VipRecord>;

/** What of a VIP says where its flows go. */
function sameWay(a: VipRecord, b: VipRecord): boolean {
  return a.pool === b.pool && a.hash === b.hash && a.fragments === b.fragments && sameClients(a.clients, b.clients);
}

function sameClients(a: VipRecord['clients'], b: VipRecord['clients']): boolean {
  return a.length === b.length && a.every(({ prefix, pool }, i) => prefix === b[i]?.prefix && pool === b[i]?.pool);
}

const isPrefix = (address: Address): boolean => address.includes('/');

/**
 * Which destinations have had VIPs, so that it is known which pools get flows that the flow cache may have at the reals of other pools:
 * pools of VIPs that were changed, that take over what another VIP had, or that get what a removed one leaves.
 */
export class ServedPorts {
  /** By address and protocol. */
  readonly #ports = new Map<string, Set<number>>();
  #prefixes = false;
  #last: Vips = new Map();

  /** Pools with flows from elsewhere once the directory has these VIPs, which then count as served. */
  takeOver({ vips }: Pick<Directory, 'vips'>): Set<number> {
    const pools = new Set<number>();
    for (const [id, record] of vips) {
      const before = this.#last.get(id);
      if (before === undefined ? this.#wasServed(id) : !sameWay(before, record)) pools.add(record.pool);
    }
    const removed = [...this.#last.keys()].filter((id) => !vips.has(id)).map((id) => splitVipId(id).address);
    if (removed.length > 0) {
      const left = new Set(removed);
      for (const [id, { pool }] of vips) {
        const { address } = splitVipId(id);
        if (isPrefix(address) || left.has(address)) pools.add(pool);
      }
    }
    for (const id of vips.keys()) this.#serve(id);
    this.#last = vips;
    return pools;
  }

  /** May packets to a VIP have been another one’s? */
  #wasServed(id: VipId): boolean {
    const { address, port, protocol } = splitVipId(id);
    if (this.#prefixes) return true;
    if (isPrefix(address)) return this.#ports.size > 0;
    const ports = this.#ports.get(`${address}|${protocol}`);
    return ports !== undefined && (port === 0 || ports.has(0) || ports.has(port));
  }

  #serve(id: VipId): void {
    const { address, port, protocol } = splitVipId(id);
    if (isPrefix(address)) this.#prefixes = true;
    const key = `${address}|${protocol}`;
    this.#ports.set(key, (this.#ports.get(key) ?? new Set()).add(port));
  }
}
