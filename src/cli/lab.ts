import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PilotfishError } from '../core/errors.ts';

export const labActions = ['up', 'down', 'status'] as const;
export type LabAction = (typeof labActions)[number];

export interface LabCommandOptions {
  /** 1 to 9, default 1. */
  readonly lbs?: number;
  /** 1 to 99, default 3. */
  readonly reals?: number;
  /** Start the agent on every LB; default true. */
  readonly agents?: boolean;
}

/** The same two levels up from src/cli and from dist/cli. */
const program = join(import.meta.dirname, '../../lab/main.ts');

/**
 * The lab is a development aid of the source checkout and no part of what is shipped, so it is a program of its own
 * that this command finds and starts.
 *
 * @returns the exit code
 * @throws PF_LAB where there is no source checkout
 */
export async function runLab(action: LabAction, options: LabCommandOptions): Promise<number> {
  if (!existsSync(program)) {
    throw new PilotfishError('PF_LAB', `this installation has no lab: ${program} is missing`, {
      fix: 'Run the command in a source checkout of Pilotfish.',
    });
  }
  const child = spawn(process.execPath, [program, action, JSON.stringify(options)], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
