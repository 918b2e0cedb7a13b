import type { StateLimits } from '../core/admission.ts';
import { applyDiff, diffState, type FieldChange, type StateDiff } from '../core/apply-diff.ts';
import { desiredPrefix } from '../core/key-path.ts';
import type { Rejection, Revision } from '../core/model.ts';
import { parseState, unreadable } from '../core/parse-state.ts';
import type { TreeKeys } from '../core/tree.ts';
import { EtcdStore } from '../sync/etcd-store.ts';
import { type StoreOptions, storePlace } from './options.ts';
import { counted } from './output.ts';
import { fileRevision, readStateFile, refuseMistakes } from './state-file.ts';

export interface ApplyOptions extends StoreOptions {
  readonly file: string;
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly output: 'table' | 'json';
}

const signs = { add: '+', change: '~', remove: '-' } as const;

function shortKey(key: string): string {
  return key.slice(desiredPrefix.length);
}

function valueText(value: unknown): string {
  if (value === undefined) return '(default)';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function fieldText({ field, from, to }: FieldChange): string {
  return `${field === '' ? '' : `${field}: `}${valueText(from)} -> ${valueText(to)}`;
}

function diffLines({ changes, kept }: StateDiff): string[] {
  return [
    ...changes.map(({ op, key, fields }) =>
      [`${signs[op]} ${shortKey(key)}`, fields.map(fieldText).join(', ')].join('  ').trimEnd(),
    ),
    ...kept.map((key) => `= ${shortKey(key)}  not in the file, kept (--prune removes it)`),
  ];
}

function summary({ changes, kept }: StateDiff): string {
  const count = (op: keyof typeof signs): number => changes.filter((change) => change.op === op).length;
  return `${count('add')} added, ${count('change')} changed, ${count('remove')} removed, ${kept.length} kept`;
}

/** What would be refused after the change and was not before: what was refused already is not this file’s doing. */
function newlyRejected(before: readonly Rejection[], after: readonly Rejection[]): Rejection[] {
  const text = ({ path, value, message }: Rejection): string => JSON.stringify([path, value, message]);
  const known = new Set(before.map(text));
  return after.filter((rejection) => !known.has(text(rejection)));
}

function report(options: ApplyOptions, diff: StateDiff, revision: Revision | null): void {
  const dryRun = options.dryRun === true;
  if (options.output === 'json') {
    const changes = diff.changes.map((change) => ({ ...change, key: shortKey(change.key) }));
    console.log(JSON.stringify({ dryRun, revision, changes, kept: diff.kept.map(shortKey) }, null, 2));
    return;
  }
  for (const line of diffLines(diff)) console.log(line);
  if (diff.put.size + diff.delete.length === 0) console.log('nothing to change');
  else if (dryRun) console.log(`dry run, nothing is written: ${summary(diff)}`);
  else console.log(`${summary(diff)} at revision ${revision?.number}`);
}

async function bringTo(tree: TreeKeys, store: EtcdStore, limits: StateLimits, options: ApplyOptions): Promise<void> {
  const { keys, revision } = await store.list(desiredPrefix);
  const diff = diffState(tree, keys, options.prune === true);
  const before = parseState(keys, revision, null, limits);
  const after = parseState(applyDiff(keys, diff), revision, before, limits);
  refuseMistakes(options.file, tree, newlyRejected(before.snapshot.rejected, after.snapshot.rejected));
  const stale = after.snapshot.rejected.length;
  if (stale > 0) console.error(`${counted(stale, 'key')} of the store stay rejected: see \`pilotfish get rejected\``);
  report(options, diff, options.dryRun === true ? null : await store.apply(diff, revision));
}

/**
 * Brings the store to what a file says. Nothing is written unless the whole state is good afterwards.
 * @throws PilotfishError PF_STATE with every mistake; PF_STORE
 */
export async function runApply(options: ApplyOptions): Promise<number> {
  const tree = await readStateFile(options.file);
  // The file may lean on what the store has; what is wrong by itself is said without asking it.
  refuseMistakes(options.file, tree, unreadable(parseState(tree.keys, fileRevision, null)));
  const { etcd, limits } = storePlace(options);
  const store = new EtcdStore(etcd);
  try {
    await bringTo(tree, store, limits, options);
    return 0;
  } finally {
    store.close();
  }
}
