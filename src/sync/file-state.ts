import { PilotfishError } from '../core/errors.ts';
import { keysFromTree, type TreeKeys } from '../core/tree.ts';

/**
 * What a state file says.
 *
 * @param tree as its YAML has it
 * @param path for messages only
 * @throws PilotfishError PF_STATE when the file is empty, as after a write that failed: that says nothing
 */
export function treeOfStateFile(tree: unknown, path: string): TreeKeys {
  if (tree !== null) return keysFromTree(tree);
  throw new PilotfishError('PF_STATE', `${path} is empty`, {
    fix: 'write {} if there shall be no VIPs and no pools',
  });
}

/**
 * The complete key set that a state file stands for. Entries that are wrong by themselves are among the keys, for
 * parseState to refuse them one by one.
 *
 * @param tree as its YAML has it
 * @param path for messages only
 * @throws PilotfishError PF_STATE when the file is empty or does not have the shape of a state: nobody can tell then what it says about the entries that it does not have
 */
export function keysOfStateFile(tree: unknown, path: string): Map<string, string> {
  const { keys, strays, unclear } = treeOfStateFile(tree, path);
  const lines = unclear.map(
    ({ field, value, message }) => `${field === '' ? 'it' : field} ${message} (found ${value})`,
  );
  if (lines.length > 0)
    throw new PilotfishError('PF_STATE', [`${path} is not a desired state:`, ...lines].join('\n  '), {
      fix: unclear.map(({ fix }) => fix).join('; '),
    });
  return new Map([...keys, ...strays]);
}
