import * as z from 'zod';
import { readDuration } from './duration.ts';
import { field, fields, isRecord, oneOf, optional, relay, report, wholeNumber } from './fields.ts';
import { httpFields, httpRequest, httpsFields, serverName } from './http-fields.ts';
import { Mistake } from './mistake.ts';
import type { Check } from './model.ts';

const hour = 3_600_000;
const types = ['tcp', 'http', 'https'] as const;
type Type = (typeof types)[number];
const laterTypes = ['grpc', 'tls', 'dns', 'udp', 'exec'];
const readType = oneOf(types, laterTypes);

const readInterval = (value: unknown): number | Mistake => readDuration(value, 100, hour);
const readTimeout = (value: unknown): number | Mistake => readDuration(value, 10, hour);

const commonFields = {
  type: field(readType, '"type": "tcp"'),
  port: optional<number | null>(wholeNumber(1, 65_535), null),
  interval: optional(readInterval, 2_000),
  timeout: optional<number | null>(readTimeout, null),
  fastInterval: optional<number | null>(readInterval, null),
  downInterval: optional<number | null>(readInterval, null),
  rise: optional(wholeNumber(1, 100), 2),
  fall: optional(wholeNumber(1, 100), 3),
};
const laterFields = { via: ['direct'] };

type CommonFields = { readonly [F in keyof typeof commonFields]: z.output<(typeof commonFields)[F]> };

function timing(written: CommonFields, ctx: z.core.$RefinementCtx) {
  const { port, interval, timeout, fastInterval, downInterval, rise, fall } = written;
  if (timeout !== null && timeout > interval)
    report(ctx, ['timeout'], new Mistake('is longer than the interval', 'make it at most as long as the interval'));
  return {
    port,
    intervalMs: interval,
    timeoutMs: timeout ?? Math.min(1_000, interval),
    fastIntervalMs: fastInterval ?? Math.min(500, interval),
    downIntervalMs: downInterval ?? interval,
    rise,
    fall,
  };
}

/** What each type has of its own. */
const ownFields: { readonly [T in Type]: Readonly<Record<string, unknown>> } = {
  tcp: {},
  http: httpFields,
  https: httpsFields,
};

const schemas: { readonly [T in Type]: z.ZodType<Extract<Check, { type: T }>> } = {
  tcp: fields('a check', commonFields, laterFields).transform((written, ctx) => ({
    type: 'tcp',
    ...timing(written, ctx),
  })),
  http: fields('a check', { ...commonFields, ...httpFields }, laterFields).transform((written, ctx) => ({
    type: 'http',
    ...timing(written, ctx),
    ...httpRequest(written, ctx),
  })),
  https: fields('a check', { ...commonFields, ...httpsFields }, laterFields).transform((written, ctx) => ({
    type: 'https',
    ...timing(written, ctx),
    ...httpRequest(written, ctx),
    sni: serverName(written),
    verify: written.verify,
  })),
};

/** The types that have this field and are not `type`; none when `type` has it too, or no type has. */
function othersWith(name: string, type: Type): Type[] {
  return Object.hasOwn(ownFields[type], name) ? [] : types.filter((other) => Object.hasOwn(ownFields[other], name));
}

/** Hints that name fields of one type for a check of another would mislead, so those get words of their own. */
export const checkSchema: z.ZodType<Check> = z.unknown().transform((input, ctx) => {
  if (!isRecord(input)) return relay<Check>(schemas.tcp, input, ctx) ?? z.NEVER;
  const written = input.type;
  const unsupported = typeof written === 'string' && laterTypes.includes(written) ? readType(written) : null;
  if (unsupported instanceof Mistake) {
    report(ctx, ['type'], unsupported);
    return z.NEVER;
  }
  const type = types.find((known) => known === written);
  const own = Object.entries(input).filter(([name]) => {
    const others = othersWith(name, type ?? 'tcp');
    if (type !== undefined && others.length > 0) {
      const named = others.map((other) => `"${other}"`).join(' or ');
      report(ctx, [name], new Mistake(`is no field of ${type} checks`, `remove it, or make the type ${named}`));
    }
    return others.length === 0;
  });
  return relay<Check>(schemas[type ?? 'tcp'], Object.fromEntries(own), ctx) ?? z.NEVER;
});
