import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { isIPv6Address, readPrefix } from './address.ts';
import { formatDuration, readDuration } from './duration.ts';
import { field, fields, oneOf, optional, readBoolean, readName, relay, report } from './fields.ts';
import { Mistake } from './mistake.ts';
import type { FragmentMode, HashMode, QuicMode, Vip } from './model.ts';
import { fragmentModes, hashModes, quicModes } from './model.ts';

/** What a VIP has beyond its endpoint and its pool. */

/** Many clients can share one misunderstanding, and every LB publishes what it refuses. */
const MOST_MISTAKES = 20;

function readClientPrefix(value: unknown): string | Mistake {
  const prefix = readPrefix(typeof value === 'string' ? value : '');
  return prefix instanceof Mistake ? prefix : `${prefix.address}/${prefix.length}`;
}

const clientSchema = fields('a client prefix', {
  prefix: field(readClientPrefix, '"prefix": "198.51.100.0/24"'),
  pool: field(readName, '"pool": "near"'),
});

type Clients = Vip['clients'];

/** In the order they were written, so that a place is a place in what was written. */
const clients = z.unknown().transform((input, ctx): Clients => {
  if (!Array.isArray(input)) {
    report(ctx, [], new Mistake('must be a list', 'write a list: [{"prefix": "198.51.100.0/24", "pool": "near"}]'));
    return z.NEVER;
  }
  const places = new Map<string, number>();
  const read: Clients[number][] = [];
  for (const [n, value] of input.entries()) {
    if (ctx.issues.length >= MOST_MISTAKES) {
      report(ctx, [], new Mistake('may have more mistakes, further on', 'mend those that are named first'));
      break;
    }
    const client = relay(clientSchema, value, ctx, [n]);
    if (client === null) continue;
    const twin = places.get(client.prefix);
    if (twin !== undefined)
      report(ctx, [n, 'prefix'], new Mistake(`is the prefix of clients[${twin}] too`, 'keep one of the two'));
    places.set(client.prefix, n);
    read.push(client);
  }
  return read;
});

export const vipOptions = {
  hash: optional<HashMode>(oneOf(hashModes), '5-tuple'),
  flowCache: optional(readBoolean, true),
  udpTimeout: optional((value) => readDuration(value, 2_000, 30 * 60_000), 30_000),
  quic: optional<QuicMode>(oneOf(quicModes), 'off'),
  tcpServerId: optional(readBoolean, false),
  udpStableRouting: optional(readBoolean, false),
  icmpEcho: optional(readBoolean, true),
  fragments: optional<FragmentMode>(oneOf(fragmentModes), 'drop'),
  clients: clients.default([]),
};

type Options = { readonly [F in keyof typeof vipOptions]: z.output<(typeof vipOptions)[F]> };
type Written = Pick<Vip, 'address' | 'port' | 'protocol' | 'pool'> & Options;

function protocolMistakes(
  { protocol, quic, udpStableRouting, tcpServerId }: Written,
  ctx: z.core.$RefinementCtx,
): void {
  const other = protocol === 'tcp' ? 'udp' : 'tcp';
  const wrong = protocol === 'tcp' ? { quic: quic !== 'off', udpStableRouting } : { tcpServerId };
  for (const [name, on] of Object.entries(wrong))
    if (on) report(ctx, [name], new Mistake(`is for ${other} alone`, `remove it, or make the protocol "${other}"`));
}

function familyMistakes({ address, clients }: Written, ctx: z.core.$RefinementCtx): void {
  const family = isIPv6Address(address) ? 6 : 4;
  const strangers = clients.flatMap(({ prefix }, n) => (isIPv6Address(prefix) === (family === 6) ? [] : [n]));
  const message = `must be an IPv${family} prefix, since the VIP’s address is one of IPv${family}`;
  for (const n of strangers.slice(0, MOST_MISTAKES))
    report(ctx, ['clients', n, 'prefix'], new Mistake(message, 'remove it, or move it to a VIP of its own family'));
}

/** Also looks at what fields say together. */
export function settledVip(written: Written, ctx: z.core.$RefinementCtx): Omit<Vip, 'name'> {
  const { udpTimeout, clients, ...vip } = written;
  protocolMistakes(written, ctx);
  familyMistakes(written, ctx);
  if (vip.fragments === 'hash' && vip.hash === 'dest-port')
    report(
      ctx,
      ['fragments'],
      new Mistake('cannot be "hash" where hash is "dest-port": fragments have no port', 'remove one of the two'),
    );
  return {
    ...vip,
    udpTimeoutMs: udpTimeout,
    clients: clients.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)),
  };
}

type OptionName = keyof typeof vipOptions;
type SettledOptions = Pick<Vip, Exclude<OptionName, 'udpTimeout' | 'clients'> | 'udpTimeoutMs'>;

/** What is not as it is by default, in one line: `hash=source clients=3`; empty when all is. */
export function changedOptions(vip: SettledOptions & { readonly clients: readonly unknown[] }): string {
  const values = { ...vip, udpTimeout: vip.udpTimeoutMs };
  const texts = { ...vip, udpTimeout: formatDuration(vip.udpTimeoutMs), clients: vip.clients.length };
  return (Object.keys(vipOptions) as OptionName[])
    .filter((name) => !isDeepStrictEqual(values[name], vipOptions[name].parse(undefined)))
    .map((name) => `${name}=${texts[name]}`)
    .join(' ');
}
