import { desiredPrefix } from '../core/key-path.ts';
import { parseState } from '../core/parse-state.ts';
import { EtcdStore } from '../sync/etcd-store.ts';
import { compareFleet, type FleetComparison, type Standing } from './fleet-compare.ts';
import { readFleet } from './fleet-state.ts';
import { type StoreOptions, storePlace } from './options.ts';
import { counted, printTable, shortDigest } from './output.ts';

export interface FleetOptions extends StoreOptions {
  /** Names of LBs that there have to be, separated by commas. */
  readonly expect?: string;
  readonly output: 'table' | 'json';
}

const standings: Readonly<Record<Standing, string>> = {
  agrees: 'agrees',
  differs: 'DIFFERS at the same revision',
  elsewhere: 'differs, at another revision',
  starting: 'nothing in force yet',
  missing: 'MISSING: died, or its lease ran out',
};

function short(digest: string | null | undefined): string | null {
  return digest === null || digest === undefined ? null : shortDigest(digest);
}

function verdict({ agree, lbs, observations }: FleetComparison): string {
  const having = (standing: Standing): string[] => lbs.flatMap((lb) => (lb.standing === standing ? [lb.name] : []));
  if (lbs.length === 0) return 'no LB is published';
  if (agree) return lbs.length === 1 ? 'the only LB agrees with itself' : `all ${lbs.length} LBs agree`;
  const parts: string[] = [];
  if (having('differs').length > 0)
    parts.push(
      `${having('differs').join(', ')} send some packets to different reals: ` +
        (observations.length > 0
          ? 'they differ about reals, see above'
          : 'compare their seeds, and `pilotfish get rejected`'),
    );
  if (having('elsewhere').length > 0)
    parts.push(`${having('elsewhere').join(', ')} are at other revisions: look again; if it stays, compare their logs`);
  for (const standing of ['starting', 'missing'] as const)
    if (having(standing).length > 0) parts.push(`${having(standing).join(', ')}: ${standings[standing]}`);
  return parts.join('\n');
}

function print(comparison: FleetComparison): void {
  const { lbs, pools, observations } = comparison;
  if (lbs.length > 0)
    printTable(
      ['LB', 'HOST', 'VERSION', 'REVISION', 'DIGEST', 'REJECTED', 'STATE'],
      lbs.map(({ name, info, standing, rejected }) => [
        name,
        info?.host,
        info?.version,
        info?.revision?.number,
        short(info?.digests.state),
        rejected,
        standings[standing],
      ]),
    );
  if (pools.length > 0) {
    const names = Object.keys(pools[0]?.digests ?? {});
    console.log('');
    printTable(
      ['POOL', 'RINGS', ...names],
      pools.map(({ pool, equal, digests }) => [
        pool,
        equal ? 'equal' : 'DIFFER',
        ...names.map((name) => short(digests[name])),
      ]),
    );
  }
  if (observations.length > 0) {
    const names = Object.keys(observations[0]?.observations ?? {});
    console.log('');
    printTable(
      ['POOL', 'REAL', 'ADDRESS', ...names],
      observations.map((real) => [real.pool, real.real, real.address, ...names.map((name) => real.observations[name])]),
    );
  }
  console.log(`${lbs.length > 0 ? '\n' : ''}${verdict(comparison)}`);
}

/**
 * Every LB, and whether they agree. Exit code 1 when they do not, or one is missing.
 * @throws PilotfishError PF_STORE
 */
export async function runFleet(options: FleetOptions): Promise<number> {
  const { etcd, limits } = storePlace(options);
  const store = new EtcdStore(etcd);
  try {
    const desired = await store.list(desiredPrefix);
    const { snapshot } = parseState(desired.keys, desired.revision, null, limits);
    const fleet = readFleet((await store.list('fleet/')).keys);
    const expected = (options.expect ?? '').split(',').map((name) => name.trim());
    const comparison = compareFleet(
      fleet,
      snapshot,
      expected.filter((name) => name !== ''),
    );
    if (options.output === 'json')
      console.log(JSON.stringify({ ...comparison, unreadable: fleet.unreadable }, null, 2));
    else print(comparison);
    if (fleet.unreadable.length > 0)
      console.error(`${counted(fleet.unreadable.length, 'key')} cannot be read: ${fleet.unreadable.join(', ')}`);
    return comparison.agree ? 0 : 1;
  } finally {
    store.close();
  }
}
