import * as z from 'zod';
import { isIPv6Address, readPrefix, unusableAddress, unusablePrefix } from './address.ts';
import { checkSchema } from './check-schema.ts';
import { readDuration } from './duration.ts';
import {
  field,
  fields,
  isRecord,
  list,
  oneOf,
  optional,
  prefix,
  problemsOf,
  readAddress,
  readBoolean,
  readName,
  readPercent,
  relay,
  report,
  wholeNumber,
} from './fields.ts';
import { Mistake, mentionsChecks, type Problem, shownOfState } from './mistake.ts';
import type { Address, Pool, Real, Settings, Vip } from './model.ts';
import { encaps, onDownModes, protocols, realStates } from './model.ts';
import { DEFAULT_SEED } from './seed.ts';
import { settledVip, vipOptions } from './vip-fields.ts';

/** The shape of each kind of value under desired/: what one key says by itself, without a look at any other. */

export interface ItemValues {
  settings: Settings;
  vip: Omit<Vip, 'name'>;
  /** A check without a port still has `null`; `reals` are those written inline, in the order they were written. */
  pool: Omit<Pool, 'name'>;
  real: Omit<Real, 'id'>;
  override: Pick<Real, 'state'>;
}
export type ItemKind = keyof ItemValues;

/** As IANA has registered it for GUE. */
const DEFAULT_GUE_PORT = 6080;

/** In force when the key desired/settings is absent. */
export const defaultSettings: Settings = {
  seed: DEFAULT_SEED,
  outerSource: { v4: '172.16.0.0/16', v6: '100::/64' },
};

/** The address of something that packets can be sent to. */
export function readHost(value: unknown): Address | Mistake {
  const address = readAddress(value);
  if (address instanceof Mistake) return address;
  const reason = unusableAddress(address);
  if (reason !== null) return new Mistake(reason, 'write the address of a host');
  return address;
}

function readVipAddress(value: unknown): Address | Mistake {
  if (typeof value !== 'string' || !value.includes('/')) return readHost(value);
  const prefix = readPrefix(value);
  if (prefix instanceof Mistake) return prefix;
  const { address, length } = prefix;
  if (length === 0) return new Mistake('is every address there is', 'write prefixes of at least one bit');
  if (length === (isIPv6Address(address) ? 128 : 32)) return readHost(address);
  const reason = unusablePrefix(prefix);
  return reason === null ? `${address}/${length}` : new Mistake(reason, 'write a prefix of hosts');
}

function readSeed(value: unknown): string | Mistake {
  if (typeof value === 'string' && /^([0-9a-f]{2}){1,16}$/i.test(value)) return value.toLowerCase();
  return new Mistake('must be 1 to 16 bytes in hex', `write two hex digits a byte, such as "${DEFAULT_SEED}"`);
}

const settingsSchema = fields('the settings', {
  seed: optional(readSeed, defaultSettings.seed),
  outerSource: fields('outerSource', {
    v4: optional(prefix(4), defaultSettings.outerSource.v4),
    // The flow hash fills the last 64 bits.
    v6: optional(prefix(6, 64), defaultSettings.outerSource.v6),
  }).default(defaultSettings.outerSource),
});

const vipSchema = fields('a VIP', {
  address: field(readVipAddress, '"address": "192.0.2.10"'),
  port: field(wholeNumber(0, 65_535), '"port": 443'),
  protocol: field(oneOf(protocols), '"protocol": "tcp"'),
  pool: field(readName, '"pool": "web"'),
  ...vipOptions,
}).transform(settledVip);

const readServerId = wholeNumber(1, 2 ** 32 - 1);

const serverIds = z.unknown().transform((input, ctx): readonly number[] => {
  if (!Array.isArray(input)) {
    report(ctx, [], new Mistake('must be a list', 'write a list of numbers, such as [7]'));
    return z.NEVER;
  }
  const ids = new Set<number>();
  for (const [n, value] of input.entries()) {
    const id = readServerId(value);
    if (id instanceof Mistake) report(ctx, [n], id);
    else if (ids.has(id)) report(ctx, [n], new Mistake('is there twice', 'keep one of the two'));
    else ids.add(id);
  }
  return [...ids].sort((a, b) => a - b);
});

const realSchema = fields('a real', {
  address: field(readHost, '"address": "10.0.0.11"'),
  weight: optional(wholeNumber(0, 1_000), 100),
  state: optional(oneOf(realStates), 'active'),
  serverIds: serverIds.default([]),
});

/** `{"consul": {"service": "web"}}` in place of reals, which is not a real called consul. */
export function isConsulQuery(reals: Readonly<Record<string, unknown>>): boolean {
  return Object.hasOwn(reals, 'consul') && isRecord(reals.consul) && Object.hasOwn(reals.consul, 'service');
}

/** Not a zod record, since that passes over an entry called `__proto__` without a word. */
const inlineRealsSchema = z.unknown().transform((input, ctx): readonly Real[] => {
  if (!isRecord(input)) {
    report(ctx, [], new Mistake('must be an object', 'write ids and reals: {"r1": {"address": "10.0.0.11"}}'));
    return z.NEVER;
  }
  if (isConsulQuery(input)) {
    report(ctx, ['consul'], new Mistake('is not supported by this version', 'write each real with its address'));
    return z.NEVER;
  }
  const byAddress = new Map<Address, Real>();
  const byServerId = new Map<number, Real>();
  for (const [id, value] of Object.entries(input)) {
    const name = readName(id);
    if (name instanceof Mistake) report(ctx, [id], name);
    const real = relay(realSchema, value, ctx, [id]);
    if (real === null) continue;
    const twin = byAddress.get(real.address);
    if (twin !== undefined)
      report(ctx, [id, 'address'], new Mistake(`is the address of real "${twin.id}" too`, 'keep one of the two'));
    else byAddress.set(real.address, { id, ...real });
    for (const serverId of real.serverIds) {
      const named = byServerId.get(serverId);
      if (named !== undefined)
        report(ctx, [id, 'serverIds'], new Mistake(`${serverId} names real "${named.id}" too`, 'keep one of the two'));
      byServerId.set(serverId, { id, ...real });
    }
  }
  return [...byAddress.values()];
});

const poolSchema = fields(
  'a pool',
  {
    encap: optional(oneOf(encaps), 'ipip'),
    guePort: optional<number | null>(wholeNumber(1, 65_535), null),
    gueChecksum: optional<boolean | null>(readBoolean, null),
    checks: list('checks, or leave it out for one tcp check', checkSchema).default(() => [
      checkSchema.parse({ type: 'tcp' }),
    ]),
    minHealthy: optional(readPercent, 0.5),
    onDown: optional(oneOf(onDownModes), 'keep'),
    removeAfter: optional((value) => readDuration(value, 0, 24 * 3_600_000), 5 * 60_000),
    reals: inlineRealsSchema.default([]),
  },
  // The value listed is what this version does anyway: writing it changes nothing.
  { agreement: ['local'], slowStart: [] },
).transform(({ encap, guePort, gueChecksum, removeAfter, ...pool }, ctx) => {
  for (const [name, written] of Object.entries({ guePort, gueChecksum }))
    if (written !== null && encap !== 'gue')
      report(ctx, [name], new Mistake(`has no effect with encap "${encap}"`, 'remove it, or make encap "gue"'));
  return {
    encap,
    guePort: guePort ?? DEFAULT_GUE_PORT,
    gueChecksum: gueChecksum ?? true,
    ...pool,
    removeAfterMs: removeAfter,
  };
});

const overrideStates = ['drain', 'maintenance'] as const;

const schemas: { readonly [K in ItemKind]: z.ZodType<ItemValues[K]> } = {
  settings: settingsSchema,
  vip: vipSchema,
  pool: poolSchema,
  real: realSchema,
  override: fields('an override', { state: field(oneOf(overrideStates), '"state": "drain"') }),
};

/** Checks the value of one key by itself. */
export function readValue<K extends ItemKind>(kind: K, raw: string): ItemValues[K] | Problem[] {
  let json: unknown;
  try {
    json = JSON.parse(raw);
  } catch (error) {
    return [
      {
        field: '',
        value: shownOfState(raw),
        // Which quotes what stands where JSON ends.
        message: mentionsChecks(raw) ? 'is not JSON' : `is not JSON: ${(error as SyntaxError).message}`,
        fix: 'write the value as a JSON object',
      },
    ];
  }
  const result = schemas[kind].safeParse(json);
  return result.success ? result.data : problemsOf(result.error, json, shownOfState);
}
