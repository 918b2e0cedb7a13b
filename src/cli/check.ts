import { readConfig } from '../config.ts';
import { counted } from './output.ts';
import { readGoodState } from './state-file.ts';

export interface CheckOptions {
  readonly file: string;
  /** Of an agent, for its limits. */
  readonly config?: string;
}

/**
 * Validates a state file without any store.
 * @throws PilotfishError PF_STATE with every mistake; PF_CONFIG
 */
export async function runCheck({ file, config }: CheckOptions): Promise<number> {
  const { vips, pools } = await readGoodState(file, config === undefined ? undefined : readConfig(config).limits);
  const reals = [...pools.values()].reduce((sum, pool) => sum + pool.reals.length, 0);
  console.log(
    `${file} is good: ${counted(vips.size, 'VIP')}, ${counted(pools.size, 'pool')}, ${counted(reals, 'real')}`,
  );
  return 0;
}
