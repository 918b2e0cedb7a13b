import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Mistake } from '../../src/core/mistake.ts';
import type { PatternResult } from '../../src/core/pattern.ts';
import { Pattern } from '../../src/core/pattern.ts';
import { bodyMistake } from '../../src/health/body.ts';

function lookFor(source: string, text: string, ignoreCase = false): PatternResult {
  const pattern = Pattern.compile(source, ignoreCase);
  if (pattern instanceof Mistake) throw new Error(pattern.message);
  return pattern.lookIn(text);
}

function found(source: string, text: string, ignoreCase: boolean): PatternResult {
  return new RegExp(source, ignoreCase ? 'iu' : 'u').test(text) ? 'found' : 'not found';
}

const atoms = [
  'a',
  'b',
  'B',
  '_',
  '.',
  '\\.',
  'é',
  '\\n',
  '\\d',
  '\\W',
  '\\s',
  '[ab]',
  '[^a\\]]',
  '[0-9-]',
  '\\x61',
  '\\u0062',
  '\\u{63}',
  '\\p{L}',
];
const quantifiers = ['', '', '', '*', '+', '?', '*?', '{2}', '{0,2}', '{1,}', '{0,}', '{0}'];

/** Patterns of every construct there is, nested. */
const { pattern } = fc.letrec<{ pattern: string; sequence: string; part: string }>((tie) => ({
  pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 3 }).map((all) => all.join('|')),
  sequence: fc.array(tie('part'), { maxLength: 4 }).map((all) => all.join('')),
  part: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.tuple(fc.constantFrom(...atoms), fc.constantFrom(...quantifiers)).map((pair) => pair.join('')),
    fc.constantFrom('^', '$', '\\b', '\\B'),
    fc
      .tuple(fc.constantFrom('(', '(?:'), tie('pattern'), fc.constantFrom(...quantifiers))
      .map(([open, inside, quantifier]) => `${open}${inside})${quantifier}`),
  ),
}));
const text = fc.string({
  unit: fc.constantFrom('a', 'b', 'A', 'B', '_', '.', '1', '-', ' ', '\n', ']', 'é', '😀'),
  maxLength: 12,
});

describe('a pattern', () => {
  it('finds what a regular expression finds', () => {
    let tried = 0;
    fc.assert(
      fc.property(pattern, text, fc.boolean(), (source, words, ignoreCase) => {
        // V8 looks for an empty match between the two halves of a surrogate pair, where ECMAScript has no position.
        fc.pre(!(source.includes('\\B') && /\p{Surrogate}|[\u{10000}-\u{10ffff}]/u.test(words)));
        const compiled = Pattern.compile(source, ignoreCase);
        if (compiled instanceof Mistake) return;
        tried += 1;
        expect(compiled.lookIn(words)).toBe(found(source, words, ignoreCase));
        expect(compiled.lookIn(words)).toBe(found(source, words, ignoreCase));
      }),
      { numRuns: 3_000 },
    );
    expect(tried).toBeGreaterThan(1_000);
  });

  it.each([
    ['^ok$', 'ok', 'found'],
    ['^ok$', 'ok\n', 'not found'],
    ['^ok', 'not\nok', 'not found'],
    ['a.c', 'a\nc', 'not found'],
    ['a.c', 'a😀c', 'found'],
    ['\\bup\\b', 'is up.', 'found'],
    ['\\bup\\b', 'upper', 'not found'],
    ['"status":\\s*"(ok|warn)"', '{"status": "warn"}', 'found'],
    ['', '', 'found'],
  ] as const)('/%s/ in %j: %s', (source, words, result) => {
    expect(lookFor(source, words)).toBe(result);
  });

  it.each(['(?=a)', '(?!a)', '(?<=a)', '(?<!a)', '(a)\\1', '(?<n>a)', '(?<n>a)\\k<n>', '(?i:a)', '\\ud83d'])(
    'does without %s',
    (source) => {
      const mistake = Pattern.compile(source, false);
      expect(mistake).toBeInstanceOf(Mistake);
      expect((mistake as Mistake).message).toMatch(/^has ".+", which patterns do not have here$/);
    },
  );

  it.each(['(', 'a{', '[', '\\', '*', 'a**', '\\q', '(?<n', '{'])('refuses %s with what is wrong', (source) => {
    const mistake = Pattern.compile(source, false);
    expect((mistake as Mistake).message).toMatch(/^is no pattern: [a-z' \\]+$/);
  });

  it.each(['a{201}', '(a{15}){15}', '((((){200}){200}){200})', '((a{0,9}){0,9}){0,9}', 'a'.repeat(501)])(
    'refuses what is too large: %.30s',
    (source) => {
      const mistake = Pattern.compile(source, false);
      expect((mistake as Mistake).message).toMatch(/^is a pattern of more than \d+ characters/);
    },
  );

  it('needs no time that grows faster than the text', () => {
    // Each takes longer than the universe has been there by backtracking, or hours.
    const words = 'a'.repeat(65_536);
    for (const source of ['(a*)*b', '(a|aa)+b', '(.*.*)*b', 'a.*a.*a.*b', '(?:a?){99}a{99}b'])
      expect(lookFor(source, words)).toBe('not found');
  });

  it('gives up where too much stays possible, and goes on well after', () => {
    const compiled = Pattern.compile('(a|b)*a(a|b){90}c', false) as Pattern;
    let seed = 1;
    const random = Array.from({ length: 65_536 }, () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed >>> 31 === 0 ? 'a' : 'b';
    }).join('');
    expect(compiled.lookIn(random)).toBe('too ambiguous');
    expect(compiled.lookIn(`a${'b'.repeat(90)}c`)).toBe('found');
    expect(compiled.lookIn('b'.repeat(200))).toBe('not found');
  });

  it('forgets what it has learned before that grows large', () => {
    const compiled = Pattern.compile('x.y', false) as Pattern;
    const letters = Array.from({ length: 30_000 }, (_, n) => String.fromCodePoint(0x4e00 + (n % 20_000))).join('');
    expect(compiled.lookIn(letters)).toBe('not found');
    expect(compiled.lookIn(`${letters}xay`)).toBe('found');
  });
});

it('is compiled once for all reals, and forgotten when many others were looked for since', () => {
  const compile = vi.spyOn(Pattern, 'compile');
  onTestFinished(() => compile.mockRestore());
  // Each message to the checking thread brings an object of its own.
  const look = (matches: string) => bodyMistake({ matches, ignoreCase: false }, Buffer.from('ok'), false);
  expect([look('^ok$'), look('^ok$')]).toEqual([null, null]);
  expect(compile).toHaveBeenCalledTimes(1);
  for (let n = 0; n < 1_024; n += 1) look(`ok${n}`);
  compile.mockClear();
  look('^ok$');
  expect(compile).toHaveBeenCalledTimes(1);
});
