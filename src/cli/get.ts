import { stringify } from 'yaml';
import { desiredPrefix } from '../core/key-path.ts';
import type { Snapshot } from '../core/model.ts';
import { parseState } from '../core/parse-state.ts';
import { EtcdStore } from '../sync/etcd-store.ts';
import { type FleetState, readFleet } from './fleet-state.ts';
import { lbsView, poolsView, realsView, rejectedView, type View, vipsView } from './get-views.ts';
import { etcdOptions, type StoreOptions } from './options.ts';
import { counted, printTable } from './output.ts';

export const kinds = ['vips', 'pools', 'reals', 'lbs', 'rejected'] as const;
export type Kind = (typeof kinds)[number];

export interface GetOptions extends StoreOptions {
  readonly output: 'table' | 'json' | 'yaml';
}

const views: Readonly<Record<Kind, (snapshot: Snapshot, fleet: FleetState) => View>> = {
  vips: vipsView,
  pools: poolsView,
  reals: realsView,
  lbs: (_, fleet) => lbsView(fleet),
  rejected: rejectedView,
};

const noneOf: Readonly<Record<Kind, string>> = {
  vips: 'there are no VIPs',
  pools: 'there are no pools',
  reals: 'there are no reals',
  lbs: 'no LB is published',
  rejected: 'nothing is rejected',
};

function print(kind: Kind, { data, header, rows }: View, output: GetOptions['output']): void {
  if (output === 'json') console.log(JSON.stringify(data, null, 2));
  else if (output === 'yaml') process.stdout.write(stringify(data));
  else if (rows.length === 0) console.log(noneOf[kind]);
  else printTable(header, rows);
}

/** What a reader should know beside the answer. */
function remark(kind: Kind, { rejected }: Snapshot, { unreadable }: FleetState): void {
  if (kind !== 'rejected' && rejected.length > 0)
    console.error(`${counted(rejected.length, 'mistake')} in the store: see \`pilotfish get rejected\``);
  for (const key of unreadable) console.error(`${key} cannot be read: an LB of another version may have written it`);
}

/**
 * Shows what the store holds.
 * @throws PilotfishError PF_STORE
 */
export async function runGet(kind: Kind, options: GetOptions): Promise<number> {
  const store = new EtcdStore(etcdOptions(options));
  try {
    const desired = await store.list(desiredPrefix);
    const { snapshot } = parseState(desired.keys, desired.revision, null);
    const fleet = readFleet((await store.list('fleet/')).keys);
    print(kind, views[kind](snapshot, fleet), options.output);
    remark(kind, snapshot, fleet);
    return 0;
  } finally {
    store.close();
  }
}
