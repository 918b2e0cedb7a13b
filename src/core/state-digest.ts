import { createHash } from 'node:crypto';
import { vipId } from './data-plane.ts';
import type { Snapshot } from './model.ts';
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

/** The only way of hashing that this version has; a VIP’s line names it, so that other ways will differ from it. */
const HASH_MODE = '5-tuple';

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}

/**
 * The digests of what is in force. SHA-256 in lower-case hex; docs/reference/digest.md defines the bytes. Equal on LBs
 * that have the same seed, outer sources, VIPs, pools and rings, whatever numbers they give them and however they came
 * there. Health is in it by what it does to the rings.
 * @param target what was made of `snapshot`
 */
export function digestState(snapshot: Snapshot, target: Target, rings: RingBuilder): Digests {
  const { outerSource } = snapshot.settings;
  const lines = ['pilotfish state v1', `seed ${target.seed}`, `outer ${outerSource.v4} ${outerSource.v6}`];
  const pools: Record<string, string> = {};
  // Only pools of the state: what lingers of others is the memory of one LB.
  for (const { name, encap } of [...snapshot.pools.values()].sort((a, b) => byText(a.name, b.name))) {
    const { digest } = rings.ring(target.seed, target.pools.get(name)?.ring ?? []);
    pools[name] = digest;
    lines.push(`pool ${name} ${encap} ${digest}`);
  }
  for (const vip of [...target.vips.values()].sort((a, b) => byText(vipId(a), vipId(b))))
    lines.push(`vip ${vip.address} ${vip.port} ${vip.protocol} ${HASH_MODE} ${vip.pool}`);
  const state = createHash('sha256')
    .update(`${lines.join('\n')}\n`)
    .digest('hex');
  return { state, pools };
}
