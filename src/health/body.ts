import { Mistake } from '../core/mistake.ts';
import type { BodyExpectation } from '../core/model.ts';
import { Pattern } from '../core/pattern.ts';

/** Bytes of a body that are looked at; more is neither read nor kept. */
export const BODY_LIMIT = 65_536;

/** One pattern for each check of a pool: the object is the same for all its reals, and goes with the last of them. */
const compiled = new WeakMap<BodyExpectation, Pattern>();

function patternOf(expected: Extract<BodyExpectation, { matches: string }>): Pattern {
  const held = compiled.get(expected);
  if (held !== undefined) return held;
  const pattern = Pattern.compile(expected.matches, expected.ignoreCase);
  if (pattern instanceof Mistake) throw new Error(`the pattern /${expected.matches}/ ${pattern.message}`);
  compiled.set(expected, pattern);
  return pattern;
}

/**
 * Why a body is not what was expected, or null when it is.
 * @param body at most its first `BODY_LIMIT` bytes
 * @param cut whether there was more
 */
export function bodyMistake(expected: BodyExpectation, body: Buffer, cut: boolean): string | null {
  const where = cut ? `the first ${BODY_LIMIT / 1_024} KiB of the body` : 'the body';
  if ('contains' in expected) {
    const needle = JSON.stringify(expected.contains);
    return body.includes(expected.contains) ? null : `${where} does not contain ${needle}`;
  }
  const pattern = `/${expected.matches}/${expected.ignoreCase ? 'i' : ''}`;
  switch (patternOf(expected).lookIn(body.toString('utf8'))) {
    case 'found':
      return null;
    case 'not found':
      return `${where} does not match ${pattern}`;
    case 'too ambiguous':
      return `${pattern} is too ambiguous for ${where}: make it simpler`;
  }
}
