import type { FrameKind } from './frames.ts';

/** Packets of one measurement. */
export const PACKETS = 2 ** 20;

/** Which way every packet has to go, or the figure says nothing. */
export type Path = 'flow cache' | 'ring' | 'not a VIP' | 'not IP';

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly kind: FrameKind;
  readonly path: Path;
  /** A power of two; packets take turns. Flow i has VIP i modulo `vips`. */
  readonly flows: number;
  /** A power of two. VIP i is 198.18.0.0 + i and has pool i modulo `pools`. */
  readonly vips: number;
  readonly pools: number;
  /** 0: every port. Packets always go to port 80. */
  readonly vipPort: 0 | 80;
  /** Packets sent before anything is measured: what the flow cache has to know or to be full of. */
  readonly warmUp: number;
}

const M = 2 ** 20;
const hit: Omit<Scenario, 'name' | 'title'> = {
  kind: 'tcp',
  path: 'flow cache',
  flows: 1,
  vips: 1,
  pools: 1,
  vipPort: 80,
  warmUp: M,
};
const syn: typeof hit = { ...hit, kind: 'tcp-syn', path: 'ring', flows: 4 * M, warmUp: 4 * M };
const other: typeof hit = { ...hit, path: 'not a VIP', warmUp: 0 };

export const scenarios: readonly Scenario[] = [
  { ...hit, name: 'hit-1', title: 'hit, 1 flow' },
  { ...hit, name: 'hit-64k', title: 'hit, 64K flows', flows: M / 16 },
  { ...hit, name: 'hit-1m', title: 'hit, 1M flows', flows: M },
  { ...hit, name: 'hit-udp', title: 'hit, UDP, 1 flow', kind: 'udp' },
  { ...hit, name: 'hit-port-0', title: 'hit, VIP of every port, 1 flow', vipPort: 0 },
  { ...hit, name: 'hit-64-vips', title: 'hit, 64 VIPs, 1 flow each', flows: 64, vips: 64 },
  { ...hit, name: 'hit-4096-vips', title: 'hit, 4,096 VIPs, 1 flow each', flows: 4096, vips: 4096 },
  { ...syn, name: 'syn', title: 'new flow (SYN), 4M flows, evicting' },
  { ...syn, name: 'syn-64-pools', title: 'the same, 64 VIPs with a pool each', vips: 64, pools: 64 },
  // Never the same flow twice: among 4M that take turns, the cache would know a good part.
  { ...syn, name: 'miss', title: 'new flow without SYN, evicting', kind: 'tcp', flows: 64 * M },
  { ...other, name: 'not-vip', title: 'TCP to another address, 1 flow' },
  { ...other, name: 'not-vip-1m', title: 'TCP to another address, 1M flows', flows: M },
  { ...other, name: 'not-ip', title: 'ARP', kind: 'arp', path: 'not IP' },
];
