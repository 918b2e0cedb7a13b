import { isDeepStrictEqual } from 'node:util';
import type { Directory, MapOp, Observed, VipId, VipRecord } from './data-plane.ts';
import type { Vip } from './model.ts';
import { lookup, Numbers } from './numbers.ts';
import { ownInPrefixes } from './own-addresses.ts';
import type { Target } from './target.ts';

function recordOf(vip: Vip, number: number, poolNumber: ReadonlyMap<string, number>): VipRecord {
  const { name, address, port, protocol, pool, clients, ...rest } = vip;
  return {
    ...rest,
    number,
    pool: lookup(poolNumber, pool),
    clients: clients.map((client) => ({ prefix: client.prefix, pool: lookup(poolNumber, client.pool) })),
  };
}

/** The directory as a whole, if it differs. The number of a VIP that goes is not used again before it is gone. */
export function planDirectory(target: Target, observed: Observed, poolNumber: ReadonlyMap<string, number>): MapOp[] {
  const now = observed.directory?.vips ?? new Map<VipId, VipRecord>();
  const taken = new Set([...now.values()].map(({ number }) => number));
  const numbers = new Numbers('vips', observed.limits.vips, 0, taken);
  const vips = new Map<VipId, VipRecord>();
  const fresh: number[] = [];
  for (const [id, vip] of target.vips) {
    let number = now.get(id)?.number;
    if (number === undefined) {
      number = numbers.take(`VIP ${vip.name}`);
      fresh.push(number);
    }
    vips.set(id, recordOf(vip, number, poolNumber));
  }
  const own = [...ownInPrefixes(target.vips.values(), target.own).keys()];
  const directory: Directory = { vips, tunnels: target.tunnels, own };
  return observed.directorySound && isDeepStrictEqual(directory, observed.directory)
    ? []
    : [{ op: 'swap-directory', directory, fresh }];
}
