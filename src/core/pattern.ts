import { Mistake } from './mistake.ts';
import type { Assertion, ParsedPattern } from './pattern-syntax.ts';
import { parsePattern } from './pattern-syntax.ts';

/** Steps remembered at most; all are forgotten then. Few patterns ever need a hundred. */
const MAX_CACHED = 10_000;
/** Positions looked at for one text, some 65 ns each; a pattern of ten characters needs a few thousand. */
const MAX_WORK = 500_000;

/** A state of the deterministic automaton, made when a text first leads there. */
interface State {
  /** Positions that may come next. */
  readonly frontier: readonly number[];
  readonly atStart: boolean;
  readonly afterWord: boolean;
  /** By code point; null when the pattern has matched. */
  readonly next: Map<number, State | null>;
}

/** `too ambiguous`: so many positions stay possible at once that looking further would keep this thread busy. */
export type PatternResult = 'found' | 'not found' | 'too ambiguous';

/**
 * A regular expression that is found in a time that grows with the text alone, whatever the text: what a real answers
 * must not keep this host busy, and JavaScript’s own take years for some (Cox, "Regular Expression Matching Can Be
 * Simple And Fast", 2007).
 */
export class Pattern {
  readonly #parsed: ParsedPattern;
  readonly #isWord: RegExp;
  #states = new Map<string, State>();
  #cached = 0;

  private constructor(parsed: ParsedPattern) {
    this.#parsed = parsed;
    this.#isWord = new RegExp('^\\w$', parsed.flags);
  }

  static compile(source: string, ignoreCase: boolean): Pattern | Mistake {
    const parsed = parsePattern(source, ignoreCase);
    return parsed instanceof Mistake ? parsed : new Pattern(parsed);
  }

  /** Looks for it anywhere in the text. */
  lookIn(text: string): PatternResult {
    if (this.#parsed.nullable) return 'found';
    let work = 0;
    let state = this.#state(this.#parsed.first, true, false);
    for (const character of text) {
      const code = character.codePointAt(0) ?? 0;
      let next = state.next.get(code);
      if (next === undefined) {
        work += state.frontier.length;
        if (work > MAX_WORK) return 'too ambiguous';
        next = this.#step(state, character);
        if (++this.#cached > MAX_CACHED) this.#forget();
        state.next.set(code, next);
      }
      if (next === null) return 'found';
      state = next;
    }
    return this.#reach(state, null) === null ? 'found' : 'not found';
  }

  #forget(): void {
    this.#states = new Map();
    this.#cached = 0;
  }

  /** The state after one more character; null when the pattern has matched by then. */
  #step(state: State, character: string): State | null {
    const { positions, first } = this.#parsed;
    const reached = this.#reach(state, character);
    if (reached === null) return null;
    const frontier = new Set(first);
    for (const position of reached) {
      const { takes, follow } = positions[position]!;
      if (typeof takes === 'string' || !takes(character)) continue;
      if (this.#isLast(position)) return null;
      for (const next of follow) frontier.add(next);
    }
    return this.#state([...frontier], false, this.#isWord.test(character));
  }

  /** The frontier, and what is behind the assertions that hold before `upcoming`; null when that ends the pattern. */
  #reach(state: State, upcoming: string | null): ReadonlySet<number> | null {
    const boundary = state.afterWord !== (upcoming !== null && this.#isWord.test(upcoming));
    const holds: Record<Assertion, boolean> = {
      start: state.atStart,
      end: upcoming === null,
      boundary,
      'no boundary': !boundary,
    };
    const reached = new Set(state.frontier);
    // A set that grows while it is gone through is gone through to its end.
    for (const position of reached) {
      const { takes, follow } = this.#parsed.positions[position]!;
      if (typeof takes !== 'string' || !holds[takes]) continue;
      if (this.#isLast(position)) return null;
      for (const next of follow) reached.add(next);
    }
    return reached;
  }

  #isLast(position: number): boolean {
    return this.#parsed.last.includes(position);
  }

  #state(positions: readonly number[], atStart: boolean, afterWord: boolean): State {
    const frontier = positions.toSorted((a, b) => a - b);
    const key = `${frontier} ${atStart} ${afterWord}`;
    let state = this.#states.get(key);
    if (state === undefined) {
      state = { frontier, atStart, afterWord, next: new Map() };
      this.#states.set(key, state);
    }
    return state;
  }
}
