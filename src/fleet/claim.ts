import { setTimeout as sleep } from 'node:timers/promises';
import { PilotfishError } from '../core/errors.ts';
import type { Lease } from './leased-keys.ts';

const RETRY_MS = 500;

export interface Claim {
  /** The name of this LB. */
  readonly lb: string;
  /** The key whose holder owns the name. */
  readonly key: string;
  /** Asked before each try, as the value may change meanwhile. */
  readonly value: () => string;
  /** Random; part of the value and of nobody else’s. */
  readonly instance: string;
  /** In this time a process that died has certainly lost its lease. */
  readonly waitMs: number;
  /** Called once, when the name is taken at first; `reason` is for people, `holder` is the value of who has it. */
  readonly onTaken: (reason: string, holder: string) => void;
}

/**
 * Takes the name for this process, if need be after an earlier process of the same name has expired: that one may be
 * this very agent before its restart.
 *
 * @returns the value under which the name is held now
 * @throws PilotfishError `PF_LB_NAME` when the holder turns out to be alive, whatever the store throws, and the
 * signal’s reason when it aborts
 */
export async function claimName(lease: Lease, claim: Claim, signal: AbortSignal): Promise<string> {
  const deadline = performance.now() + claim.waitMs;
  for (let told = false; ; told = true) {
    const value = claim.value();
    const holder = await lease.claim(claim.key, value, (held) => held.includes(claim.instance));
    if (holder === null) {
      return value;
    }
    const reason = `the name ${claim.lb} is held by ${describe(holder)}`;
    if (performance.now() >= deadline) {
      throw new PilotfishError('PF_LB_NAME', `${reason}, which is alive (key ${claim.key})`, {
        fix: 'Give each LB a name of its own in its agent.yaml, or stop the other one.',
      });
    }
    if (!told) {
      claim.onTaken(reason, holder);
    }
    await sleep(RETRY_MS, undefined, { signal });
  }
}

/** The key may hold anything, also what somebody wrote by hand. */
function describe(value: string): string {
  try {
    const { host, since, instance } = JSON.parse(value) as Readonly<Record<string, unknown>>;
    return `another LB (host ${host}, instance ${instance}, since ${since})`;
  } catch {
    return `somebody else (${value.slice(0, 100)})`;
  }
}
