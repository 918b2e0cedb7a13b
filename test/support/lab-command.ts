/** `pilotfish lab` as a process of its own, and what a lab leaves on the machine. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Outcome, tryRun } from '../../lab/netns.ts';
import { bpffs, isLabPinDir, packageRoot, runDir } from '../../lab/paths.ts';
import { labNamespaces, labProcesses } from '../../lab/remove.ts';
import { rootLeg } from '../../lab/topology.ts';
import type { LabAction, LabCommandOptions } from '../../src/cli/lab.ts';

const command = join(packageRoot, 'src/cli/lab.ts');

/** The argument vector that runs the command; a prefix may put it into another world (`unshare --mount`). */
export function labArgv(action: LabAction, options: LabCommandOptions = {}): [string, string[]] {
  const call = `process.exitCode = await (await import('${command}')).runLab('${action}', ${JSON.stringify(options)})`;
  return [process.execPath, ['--input-type=module', '--eval', call]];
}

export function labCommand(action: LabAction, options: LabCommandOptions = {}): Promise<Outcome> {
  return tryRun(...labArgv(action, options));
}

export interface Traces {
  readonly processes: number[];
  readonly namespaces: string[];
  readonly pins: string[];
  readonly device: boolean;
  readonly route: string;
  readonly files: string[];
}

export const noTraces: Traces = { processes: [], namespaces: [], pins: [], device: false, route: '', files: [] };

/** Everything that a lab can leave behind. */
export async function tracesOfLab(): Promise<Traces> {
  return {
    processes: await labProcesses(),
    namespaces: await labNamespaces(),
    pins: (await readdir(bpffs)).filter(isLabPinDir),
    device: (await tryRun('ip', ['link', 'show', rootLeg.device])).code === 0,
    route: (await tryRun('ip', ['route', 'show', '10.77.0.0/16'])).stdout.trim(),
    files: await readdir(runDir).catch(() => []),
  };
}
