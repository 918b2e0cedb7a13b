import { parseState } from '../core/parse-state.ts';
import { counted } from './output.ts';
import { fileRevision, readStateFile, refuseMistakes } from './state-file.ts';

export interface CheckOptions {
  readonly file: string;
}

/**
 * Validates a state file without any store.
 * @throws PilotfishError PF_STATE with every mistake
 */
export async function runCheck({ file }: CheckOptions): Promise<number> {
  const tree = readStateFile(file);
  const { vips, pools, rejected } = parseState(tree.keys, fileRevision, null).snapshot;
  refuseMistakes(file, tree, rejected);
  const reals = [...pools.values()].reduce((sum, pool) => sum + pool.reals.length, 0);
  console.log(
    `${file} is good: ${counted(vips.size, 'VIP')}, ${counted(pools.size, 'pool')}, ${counted(reals, 'real')}`,
  );
  return 0;
}
