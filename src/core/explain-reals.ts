import type { RealObservation } from './health-state.ts';
import type { Address, Pool, Real, RealKey } from './model.ts';
import { realKey } from './model.ts';
import type { RingBuilder } from './ring-builder.ts';
import type { Target, TargetPool } from './target.ts';

/** Why each real of a pool takes new flows or does not. */

/** What this LB has concluded about the reals; null: nobody checks, all of them are taken as up. */
export type Health = ReadonlyMap<RealKey, Pick<RealObservation, 'observation' | 'reason' | 'since'>> | null;

export interface ExplainedReal {
  /** Null for a real that is no longer in the desired state and keeps its flows for a while. */
  readonly id: string | null;
  readonly address: Address;
  /** Null like `id`. */
  readonly weight: number | null;
  /** `active`, `drain`, `maintenance` or `removed`. */
  readonly state: string;
  /** `up`, `down` or `unknown`. */
  readonly health: string;
  /** When the health began to hold, in wall-clock milliseconds; null when nobody has judged it. */
  readonly since: number | null;
  /** Of the 65,537 of the ring. */
  readonly slots: number;
  readonly takesNewFlows: boolean;
  /** Why it takes new flows, or why not. */
  readonly why: string;
}

interface Judged {
  readonly health: string;
  readonly reason: string;
  readonly since: number | null;
}

function judge(pool: string, address: Address, health: Health): Judged {
  if (health === null) return { health: 'up', reason: 'nobody checks without an agent', since: null };
  const known = health.get(realKey(pool, address));
  if (known === undefined) return { health: 'unknown', reason: 'not checked: no VIP uses the pool', since: null };
  return { health: known.observation, reason: known.reason, since: known.since };
}

function since({ health, since: at }: Judged): string {
  return at === null ? health : `${health} since ${new Date(at).toISOString()}`;
}

/** The maps follow a change of health within milliseconds; somebody may ask in between. */
const ABOUT_TO_CHANGE = 'the ring is about to follow';

function whyItTakes(pool: Pool, { floor }: TargetPool, judged: Judged): string {
  if (judged.health === 'up') return `${since(judged)}: ${judged.reason}`;
  if (floor && judged.health === 'down')
    return `${since(judged)} (${judged.reason}), but less than ${100 * pool.minHealthy} % of the weight is up (minHealthy), so health is ignored`;
  return `${since(judged)}: ${judged.reason}; ${ABOUT_TO_CHANGE}`;
}

function whyItDoesNot(pool: Pool, { state, weight }: Real, judged: Judged): string {
  if (state === 'drain') return 'drained by people: keeps the flows it has';
  if (state === 'maintenance') return 'in maintenance by the word of people: takes no flows at all';
  if (weight === 0) return 'weight 0: keeps the flows it has';
  if (judged.health === 'unknown') return `health not known yet: ${judged.reason}`;
  const flows = pool.onDown === 'keep' ? 'its flows stay (onDown: keep)' : 'its flows are void (onDown: rehash)';
  if (judged.health === 'down') return `${since(judged)}: ${judged.reason}; ${flows}`;
  return `${since(judged)}: ${judged.reason}; ${ABOUT_TO_CHANGE}`;
}

/**
 * The reals of a pool in the order of the desired state, and behind them those that were removed and keep their flows.
 *
 * @param inForce what the target has of the pool
 */
export function explainReals(
  pool: Pool,
  inForce: TargetPool,
  { seed }: Pick<Target, 'seed'>,
  rings: RingBuilder,
  health: Health,
): ExplainedReal[] {
  const { slots } = rings.ring(seed, inForce.ring);
  const shares = new Map(inForce.ring.map(({ address }, i) => [address, slots[i] ?? 0]));
  const own = pool.reals.map((real): ExplainedReal => {
    const { id, address, weight, state } = real;
    const judged = judge(pool.name, address, health);
    const takesNewFlows = shares.has(address);
    const why = takesNewFlows ? whyItTakes(pool, inForce, judged) : whyItDoesNot(pool, real, judged);
    const { health: is, since: at } = judged;
    return {
      id,
      address,
      weight,
      state,
      health: is,
      since: at,
      slots: shares.get(address) ?? 0,
      takesNewFlows,
      why,
    };
  });
  const known = new Set(pool.reals.map(({ address }) => address));
  const removed = inForce.reals
    .filter(({ address }) => !known.has(address))
    .map(({ address }): ExplainedReal => {
      const why = 'removed from the pool: keeps the flows it has until removeAfter is over';
      const fixed = { id: null, weight: null, state: 'removed', health: 'unknown', since: null } as const;
      return { ...fixed, address, slots: 0, takesNewFlows: false, why };
    });
  return [...own, ...removed];
}
