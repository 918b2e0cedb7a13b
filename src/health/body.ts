import { Mistake } from '../core/mistake.ts';
import type { BodyExpectation } from '../core/model.ts';
import { Pattern } from '../core/pattern.ts';

/** Bytes of a body that are looked at; more is neither read nor kept. */
export const BODY_LIMIT = 65_536;

/** As many as there are pools, unless an LB has more than usual; those used longest ago are forgotten first. */
const MAX_COMPILED = 1_024;
/** By what people see, as each message to this thread brings the same expectation as another object. */
const compiled = new Map<string, Pattern>();

function compile(shown: string, { matches, ignoreCase }: Extract<BodyExpectation, { matches: string }>): Pattern {
  const pattern = Pattern.compile(matches, ignoreCase);
  if (pattern instanceof Mistake) throw new Error(`the pattern ${shown} ${pattern.message}`);
  return pattern;
}

function patternOf(shown: string, expected: Extract<BodyExpectation, { matches: string }>): Pattern {
  const pattern = compiled.get(shown) ?? compile(shown, expected);
  compiled.delete(shown);
  compiled.set(shown, pattern);
  if (compiled.size > MAX_COMPILED) compiled.delete(compiled.keys().next().value!);
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
  switch (patternOf(pattern, expected).lookIn(body.toString('utf8'))) {
    case 'found':
      return null;
    case 'not found':
      return `${where} does not match ${pattern}`;
    case 'too ambiguous':
      return `${pattern} is too ambiguous for ${where}: make it simpler`;
  }
}
