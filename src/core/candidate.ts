import type { ItemKind, ItemValues } from './schema.ts';

/** One readable value of one key: the raw text it came from, what it is about, and what it says. */
export type Item = { [K in ItemKind]: ItemOf<K> }[ItemKind];

export type ItemOf<K extends ItemKind> = Names[K] & {
  readonly kind: K;
  readonly key: string;
  readonly raw: string;
  readonly value: ItemValues[K];
};

interface Names {
  settings: object;
  vip: { readonly name: string };
  pool: { readonly pool: string };
  real: { readonly pool: string; readonly id: string };
  override: { readonly pool: string; readonly id: string };
}

/** The pools without which the item cannot be in force, each once. */
export function poolsNeededBy(item: Item): readonly string[] {
  if (item.kind === 'real') return [item.pool];
  if (item.kind !== 'vip') return [];
  return [...new Set([item.value.pool, ...item.value.clients.map(({ pool }) => pool)])];
}

/** Who wins when two keys cannot both be in force: the lower rank, then the lower key. */
export const ranks = { inForce: 0, changed: 1, added: 2 } as const;
export type Rank = (typeof ranks)[keyof typeof ranks];

/** What may come into force for one key. */
export interface Candidate {
  readonly key: string;
  /** In the order to try; empty when the key has no readable value and never had one. */
  readonly choices: readonly { readonly item: Item; readonly rank: Rank }[];
}

function sameValue(a: Item, b: Item): boolean {
  // Values are built with their fields in one order, so equal ones have equal texts.
  return a.raw === b.raw || JSON.stringify(a.value) === JSON.stringify(b.value);
}

/**
 * @param written what the key says now; null when that cannot be read
 * @param lastGood what was in force for the key before; null when nothing was
 */
export function candidate(key: string, written: Item | null, lastGood: Item | null): Candidate {
  const kept = lastGood === null ? [] : [{ item: lastGood, rank: ranks.inForce }];
  if (written === null) return { key, choices: kept };
  if (lastGood === null) return { key, choices: [{ item: written, rank: ranks.added }] };
  if (sameValue(written, lastGood)) return { key, choices: [{ item: written, rank: ranks.inForce }] };
  return { key, choices: [{ item: written, rank: ranks.changed }, ...kept] };
}
