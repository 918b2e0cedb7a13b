import { isIP } from 'node:net';
import * as z from 'zod';
import { isRecord, oneOf, optional, readBoolean, readText, report } from './fields.ts';
import { Mistake } from './mistake.ts';
import type { BodyExpectation, HttpMethod, HttpsCheck, StatusRange } from './model.ts';
import { httpMethods } from './model.ts';
import { Pattern } from './pattern.ts';

/** What checks of the types http and https have beyond those of any check. */

const LONGEST = 1_000;
const MOST_HEADERS = 32;

/** What HAProxy, nginx and Kubernetes take for healthy. */
const DEFAULT_STATUS: readonly StatusRange[] = [{ from: 200, to: 399 }];

function readShortText(value: unknown): string | Mistake {
  const text = readText(value);
  return typeof text === 'string' && text.length > LONGEST
    ? new Mistake(`is longer than ${LONGEST} characters`, 'write less')
    : text;
}

function readPath(value: unknown): string | Mistake {
  const path = readShortText(value);
  if (path instanceof Mistake) return path;
  if (!path.startsWith('/')) return new Mistake('must start with a slash', 'write the path alone, such as "/healthz"');
  if (!/^[\x21-\x7e]*$/.test(path) || path.includes('#'))
    return new Mistake(
      'has characters that a request cannot carry',
      // Not what follows a question mark, which may be a secret.
      `write "${encodeURI(path).replaceAll('#', '%23').replace(/\?.*/s, '?…')}"`,
    );
  return path;
}

function readHostHeader(value: unknown): string | Mistake {
  const host = readShortText(value);
  if (host instanceof Mistake || /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.test(host)) return host;
  return new Mistake('is not what a Host header can be', 'write a name, with a port if need be: "www.example.com"');
}

/** The name of a Host header; null when it is an address, which no handshake may ask for (RFC 6066, section 3). */
function nameIn(host: string | null): string | null {
  const name = host?.replace(/:\d+$/, '') ?? '';
  return readServerName(name) instanceof Mistake ? null : name;
}

function readServerName(value: unknown): string | Mistake {
  if (typeof value === 'string' && /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i.test(value) && isIP(value) === 0)
    return value;
  return new Mistake('is not a server name', 'write a DNS name such as "www.example.com"');
}

function readRange(value: unknown): StatusRange | Mistake {
  const match = /^([2-5]\d\d)(?:-([2-5]\d\d))?$/.exec(String(value));
  if (match === null)
    return new Mistake('must be a status from 200 to 599, or a range', 'write a status or a range: 204, "200-299"');
  const from = Number(match[1]);
  const to = Number(match[2] ?? from);
  return from <= to ? { from, to } : new Mistake('is a range that ends before it starts', `write "${to}-${from}"`);
}

const status = z.unknown().transform((input, ctx): readonly StatusRange[] => {
  const written: unknown[] = Array.isArray(input) ? input : [input];
  if (written.length === 0) report(ctx, [], new Mistake('is empty', 'write what is expected, such as "200-299"'));
  return written.flatMap((value, n) => {
    const range = readRange(value);
    if (!(range instanceof Mistake)) return [range];
    report(ctx, Array.isArray(input) ? [n] : [], range);
    return [];
  });
});

function readBody(value: unknown): BodyExpectation | Mistake {
  const text = readShortText(value);
  if (text instanceof Mistake) return text;
  if (!text.startsWith('/')) return { contains: text };
  const [, source, flags] = /^\/(.+)\/([a-z]*)$/su.exec(text) ?? [];
  if (source === undefined || (flags !== '' && flags !== 'i'))
    return new Mistake(
      'starts with a slash, and is no pattern such as "/ok/" or "/ok/i"',
      `write ${JSON.stringify(`/${text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}/`)} to look for this very text`,
    );
  const ignoreCase = flags === 'i';
  const pattern = Pattern.compile(source, ignoreCase);
  return pattern instanceof Mistake ? pattern : { matches: source, ignoreCase };
}

/** What the request says by itself, or what would change where it ends. */
const reserved: Readonly<Record<string, string>> = {
  host: 'write the field "host" of the check instead',
  connection: 'remove it: every check has a connection of its own',
  'keep-alive': 'remove it: every check has a connection of its own',
  upgrade: 'remove it: a check asks for no other protocol',
  expect: 'remove it: a check sends no body',
  'content-length': 'remove it: a check sends no body',
  'transfer-encoding': 'remove it: a check sends no body',
};

function headerMistake(name: string, value: unknown): Mistake | null {
  const fix = reserved[name.toLowerCase()];
  if (fix !== undefined) return new Mistake('is a header that a check sets itself', fix);
  if (typeof value !== 'string') return new Mistake('must be a text', 'write it in quotes');
  if (value.length > LONGEST || !/^[\t\x20-\x7e]*$/.test(value))
    return new Mistake(`must be at most ${LONGEST} characters of ASCII in one line`, 'leave out all others');
  return null;
}

const headers = z.unknown().transform((input, ctx): readonly (readonly [string, string])[] => {
  if (!isRecord(input)) {
    report(ctx, [], new Mistake('must be an object', 'write names and values: {"x-check": "pilotfish"}'));
    return z.NEVER;
  }
  const entries = new Map<string, string>();
  for (const [name, value] of Object.entries(input)) {
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]{1,100}$/i.test(name)) {
      // Not at its place, which would show a header that was written as one text.
      report(
        ctx,
        [],
        new Mistake('have a name that is none', 'use letters, digits and hyphens: {"x-check": "pilotfish"}'),
      );
      continue;
    }
    const lower = name.toLowerCase();
    const twin = entries.has(lower) ? new Mistake('is there twice', 'keep one: case makes no difference') : null;
    const mistake = headerMistake(name, value) ?? twin;
    if (mistake === null) entries.set(lower, String(value));
    else report(ctx, [name], mistake);
  }
  if (entries.size > MOST_HEADERS)
    report(ctx, [], new Mistake(`are more than ${MOST_HEADERS} headers`, 'leave out what the real does not need'));
  return [...entries];
});

export const httpFields = {
  method: optional<HttpMethod>(oneOf(httpMethods), 'GET'),
  path: optional(readPath, '/'),
  host: optional<string | null>(readHostHeader, null),
  headers: headers.default([]),
  status: status.default(DEFAULT_STATUS),
  body: optional<BodyExpectation | null>(readBody, null),
};

export const httpsFields = {
  ...httpFields,
  sni: optional<string | null>(readServerName, null),
  verify: optional(readBoolean, true),
};

/** The server name that goes with a Host header where none is written. */
export function serverName({ sni, host }: Pick<HttpsCheck, 'sni' | 'host'>): string | null {
  return sni ?? nameIn(host);
}

type HttpFields = { readonly [F in keyof typeof httpFields]: z.output<(typeof httpFields)[F]> };

/** Also looks at what fields say together. */
export function httpRequest({ method, path, host, headers, status, body }: HttpFields, ctx: z.core.$RefinementCtx) {
  if (method === 'HEAD' && body !== null)
    report(
      ctx,
      ['body'],
      new Mistake('cannot be expected of HEAD, whose answer has no body', 'remove it, or make the method "GET"'),
    );
  return { method, path, host, headers, status, body };
}
