import { hash } from 'node:crypto';
import type { Directory, VipRecord } from '../core/data-plane.ts';
import { splitVipId } from '../core/data-plane.ts';
import { PilotfishError } from '../core/errors.ts';
import { encode, indexKey } from './codec.ts';
import { enums, structs } from './layout.gen.ts';
import type { Entries } from './map-store.ts';
import type { Range } from './vip-places.ts';
import { rangeOf } from './vip-places.ts';

/** What prefixes are known by in the maps: VIPs’ prefixes by numbers, lists of client prefixes by scopes. */

const { PF_SCOPE_VIPS_V4, PF_SCOPE_VIPS_V6, PF_SCOPE_CLIENTS } = enums.pf_scope;
/** Scopes have 16 bits in a pf_entry. */
const MOST_SCOPES = 65_536;

type Clients = VipRecord['clients'];

interface Scope {
  readonly number: number;
  readonly clients: Clients;
}

export interface PrefixNumbers {
  readonly prefixes: ReadonlyMap<string, number>;
  /** By what the list says, so that VIPs with equal lists share one. */
  readonly scopes: ReadonlyMap<string, Scope>;
}

export const noPrefixes: PrefixNumbers = { prefixes: new Map(), scopes: new Map() };

/** Gives out the lowest numbers that are not taken. */
function* freeNumbers(first: number, taken: Iterable<number>): Generator<number, never> {
  const used = new Set(taken);
  for (let number = first; ; number++) if (!used.has(number)) yield number;
}

/** Everything that has a number keeps it. */
function numbered<T>(held: ReadonlyMap<string, T>, wanted: Iterable<string>, make: (key: string) => T): Map<string, T> {
  return new Map([...new Set(wanted)].map((key) => [key, held.get(key) ?? make(key)]));
}

function signatureOf(clients: Clients): string {
  return hash('sha256', clients.map(({ prefix, pool }) => `${prefix}=${pool}`).join());
}

export interface NumberedPrefixes extends PrefixNumbers {
  /** The same scopes by the lists as they stand in the directory. */
  readonly scopeOf: ReadonlyMap<Clients, number>;
}

/**
 * Numbers for what a directory has, taken from what is held where that has it too.
 * @throws PilotfishError PF_MAP_FULL
 */
export function numberPrefixes({ vips }: Directory, held: PrefixNumbers): NumberedPrefixes {
  const prefixes = [...vips.keys()].map((id) => splitVipId(id).address).filter((address) => address.includes('/'));
  const numbers = freeNumbers(0, held.prefixes.values());
  const lists = [...vips.values()].map(({ clients }) => clients).filter((clients) => clients.length > 0);
  const signed = new Map(lists.map((clients) => [clients, signatureOf(clients)]));
  const bySignature = new Map([...signed].map(([clients, signature]) => [signature, clients]));
  const scopeNumbers = freeNumbers(
    PF_SCOPE_CLIENTS,
    [...held.scopes.values()].map(({ number }) => number),
  );
  const scopes = numbered(held.scopes, bySignature.keys(), (signature) => ({
    number: scopeNumbers.next().value,
    clients: bySignature.get(signature) ?? [],
  }));
  if ([...scopes.values()].some(({ number }) => number >= MOST_SCOPES))
    throw new PilotfishError('PF_MAP_FULL', `VIPs have more than ${MOST_SCOPES - PF_SCOPE_CLIENTS} lists of clients`, {
      fix: 'give VIPs with clients equal lists: they share one',
    });
  return {
    prefixes: numbered(held.prefixes, prefixes, () => numbers.next().value),
    scopes,
    scopeOf: new Map([...signed].map(([clients, signature]) => [clients, scopes.get(signature)?.number ?? 0])),
  };
}

export function union(a: PrefixNumbers, b: PrefixNumbers): PrefixNumbers {
  return { prefixes: new Map([...a.prefixes, ...b.prefixes]), scopes: new Map([...a.scopes, ...b.scopes]) };
}

export function difference(a: PrefixNumbers, b: PrefixNumbers): PrefixNumbers {
  return {
    prefixes: new Map([...a.prefixes].filter(([prefix]) => !b.prefixes.has(prefix))),
    scopes: new Map([...a.scopes].filter(([signature]) => !b.scopes.has(signature))),
  };
}

function keyOf(scope: number, { words, length }: Range): Uint8Array {
  return encode('pf_prefix_key', { length: 32 + length, scope, address: words });
}

/** What the map prefixes has of them. */
export function prefixEntries({ prefixes, scopes }: PrefixNumbers): Entries {
  const list: (readonly [key: Uint8Array, value: number])[] = [];
  for (const [prefix, number] of prefixes) {
    const range = rangeOf(prefix);
    const scope = range.family === enums.pf_family.PF_FAMILY_V4 ? PF_SCOPE_VIPS_V4 : PF_SCOPE_VIPS_V6;
    list.push([keyOf(scope, range), number]);
  }
  for (const { number, clients } of scopes.values())
    for (const { prefix, pool } of clients) list.push([keyOf(number, rangeOf(prefix)), pool]);
  const keySize = structs.pf_prefix_key.size;
  const keys = new Uint8Array(list.length * keySize);
  const values = new Uint8Array(list.length * 4);
  for (const [i, [key, value]] of list.entries()) {
    keys.set(key, i * keySize);
    values.set(indexKey(value), i * 4);
  }
  return { keys, values, count: list.length };
}
