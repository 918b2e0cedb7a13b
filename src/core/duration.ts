import { Mistake } from './mistake.ts';

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** A duration as people write it, in the largest unit that divides it: 90000 is `90s`, 500 is `500ms`. */
export function formatDuration(ms: number): string {
  const unit = (['h', 'm', 's'] as const).find((u) => ms >= units[u] && ms % units[u] === 0) ?? 'ms';
  return `${ms / units[unit]}${unit}`;
}

/**
 * Reads `500ms`, `2s`, `1.5s`, `5m` or `1h` as milliseconds. A bare number is refused: nobody can tell its unit.
 * @param min milliseconds, inclusive; as is `max`
 */
export function readDuration(value: unknown, min: number, max: number): number | Mistake {
  const range = `from ${formatDuration(min)} to ${formatDuration(max)}`;
  if (typeof value === 'number')
    return new Mistake('must be a duration with its unit', `write "${value}ms" or "${value}s", whichever is meant`);
  const match = typeof value === 'string' ? /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(value) : null;
  if (match === null)
    return new Mistake('must be a duration', `write a duration ${range}, such as "500ms", "2s" or "5m"`);
  const ms = Number(match[1]) * units[match[2] as keyof typeof units];
  if (!Number.isInteger(ms))
    return new Mistake('must be a whole number of milliseconds', `write "${Math.round(ms)}ms"`);
  if (ms < min || ms > max) return new Mistake(`must be a duration ${range}`, `choose a value ${range}`);
  return ms;
}
