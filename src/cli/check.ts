import { counted } from './output.ts';
import { readGoodState } from './state-file.ts';

export interface CheckOptions {
  readonly file: string;
}

/**
 * Validates a state file without any store.
 * @throws PilotfishError PF_STATE with every mistake
 */
export async function runCheck({ file }: CheckOptions): Promise<number> {
  const { vips, pools } = await readGoodState(file);
  const reals = [...pools.values()].reduce((sum, pool) => sum + pool.reals.length, 0);
  console.log(
    `${file} is good: ${counted(vips.size, 'VIP')}, ${counted(pools.size, 'pool')}, ${counted(reals, 'real')}`,
  );
  return 0;
}
