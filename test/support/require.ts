import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export type Need = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** The path of `name` on the PATH, or null. */
export function findBinary(name: string): string | null {
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory; the next one may have it.
    }
  }
  return null;
}

/** Whether every one of these programs is on the PATH. */
export function need(...binaries: string[]): Need {
  const missing = binaries.filter((name) => findBinary(name) === null);
  return missing.length === 0 ? { ok: true } : { ok: false, reason: `not on the PATH: ${missing.join(', ')}` };
}

/**
 * For `describe.skipIf(skipUnless(['etcd'], needEtcd()))`: true, with the reason printed, when a need is not met.
 * PILOTFISH_REQUIRE=all, or a list with one of `what` in it, makes that a failure, so that no skip hides a regression
 * where everything should be there.
 */
export function skipUnless(what: readonly string[], needed: Need): boolean {
  if (needed.ok) {
    return false;
  }
  const required = (process.env.PILOTFISH_REQUIRE ?? '').split(',').map((word) => word.trim());
  if (required.includes('all') || what.some((name) => required.includes(name))) {
    throw new Error(`PILOTFISH_REQUIRE asks for ${what.join(', ')}, but ${needed.reason}`);
  }
  console.warn(`skipped: ${needed.reason}`);
  return true;
}

/** `describe.skipIf(needs('nginx', 'ip'))`: whether to skip because one of these programs is not on the PATH. */
export function needs(...binaries: string[]): boolean {
  return skipUnless(binaries, need(...binaries));
}
