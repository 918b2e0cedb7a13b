import { PilotfishError } from './errors.ts';
import { suggest } from './hints.ts';

/** The words that describe a packet behind its addresses: which there are, and what stands behind each. */

/** `mark`: stands alone. `number`: one follows. `hex`: bytes follow. `flow`: the rest of the text is one. */
type Form =
  | { readonly form: 'mark' }
  | { readonly form: 'number'; readonly min: number; readonly max: number; readonly most?: number }
  | { readonly form: 'hex'; readonly max: number }
  | { readonly form: 'flow' };

const mark = { form: 'mark' } as const;

/** The longest packet fits into the longest frame that the kernel runs a program on. */
const MOST_PAYLOAD = 3_400;

const common = {
  len: { form: 'number', min: 0, max: MOST_PAYLOAD },
  payload: { form: 'hex', max: MOST_PAYLOAD },
  tos: { form: 'number', min: 0, max: 255 },
  ttl: { form: 'number', min: 0, max: 255 },
  vlan: { form: 'number', min: 0, max: 4_094, most: 2 },
  nodf: mark,
} as const satisfies Record<string, Form>;

const fragment = { frag: { form: 'number', min: 0, max: 65_528 } } as const satisfies Record<string, Form>;

export const vocabulary = {
  tcp: {
    syn: mark,
    ack: mark,
    fin: mark,
    rst: mark,
    'server-id': { form: 'number', min: 0, max: 2 ** 32 - 1 },
    ...fragment,
    ...common,
  },
  udp: {
    cid: { form: 'hex', max: 20 },
    stable: { form: 'number', min: 0, max: 2 ** 24 - 1 },
    ...fragment,
    ...common,
  },
  icmp: {
    echo: mark,
    id: { form: 'number', min: 0, max: 65_535 },
    seq: { form: 'number', min: 0, max: 65_535 },
    'too-big': mark,
    mtu: { form: 'number', min: 68, max: 65_535 },
    about: { form: 'flow' },
    ...common,
  },
} as const satisfies Record<string, Record<string, Form>>;

export type PacketProtocol = keyof typeof vocabulary;
export type Word = { [P in PacketProtocol]: keyof (typeof vocabulary)[P] }[PacketProtocol];

/** @throws PilotfishError PF_USAGE */
export function refuse(text: string, what: string, fix: string): never {
  throw new PilotfishError('PF_USAGE', `"${text}": ${what}`, { fix });
}

/** Words that were given, in their order, with what stood behind each. */
export class GivenWords {
  readonly #values: ReadonlyMap<Word, readonly (number | Uint8Array | string)[]>;
  /** As they were given, without superfluous space. */
  readonly text: string;

  constructor(values: ReadonlyMap<Word, readonly (number | Uint8Array | string)[]>, text: string) {
    this.#values = values;
    this.text = text;
  }

  get all(): Word[] {
    return [...this.#values.keys()];
  }

  has(word: Word): boolean {
    return this.#values.has(word);
  }

  numbers(word: Word): number[] {
    return (this.#values.get(word) ?? []).filter((value) => typeof value === 'number');
  }

  /** Null when the word was not given. */
  number(word: Word): number | null {
    return this.numbers(word)[0] ?? null;
  }

  /** Null when the word was not given. */
  bytes(word: Word): Uint8Array | null {
    return this.#values.get(word)?.find((value) => value instanceof Uint8Array) ?? null;
  }

  /** Null when the word was not given. */
  flow(word: Word): string | null {
    return this.#values.get(word)?.find((value) => typeof value === 'string') ?? null;
  }
}

function readNumber(
  text: string,
  word: string,
  { min, max }: { min: number; max: number },
  value: string | undefined,
): number {
  const number = /^(\d{1,10}|0x[0-9a-f]{1,8})$/.test(value ?? '') ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  return refuse(text, `${word} has ${value ?? 'no value'}`, `write ${word} and a number from ${min} to ${max}`);
}

function readHex(text: string, word: string, max: number, value: string | undefined): Uint8Array {
  const digits = value?.replace(/^0x/, '') ?? '';
  if (/^([0-9a-f]{2})+$/.test(digits) && digits.length <= 2 * max) return Buffer.from(digits, 'hex');
  return refuse(
    text,
    `${word} has ${value ?? 'no value'}`,
    `write ${word} and 1 to ${max} bytes in hex, two digits each`,
  );
}

/** A word of another protocol is no typing mistake. */
function unknown(text: string, protocol: PacketProtocol, word: string): never {
  const owner = Object.entries(vocabulary).find(([, known]) => Object.hasOwn(known, word))?.[0];
  if (owner !== undefined) refuse(text, `${word} is a word of ${owner}, not of ${protocol}`, `leave out ${word}`);
  return refuse(text, `${word} is not known`, suggest(word, Object.keys(vocabulary[protocol])));
}

/**
 * @param text all of it, for messages
 * @param rest words behind the addresses, in lower case
 * @throws PilotfishError PF_USAGE
 */
export function readWords(text: string, protocol: PacketProtocol, rest: readonly string[]): GivenWords {
  const forms: Readonly<Record<string, Form>> = vocabulary[protocol];
  const values = new Map<Word, (number | Uint8Array | string)[]>();
  const words = rest.values();
  for (const word of words) {
    if (!Object.hasOwn(forms, word)) unknown(text, protocol, word);
    const form = forms[word]!;
    const before = values.get(word as Word) ?? [];
    if (form.form !== 'mark' && before.length >= (form.form === 'number' ? (form.most ?? 1) : 1))
      refuse(text, `${word} is given too often`, `leave out one ${word}`);
    if (form.form === 'number') before.push(readNumber(text, word, form, words.next().value));
    else if (form.form === 'hex') before.push(readHex(text, word, form.max, words.next().value));
    else if (form.form === 'flow') before.push([...words].join(' '));
    values.set(word as Word, before);
  }
  return new GivenWords(values, rest.join(' '));
}
