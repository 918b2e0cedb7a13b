import { stringify } from 'yaml';
import { desiredPrefix } from '../core/key-path.ts';
import type { Snapshot } from '../core/model.ts';
import { parseState } from '../core/parse-state.ts';
import { EtcdStore } from '../sync/etcd-store.ts';
import { keysOfStateFile } from '../sync/file-state.ts';
import { readYamlFile } from '../yaml-file.ts';
import { type FleetState, readFleet } from './fleet-state.ts';
import { lbsView, poolsView, realsView, rejectedView, type View, vipsView } from './get-views.ts';
import { type FilePlace, type StoreOptions, type StorePlace, statePlace, storePlace } from './options.ts';
import { counted, printTable } from './output.ts';
import { fileRevision } from './state-file.ts';

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

interface Found {
  readonly place: 'store' | 'file';
  readonly snapshot: Snapshot;
  readonly fleet: FleetState;
}

async function readStore({ etcd, limits }: StorePlace): Promise<Found> {
  const store = new EtcdStore(etcd);
  try {
    const desired = await store.list(desiredPrefix);
    const { snapshot } = parseState(desired.keys, desired.revision, null, limits);
    return { place: 'store', snapshot, fleet: readFleet((await store.list('fleet/')).keys) };
  } finally {
    store.close();
  }
}

function readFile({ file, limits }: FilePlace): Found {
  const keys = keysOfStateFile(readYamlFile(file, 'PF_STATE'), file);
  const { snapshot } = parseState(keys, fileRevision, null, limits);
  return { place: 'file', snapshot, fleet: readFleet(new Map()) };
}

/** What a reader should know beside the answer. */
function remark(kind: Kind, { place, snapshot: { rejected }, fleet: { unreadable } }: Found): void {
  if (kind !== 'rejected' && rejected.length > 0)
    console.error(`${counted(rejected.length, 'mistake')} in the ${place}: see \`pilotfish get rejected\``);
  for (const key of unreadable) console.error(`${key} cannot be read: an LB of another version may have written it`);
}

/**
 * Shows what the store holds, or the state file where there is no store.
 * @throws PilotfishError PF_STORE, PF_STATE; PF_USAGE when LBs are asked for and there is no store
 */
export async function runGet(kind: Kind, options: GetOptions): Promise<number> {
  const place = statePlace(options);
  const found = 'file' in place && kind !== 'lbs' ? readFile(place) : await readStore(storePlace(options));
  print(kind, views[kind](found.snapshot, found.fleet), options.output);
  remark(kind, found);
  return 0;
}
