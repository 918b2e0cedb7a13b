import { messageOf } from './errors.ts';
import { Mistake } from './mistake.ts';

/**
 * The syntax of patterns: that of JavaScript with the flag `u`, without what needs backtracking. A pattern becomes the
 * positions of its characters and of its assertions, and for each what may follow (Glushkov, "The abstract theory of
 * automata", 1961), so that pattern.ts can match it in a time that grows with the text alone.
 */

const MAX_LENGTH = 500;
const MAX_POSITIONS = 200;
/** Repetitions of repetitions multiply, also where they are empty. */
const MAX_STEPS = 5_000;

export type Assertion = 'start' | 'end' | 'boundary' | 'no boundary';

export interface Position {
  /** Takes one character that this accepts, or no character where the assertion holds. */
  readonly takes: ((character: string) => boolean) | Assertion;
  /** Positions that may come next. */
  readonly follow: Set<number>;
}

/** A part of a pattern by its positions. */
export interface Fragment {
  /** Whether it matches the empty text as well. */
  readonly nullable: boolean;
  readonly first: readonly number[];
  readonly last: readonly number[];
}

export interface ParsedPattern extends Fragment {
  readonly positions: readonly Position[];
  /** The flags its characters are compared with. */
  readonly flags: 'u' | 'iu';
}

const assertions: Readonly<Record<string, Assertion>> = {
  '^': 'start',
  $: 'end',
  '\\b': 'boundary',
  '\\B': 'no boundary',
};

/** One character or one set of them. Half a surrogate pair is neither, and a digit or k would refer back to a group. */
const atom =
  /\[(?:\\.|[^\]\\])*\]|\\(?:u\{[^}]*\}|u(?!d[89a-f])[0-9a-f]{4}|x[0-9a-f]{2}|c[a-z]|p\{[^}]*\}|[^upxck1-9])|[^\\()|]/isuy;
const assertion = /\^|\$|\\[bB]/uy;
const quantifier = /(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/uy;
const groupStart = /\((?:\?:|(?!\?))/uy;

const nothing: Fragment = { nullable: true, first: [], last: [] };

/** Reads a pattern that RegExp has accepted; so what is balanced and in its place is not asked again. */
class Parser {
  readonly positions: Position[] = [];
  readonly #source: string;
  readonly #flags: 'u' | 'iu';
  #at = 0;
  #steps = 0;

  constructor(source: string, flags: 'u' | 'iu') {
    this.#source = source;
    this.#flags = flags;
  }

  alternatives(): Fragment {
    let result = this.#sequence();
    while (this.#source[this.#at] === '|') {
      this.#at++;
      const other = this.#sequence();
      result = {
        nullable: result.nullable || other.nullable,
        first: [...result.first, ...other.first],
        last: [...result.last, ...other.last],
      };
    }
    return result;
  }

  #sequence(): Fragment {
    let result = nothing;
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at] ?? ''))
      result = this.#join(result, this.#repeated());
    return result;
  }

  #repeated(): Fragment {
    const from = this.#at;
    const once = this.#single();
    const match = this.#take(quantifier);
    if (match === null) return once;
    const [, sign, least, comma, most] = match;
    if (sign !== undefined) {
      if (sign !== '?') this.#connect(once.last, once.first);
      return sign === '+' ? once : { ...once, nullable: true };
    }
    const after = this.#at;
    const min = Number(least);
    const open = comma === ',' && most === '';
    const max = open ? Math.max(min, 1) : comma === '' ? min : Number(most);
    let result = nothing;
    for (let count = 1; count <= max; count++) {
      // A position stands in one place only, so every repetition needs positions of its own.
      if (count > 1) this.#at = from;
      const copy = count === 1 ? once : this.#single();
      if (open && count === max) this.#connect(copy.last, copy.first);
      result = this.#join(result, count > min ? { ...copy, nullable: true } : copy);
    }
    this.#at = after;
    return result;
  }

  #single(): Fragment {
    if (++this.#steps > MAX_STEPS) throw tooLarge();
    if (this.#take(groupStart) !== null) {
      const inside = this.alternatives();
      this.#at++;
      return inside;
    }
    const asserted = this.#take(assertion)?.[0];
    if (asserted !== undefined) return this.#position(assertions[asserted] ?? 'start');
    const character = this.#take(atom)?.[0];
    if (character === undefined) {
      const construct = /\(\?<?.|\\./su.exec(this.#source.slice(this.#at))?.[0] ?? '';
      throw new Mistake(
        `has "${construct}", which patterns do not have here`,
        'do without looking around, references to groups, names and modes',
      );
    }
    const one = new RegExp(`^(?:${character})$`, `s${this.#flags}`);
    const matched = character === '.' ? (c: string) => !'\n\r\u2028\u2029'.includes(c) : (c: string) => one.test(c);
    return this.#position(matched);
  }

  #position(takes: Position['takes']): Fragment {
    if (this.positions.length >= MAX_POSITIONS) throw tooLarge();
    const here = [this.positions.length];
    this.positions.push({ takes, follow: new Set() });
    return { nullable: false, first: here, last: here };
  }

  #join(a: Fragment, b: Fragment): Fragment {
    this.#connect(a.last, b.first);
    return {
      nullable: a.nullable && b.nullable,
      first: a.nullable ? [...a.first, ...b.first] : a.first,
      last: b.nullable ? [...a.last, ...b.last] : b.last,
    };
  }

  #connect(from: readonly number[], to: readonly number[]): void {
    for (const position of from) for (const next of to) this.positions[position]?.follow.add(next);
  }

  #take(token: RegExp): RegExpExecArray | null {
    token.lastIndex = this.#at;
    const match = token.exec(this.#source);
    if (match !== null) this.#at += match[0].length;
    return match;
  }
}

function tooLarge(): Mistake {
  return new Mistake(
    `is a pattern of more than ${MAX_POSITIONS} characters once its repetitions are written out`,
    'look for less, or repeat less often',
  );
}

export function parsePattern(source: string, ignoreCase: boolean): ParsedPattern | Mistake {
  if (source.length > MAX_LENGTH)
    return new Mistake(`is a pattern of more than ${MAX_LENGTH} characters`, 'look for less');
  const flags = ignoreCase ? 'iu' : 'u';
  try {
    new RegExp(source, flags);
    const parser = new Parser(source, flags);
    return { ...parser.alternatives(), positions: parser.positions, flags };
  } catch (error) {
    if (error instanceof Mistake) return error;
    // V8 repeats the whole pattern before it says what is wrong.
    const reason = messageOf(error).split(': ').at(-1)?.toLowerCase();
    return new Mistake(
      `is no pattern: ${reason}`,
      'put a \\ before each of . * + ? ( ) [ ] { } | ^ $ \\ / that is meant as such',
    );
  }
}
