/** `node lab/main.ts up|down|status <JSON of LabOptions>`: what `pilotfish lab` runs. */
import { messageOf, PilotfishError } from '../src/core/errors.ts';
import { Lab, type LabOptions } from './lab.ts';
import { labProcesses, removeLab } from './remove.ts';
import { howToTry, statusTable } from './report.ts';
import { requireRoot } from './requirements.ts';
import { readState } from './state.ts';

async function up(options: LabOptions): Promise<number> {
  const lab = await Lab.up(options);
  console.log(howToTry(lab));
  return 0;
}

async function down(): Promise<number> {
  requireRoot();
  console.log((await removeLab()) ? 'The lab is removed.' : 'There was no lab.');
  return 0;
}

async function status(): Promise<number> {
  const state = await readState();
  if (state === null) {
    console.log('No lab is up.');
    return 1;
  }
  if (!state.complete) {
    const processes = (await labProcesses()).length;
    console.log(`A lab is being built, or its building was cut short (${processes} processes). Remove it: lab down`);
    return 1;
  }
  console.log(statusTable(await (await Lab.open()).state()));
  return 0;
}

async function main(action: string, options: LabOptions): Promise<number> {
  if (action === 'up') return up(options);
  if (action === 'down') return down();
  if (action === 'status') return status();
  throw new PilotfishError('PF_USAGE', `the lab cannot ${action}`, { fix: 'It knows up, down and status.' });
}

try {
  process.exitCode = await main(process.argv[2] ?? '', JSON.parse(process.argv[3] ?? '{}') as LabOptions);
} catch (error) {
  console.error(error instanceof PilotfishError ? error.describe() : messageOf(error));
  process.exitCode = error instanceof PilotfishError && error.code === 'PF_USAGE' ? 2 : 1;
}
