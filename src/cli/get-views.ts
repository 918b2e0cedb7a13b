import { formatDuration } from '../core/duration.ts';
import type { Pool, Rejection, Snapshot, Vip } from '../core/model.ts';
import { changedOptions } from '../core/vip-fields.ts';
import { type FleetState, observationOf } from './fleet-state.ts';
import type { Cell } from './output.ts';
import { writtenCheck } from './written-check.ts';

/** One answer of `pilotfish get`: as data for programs, and as a table for people. */
export interface View {
  readonly data: readonly object[];
  readonly header: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** As people write it in a state file. */
function writtenVip({ udpTimeoutMs, clients, ...vip }: Vip) {
  return { ...vip, udpTimeout: formatDuration(udpTimeoutMs), clients };
}

export function vipsView({ vips }: Snapshot): View {
  const all = [...vips.values()];
  const options = new Map(all.map((vip) => [vip, changedOptions(vip)]));
  const anyOptions = all.some((vip) => options.get(vip) !== '');
  return {
    data: all.map(writtenVip),
    header: ['VIP', 'ADDRESS', 'PORT', 'PROTOCOL', 'POOL', ...(anyOptions ? ['OPTIONS'] : [])],
    rows: all.map((vip) => [
      vip.name,
      vip.address,
      vip.port === 0 ? 'every' : String(vip.port),
      vip.protocol,
      vip.pool,
      options.get(vip) || null,
    ]),
  };
}

function writtenPool(pool: Pool) {
  const { name, encap, guePort, gueChecksum, checks, minHealthy, onDown, removeAfterMs, reals } = pool;
  return {
    name,
    encap,
    ...(encap === 'gue' ? { guePort, gueChecksum } : {}),
    checks: checks.map(writtenCheck),
    minHealthy: `${Math.round(minHealthy * 100_000) / 1_000}%`,
    onDown,
    removeAfter: formatDuration(removeAfterMs),
    reals: reals.length,
  };
}

function encapText({ encap, guePort, gueChecksum }: ReturnType<typeof writtenPool>): string {
  return `${encap}${guePort === undefined ? '' : `:${guePort}`}${gueChecksum === false ? ',no-checksum' : ''}`;
}

export function poolsView({ pools }: Snapshot): View {
  const data = [...pools.values()].map(writtenPool);
  return {
    data,
    header: ['POOL', 'REALS', 'ENCAP', 'CHECKS', 'MIN HEALTHY', 'ON DOWN', 'REMOVE AFTER'],
    rows: data.map((pool) => [
      pool.name,
      pool.reals,
      encapText(pool),
      pool.checks.map(({ type, port, interval }) => `${type}:${port ?? 'vip'}/${interval}`).join(' '),
      pool.minHealthy,
      pool.onDown,
      pool.removeAfter,
    ]),
  };
}

const MOST_IDS = 4;

function idsText(serverIds: readonly number[]): string | null {
  const more = serverIds.length > MOST_IDS ? ['…'] : [];
  return [...serverIds.slice(0, MOST_IDS), ...more].join(',') || null;
}

export function realsView({ pools }: Snapshot, { lbs }: FleetState): View {
  const data = [...pools.values()].flatMap((pool) =>
    pool.reals.map((real) => ({
      pool: pool.name,
      ...real,
      observations: Object.fromEntries(lbs.map((lb) => [lb.lb, observationOf(lb, pool.name, real.address)])),
    })),
  );
  const anyIds = data.some(({ serverIds }) => serverIds.length > 0);
  return {
    data,
    header: ['POOL', 'REAL', 'ADDRESS', 'WEIGHT', 'STATE', ...(anyIds ? ['IDS'] : []), ...lbs.map(({ lb }) => lb)],
    rows: data.map(({ pool, id, address, weight, state, serverIds, observations }) => [
      pool,
      id,
      address,
      weight,
      state,
      ...(anyIds ? [idsText(serverIds)] : []),
      ...lbs.map(({ lb }) => observations[lb]),
    ]),
  };
}

export function lbsView({ lbs }: FleetState): View {
  const data = lbs.map(({ lb, info, observations, rejected }) => {
    const count = (of: 'up' | 'down'): number =>
      [...observations.values()].reduce((sum, pool) => sum + pool[of].length, 0);
    return { name: lb, info, up: count('up'), down: count('down'), rejected: rejected.length };
  });
  return {
    data,
    header: ['LB', 'HOST', 'VERSION', 'SINCE', 'REVISION', 'UP', 'DOWN', 'REJECTED'],
    rows: data.map(({ name, info, up, down, rejected }) => [
      name,
      info?.host,
      info?.version,
      info?.since,
      info?.revision?.number,
      up,
      down,
      rejected,
    ]),
  };
}

/** Who refuses something: whoever reads the store now, LBs, or both. An LB may be behind, or remember a good value. */
interface Refusal {
  readonly path: string;
  readonly value: string;
  readonly message: string;
  readonly fix: string;
  /** True when it stands in the store now. */
  inStore: boolean;
  readonly lbs: { readonly lb: string; readonly keptLastGood: boolean }[];
}

function refusals(rejected: readonly Rejection[], { lbs }: FleetState): Refusal[] {
  const found = new Map<string, Refusal>();
  const entry = ({ path, value, message, fix }: Rejection): Refusal => {
    const key = JSON.stringify([path, value, message]);
    const refusal = found.get(key) ?? { path, value, message, fix, inStore: false, lbs: [] };
    found.set(key, refusal);
    return refusal;
  };
  for (const rejection of rejected) entry(rejection).inStore = true;
  for (const { lb, rejected: reported } of lbs)
    for (const rejection of reported) entry(rejection).lbs.push({ lb, keptLastGood: rejection.keptLastGood });
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function keptText({ lbs }: Refusal): string | null {
  const keeping = lbs.filter(({ keptLastGood }) => keptLastGood).map(({ lb }) => lb);
  if (lbs.length === 0) return null;
  if (keeping.length === lbs.length) return 'yes';
  return keeping.length === 0 ? 'no' : keeping.join(',');
}

export function rejectedView({ rejected }: Snapshot, fleet: FleetState): View {
  const data = refusals(rejected, fleet);
  return {
    data,
    header: ['KEY', 'FOUND', 'IN STORE', 'REPORTED BY', 'LAST GOOD KEPT', 'MISTAKE', 'FIX'],
    rows: data.map((refusal) => [
      refusal.path,
      refusal.value,
      refusal.inStore ? 'yes' : 'no',
      refusal.lbs.map(({ lb }) => lb).join(',') || null,
      keptText(refusal),
      refusal.message,
      refusal.fix,
    ]),
  };
}
