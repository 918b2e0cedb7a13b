import * as z from 'zod';
import { readDuration } from './duration.ts';
import { field, fields, isRecord, oneOf, optional, relay, report, wholeNumber } from './fields.ts';
import { Mistake } from './mistake.ts';
import type { Check } from './model.ts';

const hour = 3_600_000;
const laterTypes = ['http', 'https', 'grpc', 'tls', 'dns', 'udp', 'exec'];
const readType = oneOf(['tcp'] as const, laterTypes);

const readInterval = (value: unknown): number | Mistake => readDuration(value, 100, hour);
const readTimeout = (value: unknown): number | Mistake => readDuration(value, 10, hour);

const tcpSchema = fields(
  'a check',
  {
    type: field(readType, '"type": "tcp"'),
    port: optional<number | null>(wholeNumber(1, 65_535), null),
    interval: optional(readInterval, 2_000),
    timeout: optional<number | null>(readTimeout, null),
    fastInterval: optional<number | null>(readInterval, null),
    downInterval: optional<number | null>(readInterval, null),
    rise: optional(wholeNumber(1, 100), 2),
    fall: optional(wholeNumber(1, 100), 3),
  },
  { via: ['direct'] },
).transform(({ type, port, interval, timeout, fastInterval, downInterval, rise, fall }, ctx): Check => {
  if (timeout !== null && timeout > interval)
    report(ctx, ['timeout'], new Mistake('is longer than the interval', 'make it at most as long as the interval'));
  return {
    type,
    port,
    intervalMs: interval,
    timeoutMs: timeout ?? Math.min(1_000, interval),
    fastIntervalMs: fastInterval ?? Math.min(500, interval),
    downIntervalMs: downInterval ?? interval,
    rise,
    fall,
  };
});

/** The fields of other types are not looked at: hints that name a tcp check’s fields for them would mislead. */
export const checkSchema: z.ZodType<Check> = z.unknown().transform((input, ctx) => {
  const type = isRecord(input) ? input.type : undefined;
  const unsupported = typeof type === 'string' && laterTypes.includes(type) ? readType(type) : null;
  if (unsupported instanceof Mistake) {
    report(ctx, ['type'], unsupported);
    return z.NEVER;
  }
  return relay(tcpSchema, input, ctx) ?? z.NEVER;
});
