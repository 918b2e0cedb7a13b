import type { CheckTarget, ResolvedCheck } from '../../src/core/check-targets.ts';

export function tcpCheck(changes: Partial<ResolvedCheck> = {}): ResolvedCheck {
  return {
    type: 'tcp',
    port: 80,
    intervalMs: 2_000,
    timeoutMs: 1_000,
    fastIntervalMs: 500,
    downIntervalMs: 2_000,
    rise: 2,
    fall: 3,
    ...changes,
  };
}

export function checkTarget(address: string, changes: Partial<ResolvedCheck> = {}, pool = 'web'): CheckTarget {
  return { pool, address, checks: [tcpCheck(changes)] };
}
