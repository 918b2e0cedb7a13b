/**
 * The wait before another try, in milliseconds: doubles from `firstMs` with each failed attempt (counted from 0) up to
 * `maxMs`, of which the upper half is random, so that a fleet does not come back in step.
 *
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, firstMs: number, maxMs: number, random: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
  return full * (0.5 + random / 2);
}
