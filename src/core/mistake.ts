/** What is wrong with one value and what to do about it. Who holds the value adds it and the place it stands in. */
export class Mistake {
  /** Continues a sentence that starts with the place: `must be a whole number`, `is missing`. */
  readonly message: string;
  readonly fix: string;

  constructor(message: string, fix: string) {
    this.message = message;
    this.fix = fix;
  }
}

/** A mistake with its place inside a key or file (`checks[0].port`; empty for the whole) and the value found there. */
export interface Problem {
  readonly field: string;
  readonly value: string;
  readonly message: string;
  readonly fix: string;
}

const longestValue = 80;

/** A value as a message shows it: JSON, cut off when long. */
export function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value));
  return text.length > longestValue ? `${text.slice(0, longestValue)}…` : text;
}

/** Fields of a check that never have a secret, wherever in the check they are. */
const open: readonly unknown[] = [
  'type',
  'port',
  'interval',
  'timeout',
  'fastInterval',
  'downInterval',
  'rise',
  'fall',
  'method',
  'status',
  'verify',
  'sni',
];

/** Has the text anything of a check? */
export function mentionsChecks(text: string): boolean {
  return /check/i.test(text);
}

/**
 * A value of the desired state as a message shows it: without what a check may send to prove who it is, misspelt or misplaced. Messages
 * end up in journals and before everybody who asks for rejected keys.
 *
 * @param path of the field
 */
export function shownOfState(value: unknown, path: readonly PropertyKey[] = []): string {
  const text = shown(value);
  // Nothing, and what is empty.
  if (value === undefined || value === null || text.length <= 2) return text;
  const [section, , field] = path;
  if (section === 'checks') {
    if (open.includes(field)) return text;
    // The way to ask a server for its health, but for what follows a question mark or comes before an at sign.
    return field === 'path' && /^"[^?@]*"$/.test(text) ? text : 'what may be a secret';
  }
  return mentionsChecks(JSON.stringify(value)) ? 'what may be a secret' : text;
}

/** `['checks', 0, 'port']` as `checks[0].port`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}

/** Two lines for a terminal: place, mistake and value; then the fix. */
export function describeProblem({ place, value, message, fix }: Omit<Problem, 'field'> & { place: string }): string {
  const found = value === shown(undefined) ? '' : ` (found ${value})`;
  return `  ${place === '' ? '' : `${place}: `}${message}${found}\n    fix: ${fix}`;
}
