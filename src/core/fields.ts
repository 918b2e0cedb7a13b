import * as z from 'zod';
import { canonicalAddress, isIPv6Address, readPrefix } from './address.ts';
import { listed, nearest, suggest } from './hints.ts';
import { fieldPath, Mistake, type Problem, shown } from './mistake.ts';
import type { Address } from './model.ts';

/**
 * Field types for zod whose mistakes are worded here: what is wrong and what to write instead. Shared by the desired
 * state and by the agent’s own configuration.
 */

type Reader<T> = (value: unknown) => T | Mistake;

/** A field that has to be there. `example` is what the fix for a missing one shows: `"port": 443`. */
export function field<T>(read: Reader<T>, example: string): z.ZodType<T> {
  return z.unknown().transform((value, ctx) => {
    const result = value === undefined ? new Mistake('is missing', `add it, for example ${example}`) : read(value);
    if (!(result instanceof Mistake)) return result;
    report(ctx, [], result);
    return z.NEVER;
  });
}

/** A field that may be left out. */
export function optional<T>(read: Reader<T>, fallback: T): z.ZodType<T> {
  return field(read, '').default(() => fallback as z.core.util.NoUndefined<T>);
}

export function report(ctx: z.core.$RefinementCtx, path: PropertyKey[], { message, fix }: Mistake): void {
  ctx.addIssue({ code: 'custom', path, message, params: { fix } });
}

/** Fields that the design has and this version does not carry, each with the values that change nothing. */
export type LaterFields = Readonly<Record<string, readonly unknown[]>>;

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function strangeField(name: string, value: unknown, names: readonly string[], later: LaterFields): Mistake | null {
  if (!Object.hasOwn(later, name)) {
    const near = nearest(name, [...names, ...Object.keys(later)]);
    const fix = near === null ? `remove it; the fields here are ${listed(names)}` : `did you mean "${near}"?`;
    return new Mistake('is not a known field', fix);
  }
  const harmless = (later[name] ?? []).map((same) => JSON.stringify(same));
  if (harmless.includes(JSON.stringify(value))) return null;
  return new Mistake(
    'is not supported by this version',
    harmless.length === 0 ? 'remove it' : `remove it, or write ${harmless.join(' or ')}`,
  );
}

/**
 * An object with these fields and no others. Every mistake in it is reported, unknown fields included.
 * @param what in words, for a value that is no object: `a VIP`
 */
export function fields<S extends z.ZodRawShape>(
  what: string,
  shape: S,
  later: LaterFields = {},
): z.ZodType<z.output<z.ZodObject<S>>> {
  const names = Object.keys(shape);
  const inner = z.object(shape);
  return z.unknown().transform((input, ctx) => {
    if (!isRecord(input)) {
      const fix = `write ${what} as an object with the fields ${listed(names)}`;
      report(ctx, [], input === undefined ? new Mistake('is missing', fix) : new Mistake('must be an object', fix));
      return z.NEVER;
    }
    for (const [name, value] of Object.entries(input)) {
      const mistake = Object.hasOwn(shape, name) ? null : strangeField(name, value, names, later);
      if (mistake !== null) report(ctx, [name], mistake);
    }
    return relay(inner, input, ctx) ?? z.NEVER;
  });
}

/** Parses with another schema and takes its mistakes over, also when there are some already; null after a mistake. */
export function relay<T>(
  schema: z.ZodType<T>,
  input: unknown,
  ctx: z.core.$RefinementCtx,
  at: readonly PropertyKey[] = [],
): T | null {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  for (const issue of result.error.issues) report(ctx, [...at, ...issue.path], mistakeOf(issue));
  return null;
}

/** A list of at least one of these. */
export function list<T>(what: string, item: z.ZodType<T>): z.ZodType<T[]> {
  return z.unknown().transform((input, ctx) => {
    if (!Array.isArray(input) || input.length === 0) {
      report(ctx, [], new Mistake('must be a list of at least one', `write a list of ${what}`));
      return z.NEVER;
    }
    return relay(z.array(item), input, ctx) ?? z.NEVER;
  });
}

function mistakeOf(issue: z.core.$ZodIssue): Mistake {
  const fix = issue.code === 'custom' ? issue.params?.fix : undefined;
  return new Mistake(issue.message, typeof fix === 'string' ? fix : 'see the reference of keys');
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value: unknown = input;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

/**
 * Every mistake of a failed parse, with its place and the value found there.
 * @param show a value at a place in words
 */
export function problemsOf(
  error: z.ZodError,
  input: unknown,
  show: (value: unknown, path: readonly PropertyKey[]) => string = shown,
): Problem[] {
  return error.issues.map((issue) => {
    const { message, fix } = mistakeOf(issue);
    return { field: fieldPath(issue.path), value: show(valueAt(input, issue.path), issue.path), message, fix };
  });
}

export function wholeNumber(min: number, max: number): Reader<number> {
  return (value) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    const quoted = typeof value === 'string' && /^\d{1,9}$/.test(value);
    const fix = quoted ? `write ${Number(value)} without quotes` : `choose a number from ${min} to ${max}`;
    return new Mistake(`must be a whole number from ${min} to ${max}`, fix);
  };
}

export function readBoolean(value: unknown): boolean | Mistake {
  if (typeof value === 'boolean') return value;
  const quoted = value === 'true' || value === 'false';
  return new Mistake('must be true or false', quoted ? `write ${value} without quotes` : 'write true or false');
}

/** @param later values that the design has and this version does not carry */
export function oneOf<T extends string>(values: readonly T[], later: readonly string[] = []): Reader<T> {
  return (value) => {
    const found = values.find((known) => known === value);
    if (found !== undefined) return found;
    if (typeof value === 'string' && later.includes(value))
      return new Mistake('is not supported by this version', `use ${values.map((v) => `"${v}"`).join(' or ')}`);
    return new Mistake(
      `must be ${values.map((v) => `"${v}"`).join(' or ')}`,
      suggest(typeof value === 'string' ? value : '', values),
    );
  };
}

const namePattern = /^[A-Za-z0-9._-]{1,63}$/;

export function readName(value: unknown): string | Mistake {
  if (typeof value === 'string' && namePattern.test(value)) return value;
  return new Mistake('is not a name', 'use 1 to 63 letters, digits, dots, underscores or hyphens');
}

export function readText(value: unknown): string | Mistake {
  if (typeof value === 'string' && value !== '') return value;
  return new Mistake('must be a text that is not empty', 'write it in quotes');
}

export function readAddress(value: unknown): Address | Mistake {
  const address = typeof value === 'string' ? canonicalAddress(value) : null;
  return address ?? new Mistake('is not an IP address', 'write an address such as 192.0.2.10');
}

/**
 * An aligned prefix of one family, in canonical text.
 *
 * @param shortest least length in bits
 */
export function prefix(family: 4 | 6, shortest = 0): Reader<string> {
  const example = family === 4 ? '172.16.0.0/16' : '100::/64';
  return (value) => {
    const result = readPrefix(typeof value === 'string' ? value : '');
    if (result instanceof Mistake) return result;
    if (isIPv6Address(result.address) !== (family === 6))
      return new Mistake(`must be an IPv${family} prefix`, `write a prefix such as ${example}`);
    if (result.length < shortest)
      return new Mistake(`is shorter than /${shortest}`, `write a prefix such as ${example}`);
    return `${result.address}/${result.length}`;
  };
}

/** Reads `50%` as 0.5. A bare number is refused: 0.5 could mean either. */
export function readPercent(value: unknown): number | Mistake {
  const match = typeof value === 'string' ? /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(value) : null;
  const percent = match === null ? Number.NaN : Number(match[1]);
  if (percent <= 100) return percent / 100;
  return new Mistake('must be a percentage from "0%" to "100%"', 'write a percentage in quotes, such as "50%"');
}
