import { BlockList } from 'node:net';
import { parsePrefix } from '../../src/core/address.ts';
import type { Observed, VipRecord } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import type { Protocol } from '../../src/core/model.ts';

/** A client’s flow in a scenario. */
export interface Flow {
  readonly vip: { readonly address: string; readonly port: number; readonly protocol: Protocol };
  /** That its hash falls on. */
  readonly slot: number;
  readonly source: string;
  /** That its packets carry, or null. */
  readonly id: number | null;
  /** As the flow cache has it. */
  remembered: { readonly number: number; readonly generation: number } | null;
}

/** How many leading bits of the address the range fixes, or -1 when it is not in it. */
function bitsInCommon(address: string, range: string): number {
  if (!range.includes('/')) return address === range ? 32 : -1;
  const { address: network, length } = parsePrefix(range);
  const list = new BlockList();
  list.addSubnet(network, length, 'ipv4');
  return list.check(address) ? length : -1;
}

/** The VIP that takes a packet: by longest prefix, then by exact port. */
function vipOf({ address, port, protocol }: Flow['vip'], { directory }: Observed): VipRecord | undefined {
  if (directory?.own.includes(address)) return undefined;
  const matching = [...(directory?.vips ?? [])].flatMap(([id, record]) => {
    const vip = splitVipId(id);
    const bits = bitsInCommon(address, vip.address);
    const matches = bits >= 0 && vip.protocol === protocol && (vip.port === port || vip.port === 0);
    return matches ? [{ record, rank: 2 * bits + (vip.port === port ? 1 : 0) }] : [];
  });
  return matching.sort((a, b) => b.rank - a.rank)[0]?.record;
}

/** What the program does with the flow’s next packet, which is no SYN, and what it remembers then. */
export function nextPacket(flow: Flow, observed: Observed, slots: (pool: number) => Uint16Array | null): string {
  const vip = vipOf(flow.vip, observed);
  if (vip === undefined) return 'not for a VIP';
  const { reals, serverIds } = observed;
  const readsIds = vip.quic !== 'off' || vip.tcpServerId || vip.udpStableRouting;
  const byId = readsIds && flow.id !== null ? serverIds?.get(`${vip.pool}|${flow.id}`) : undefined;
  if (byId !== undefined) return `${reals.get(byId)?.address}, by id`;
  const known = reals.get(flow.remembered?.number ?? 0);
  if (known !== undefined && known.generation === flow.remembered?.generation) return `${known.address}, remembered`;
  const [client] = vip.clients
    .map(({ prefix, pool }) => ({ pool, bits: bitsInCommon(flow.source, prefix) }))
    .filter(({ bits }) => bits >= 0)
    .sort((a, b) => b.bits - a.bits);
  const number = slots(client?.pool ?? vip.pool)?.[flow.slot] ?? 0;
  const real = reals.get(number);
  flow.remembered = real === undefined ? null : { number, generation: real.generation };
  if (real === undefined) return 'dropped, no real';
  return `${real.address}, by the ${client === undefined ? 'ring' : 'client’s prefix'}`;
}
