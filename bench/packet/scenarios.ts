import type { Encap } from '../../src/core/model.ts';
import type { Family, FrameKind } from './frames.ts';

/** Which way every packet has to go, or the figure says nothing. */
export type Path = 'flow cache' | 'ring' | 'server id' | 'echo reply' | 'not a VIP' | 'not IP';

/** What a packet meets; bench/README.md tells it in words, by name. */
export interface Scenario {
  readonly name: string;
  readonly kind: FrameKind;
  /** Of the VIPs and their clients. */
  readonly family: Family;
  readonly realFamily: Family;
  readonly path: Path;
  /** A power of two; packets take turns. Flow i has VIP i modulo `vips`. */
  readonly flows: number;
  /** A power of two. VIP i has pool i modulo `pools`. */
  readonly vips: number;
  readonly pools: number;
  /** 0: every port. Packets always go to port 80. */
  readonly vipPort: 0 | 80;
  /** Room of the flow cache; null: the VIPs use none. */
  readonly cacheEntries: number | null;
  /** Flows may be hot; else every packet takes all the steps. */
  readonly hotFlows: boolean;
  /** Packets sent before anything is measured: what the flow cache has to know or to be full of. */
  readonly warmUp: number;
  /** Null: it stands alone. */
  readonly growth: Growth | null;
}

/** The same packets with a larger and larger state: these scenarios are measured in turns. */
export interface Growth {
  /** What grows: the first scenario with this word is the smallest of them. */
  readonly of: string;
  /** How many times the nanoseconds of the smallest one are fine. */
  readonly atMost: number;
}

/** A scenario over one encapsulation: one line of the report. */
export interface Row extends Scenario {
  /** `hit-1/ipip`. */
  readonly row: string;
  readonly encap: RowEncap;
}

export const rowEncaps = ['ipip', 'gue'] as const satisfies readonly Encap[];
export type RowEncap = (typeof rowEncaps)[number];

/** Ids that QUIC packets carry take turns among these: as many as there are reals. */
export const SERVER_IDS = 8;
export const FIRST_SERVER_ID = 1;
export const REALS_PER_POOL = 8;

const M = 2 ** 20;

const hit: Omit<Scenario, 'name'> = {
  kind: 'tcp',
  family: 4,
  realFamily: 4,
  path: 'flow cache',
  flows: 1,
  vips: 1,
  pools: 1,
  vipPort: 80,
  // What the largest scenario of hits wants remembered, and an eighth more: buckets fill unevenly.
  cacheEntries: 1.125 * M,
  hotFlows: true,
  warmUp: M,
  growth: null,
};
const bare: typeof hit = { ...hit, path: 'ring', cacheEntries: null };
const syn: typeof hit = { ...hit, kind: 'tcp-syn', path: 'ring', flows: 4 * M, warmUp: 4 * M };
const quic: typeof hit = { ...hit, kind: 'quic', path: 'server id' };
const other: typeof hit = { ...hit, path: 'not a VIP', warmUp: 0 };
const echo: typeof hit = { ...hit, kind: 'echo', path: 'echo reply', warmUp: 0 };

const single: readonly Scenario[] = [
  { ...hit, name: 'hit-1' },
  { ...hit, name: 'hit-64k', flows: M / 16 },
  { ...hit, name: 'hit-1m', flows: M },
  { ...hit, name: 'hit-v6-1', family: 6, realFamily: 6 },
  { ...hit, name: 'hit-v6-1m', family: 6, realFamily: 6, flows: M },
  { ...hit, name: 'hit-udp-1', kind: 'udp' },
  { ...hit, name: 'hit-udp-1m', kind: 'udp', flows: M },
  { ...hit, name: 'hit-v4-to-v6-1', realFamily: 6 },
  { ...hit, name: 'hit-v4-to-v6-1m', realFamily: 6, flows: M },
  { ...hit, name: 'hit-port-0', vipPort: 0 },
  { ...hit, name: 'steps-1', hotFlows: false },
  { ...hit, name: 'steps-v6-1', family: 6, realFamily: 6, hotFlows: false },
  { ...bare, name: 'no-cache-1' },
  { ...bare, name: 'no-cache-1m', flows: M },
  { ...syn, name: 'syn' },
  { ...syn, name: 'syn-1m-entries', cacheEntries: M },
  { ...syn, name: 'syn-v6', family: 6, realFamily: 6 },
  // Never the same flow twice: among 4M that take turns, the cache would know a good part.
  { ...syn, name: 'miss', kind: 'tcp', flows: 64 * M },
  { ...quic, name: 'quic-1' },
  { ...quic, name: 'quic-1m', flows: M },
  { ...other, name: 'not-vip-1' },
  { ...other, name: 'not-vip-1m', flows: M },
  { ...echo, name: 'echo' },
  { ...echo, name: 'echo-v6', family: 6, realFamily: 6 },
  { ...other, name: 'not-ip', kind: 'arp', path: 'not IP' },
];

const sizes: readonly (readonly [vips: number, pools: number])[] = [
  [1, 1],
  [64, 1],
  [512, 1],
  [4096, 1],
  [64, 64],
  [512, 64],
  [4096, 64],
];

/** What is sent, in every size. */
const sent: readonly (typeof hit & { readonly growth: Growth })[] = [
  { ...hit, flows: 4096, growth: { of: 'hit-4k', atMost: 1.15 } },
  { ...hit, flows: M, growth: { of: 'hit-1m', atMost: 1.15 } },
  // Hot flows do not look at the state: what it costs those that do.
  { ...hit, flows: 4096, hotFlows: false, growth: { of: 'steps-4k', atMost: 1.15 } },
  { ...syn, growth: { of: 'new', atMost: 1.45 } },
];

const growing: readonly Scenario[] = sent.flatMap((packets) =>
  sizes.map(([vips, pools]) => {
    const name = `growth-${packets.growth.of}-${vips}-vips-${pools}-pools`;
    return { ...packets, name, vips, pools };
  }),
);

/** What growth costs has nothing to do with the encapsulation. */
const encapsOf = ({ growth }: Scenario): readonly RowEncap[] => (growth === null ? rowEncaps : ['ipip']);

export const rows: readonly Row[] = [...single, ...growing].flatMap((scenario) =>
  encapsOf(scenario).map((encap) => ({ ...scenario, encap, row: `${scenario.name}/${encap}` })),
);
