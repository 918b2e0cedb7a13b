import { createHash } from 'node:crypto';
import { vipId } from './data-plane.ts';
import type { Pool, RealKey, Snapshot, Vip } from './model.ts';
import { realKey } from './model.ts';
import type { RingBuilder } from './ring-builder.ts';
import type { Target } from './target.ts';

/** What LBs compare to know that they send every packet to the same real. */
export interface Digests {
  /** Over everything that decides; null before the first state is in force. */
  readonly state: string | null;
  /** By pool: of its ring. */
  readonly pools: Readonly<Record<string, string>>;
}

export const noDigests: Digests = { state: null, pools: {} };

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}

function encapText({ encap, guePort, gueChecksum }: Pool): string {
  return encap === 'gue' ? `gue ${guePort} ${gueChecksum}` : encap;
}

function vipLines(vip: Vip): string[] {
  const ids = `${vip.quic} ${vip.tcpServerId} ${vip.udpStableRouting}`;
  const line = `vip ${vip.address} ${vip.port} ${vip.protocol} ${vip.hash} ${vip.fragments} ${ids} ${vip.icmpEcho} ${vip.pool}`;
  return [line, ...vip.clients.map(({ prefix, pool }) => `clients ${prefix} ${pool}`)];
}

/** Which real each id names; ids of reals that are gone are left out, being the memory of one LB. */
function idLines({ serverIds }: Target, desired: ReadonlyMap<RealKey, string>): string[] {
  return [...serverIds]
    .sort(([a], [b]) => byText(a, b))
    .flatMap(([pool, ids]) =>
      [...ids]
        .filter(([, key]) => desired.has(key))
        .sort(([a], [b]) => a - b)
        .map(([id, key]) => `id ${pool} ${id} ${desired.get(key)}`),
    );
}

/**
 * The digests of what is in force. SHA-256 in lower-case hex; docs/reference/digest.md defines the bytes. Equal on LBs
 * that have the same seed, outer sources, VIPs, pools, rings and ids, whatever numbers they give them and however they
 * came there. Health is in it by what it does to the rings and ids.
 * @param target what was made of `snapshot`
 */
export function digestState(snapshot: Snapshot, target: Target, rings: RingBuilder): Digests {
  const { outerSource } = snapshot.settings;
  const lines = ['pilotfish state v1', `seed ${target.seed}`, `outer ${outerSource.v4} ${outerSource.v6}`];
  const pools: Record<string, string> = {};
  const desired = new Map<RealKey, string>();
  // Only pools of the state: what lingers of others is the memory of one LB.
  for (const pool of [...snapshot.pools.values()].sort((a, b) => byText(a.name, b.name))) {
    const { name, reals } = pool;
    const { digest } = rings.ring(target.seed, target.pools.get(name)?.ring ?? []);
    pools[name] = digest;
    lines.push(`pool ${name} ${digest} ${encapText(pool)}`);
    for (const { address } of reals) desired.set(realKey(name, address), `${name} ${address}`);
  }
  lines.push(...idLines(target, desired));
  for (const vip of [...target.vips.values()].sort((a, b) => byText(vipId(a), vipId(b)))) lines.push(...vipLines(vip));
  const state = createHash('sha256')
    .update(`${lines.join('\n')}\n`)
    .digest('hex');
  return { state, pools };
}
