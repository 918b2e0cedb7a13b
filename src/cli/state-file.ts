import { text } from 'node:stream/consumers';
import { defaultLimits } from '../core/admission.ts';
import { PilotfishError } from '../core/errors.ts';
import { describeProblem } from '../core/mistake.ts';
import type { Rejection, Revision, Snapshot } from '../core/model.ts';
import { parseState } from '../core/parse-state.ts';
import { placeInFile, type TreeKeys } from '../core/tree.ts';
import { treeOfStateFile } from '../sync/file-state.ts';
import { parseYaml, readYamlFile } from '../yaml-file.ts';
import { counted } from './output.ts';

/** A file has no revisions of its own. */
export const fileRevision: Revision = { generation: 'file', number: 0 };

/**
 * @param path `-` is the standard input
 * @throws PilotfishError PF_STATE when it cannot be read, is not YAML or is empty
 */
export async function readStateFile(path: string): Promise<TreeKeys> {
  const tree = path === '-' ? parseYaml(await text(process.stdin), path, 'PF_STATE') : readYamlFile(path, 'PF_STATE');
  return treeOfStateFile(tree, path);
}

/**
 * Says everything that is wrong with a state file.
 * @throws PilotfishError PF_STATE when something is
 */
export function refuseMistakes(path: string, tree: TreeKeys, rejected: readonly Rejection[]): void {
  const inFile = (rejection: Rejection): boolean => tree.keys.has(rejection.path.split(': ', 1)[0]!);
  const lines = [
    ...tree.problems.map(({ field: place, ...rest }) => describeProblem({ place, ...rest })),
    ...rejected.map((rejection) =>
      describeProblem({ ...rejection, place: inFile(rejection) ? placeInFile(rejection.path) : rejection.path }),
    ),
  ];
  if (lines.length === 0) return;
  throw new PilotfishError('PF_STATE', [`${path} has ${counted(lines.length, 'mistake')}:`, ...lines].join('\n'));
}

/**
 * The state that a file describes.
 * @param limits of the LBs that it is for
 * @throws PilotfishError PF_STATE with every mistake
 */
export async function readGoodState(path: string, limits = defaultLimits): Promise<Snapshot> {
  const tree = await readStateFile(path);
  const { snapshot } = parseState(tree.keys, fileRevision, null, limits);
  refuseMistakes(path, tree, snapshot.rejected);
  return snapshot;
}
