import { PilotfishError } from '../core/errors.ts';
import { keysFromTree } from '../core/tree.ts';

/**
 * The complete key set that a state file stands for. Entries that are wrong by themselves are among the keys, for
 * parseState to refuse them one by one.
 *
 * @param tree what the file says
 * @param path for messages only
 * @throws PilotfishError PF_STATE when the file is empty, as after a write that failed, or does not have the shape of a
 * state: nobody can tell then what it says about the entries that it does not have
 */
export function keysOfStateFile(tree: unknown, path: string): Map<string, string> {
  if (tree === null)
    throw new PilotfishError('PF_STATE', `${path} is empty`, {
      fix: 'write {} if there shall be no VIPs and no pools',
    });
  const { keys, strays, unclear } = keysFromTree(tree);
  const lines = unclear.map(
    ({ field, value, message }) => `${field === '' ? 'it' : field} ${message} (found ${value})`,
  );
  if (lines.length > 0)
    throw new PilotfishError('PF_STATE', [`${path} is not a desired state:`, ...lines].join('\n  '), {
      fix: unclear.map(({ fix }) => fix).join('; '),
    });
  return new Map([...keys, ...strays]);
}
