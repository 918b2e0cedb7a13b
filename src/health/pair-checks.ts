import { isDeepStrictEqual } from 'node:util';
import type { ResolvedCheck } from '../core/check-targets.ts';

/** What a check is called in reasons. Without the query of a path, which may hold a secret. */
export function nameOf(check: ResolvedCheck): string {
  const path = check.type === 'tcp' ? '' : ` ${check.path.replace(/\?.*$/, '')}`;
  return `${check.type} port ${check.port}${path}`;
}

/**
 * For each of the new checks of a real the held one that goes on as it, if any: the one that is the same in everything,
 * or else the only one of its name, where that is the only new one of this name too. Of several that cannot be told
 * apart none goes on: what is known of one says nothing about another.
 */
export function pairChecks<E extends { readonly check: ResolvedCheck }>(
  held: readonly E[],
  checks: readonly ResolvedCheck[],
): (E | undefined)[] {
  const left = new Set(held);
  const pairs = checks.map((check) => {
    const same = left.values().find((entry) => isDeepStrictEqual(entry.check, check));
    if (same !== undefined) left.delete(same);
    return same;
  });
  const leftOf = Map.groupBy(left, (entry) => nameOf(entry.check));
  const newOf = Map.groupBy(
    checks.filter((_, n) => pairs[n] === undefined),
    nameOf,
  );
  for (const [n, check] of checks.entries()) {
    const [only, ...others] = leftOf.get(nameOf(check)) ?? [];
    if (others.length === 0 && newOf.get(nameOf(check))?.length === 1) pairs[n] ??= only;
  }
  return pairs;
}
