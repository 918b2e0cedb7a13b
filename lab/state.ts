/** What a lab writes down about itself, for a later command and for the lab that has to remove it. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runDir } from './paths.ts';
import type { Shape } from './topology.ts';

export interface LabState {
  readonly shape: Shape;
  /** Wall clock, in milliseconds. */
  readonly startedAt: number;
  /** The lab mounted bpffs, and so unmounts it. */
  readonly mountedBpffs: boolean;
  /** False while the lab is being built, and for ever if that was cut short. */
  readonly complete: boolean;
}

const file = join(runDir, 'state.json');

/** `null` when there is no lab. */
export async function readState(): Promise<LabState | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as LabState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export async function writeState(state: LabState): Promise<void> {
  await mkdir(runDir, { recursive: true });
  await writeFile(`${file}.new`, JSON.stringify(state));
  await rename(`${file}.new`, file);
}
