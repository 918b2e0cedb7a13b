import { type RowEncap, rowEncaps } from '../packet/scenarios.ts';

/** One line of the report. */
export interface WireRow {
  /** `1k/ipip`. */
  readonly row: string;
  readonly encap: RowEncap;
  /** TCP flows that take turns; the program remembers all of them. */
  readonly flows: number;
  /** Hoped for: packets per CPU-second to those of the bare encapsulation. */
  readonly wanted: number;
}

const sizes = [
  { name: '1k', flows: 1_000, wanted: 0.95 },
  { name: '1m', flows: 1_000_000, wanted: 0.65 },
] as const;

export const wireRows: readonly WireRow[] = sizes.flatMap(({ name, flows, wanted }) =>
  rowEncaps.map((encap) => ({ row: `${name}/${encap}`, encap, flows, wanted })),
);
