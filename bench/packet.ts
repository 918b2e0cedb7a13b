/**
 * Nanoseconds a packet of the XDP program, without a NIC. bench/README.md says how, and how to read it.
 *
 *   node bench/packet.ts [--scenario <name>]... [--rounds 15] [--cpu <number>] [--json]
 *                        [--object <file.o> [--program <name>] [--populate <module.ts>]]
 */
import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { messageOf, PilotfishError } from '../src/core/errors.ts';
import { objectPath } from '../src/dataplane/program.ts';
import { Measured } from './packet/measured.ts';
import { report } from './packet/report.ts';
import { scenarios } from './packet/scenarios.ts';
import type { Job } from './packet/worker.ts';

const OWN_LOADER = new URL('./packet/pilotfish.ts', import.meta.url).href;

interface Options {
  readonly jobs: readonly Job[];
  readonly rounds: number;
  readonly json: boolean;
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new PilotfishError('PF_USAGE', `--${name} ${text} is not a whole number of at least ${least}`);
}

function chosenScenarios(names: readonly string[] | undefined): string[] {
  const known = scenarios.map(({ name }) => name);
  const unknown = names?.filter((name) => !known.includes(name)) ?? [];
  if (unknown.length === 0) return [...(names ?? known)];
  throw new PilotfishError('PF_USAGE', `there is no scenario ${unknown.join(', ')}`, {
    fix: `choose from ${known.join(', ')}`,
  });
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      scenario: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '15' },
      cpu: { type: 'string', default: `${availableParallelism() - 1}` },
      json: { type: 'boolean', default: false },
      object: { type: 'string' },
      program: { type: 'string', default: 'pilotfish' },
      populate: { type: 'string' },
    },
  });
  const own = { subject: 'pilotfish', object: objectPath, program: 'pilotfish', populate: OWN_LOADER };
  const subjects = [own];
  if (values.object !== undefined)
    subjects.push({
      subject: `${basename(values.object)} (${values.program})`,
      object: resolve(values.object),
      program: values.program,
      populate: values.populate === undefined ? OWN_LOADER : pathToFileURL(resolve(values.populate)).href,
    });
  const cpu = wholeNumber('cpu', values.cpu, 0);
  const jobs = chosenScenarios(values.scenario).flatMap((scenario) =>
    subjects.map((subject): Job => ({ ...subject, scenario, cpu })),
  );
  return { jobs, rounds: wholeNumber('rounds', values.rounds, 1), json: values.json };
}

/** Rounds take turns, so that whatever slows the machine down for a while does so to every scenario alike. */
async function measure({ jobs, rounds, json }: Options): Promise<boolean> {
  const all: Measured[] = [];
  try {
    for (const job of jobs) all.push(await Measured.start(job));
    for (let round = 0; round < rounds; round++) for (const measured of all) await measured.round();
    return report(all, json);
  } finally {
    await Promise.all(all.map((measured) => measured.close()));
  }
}

try {
  process.exitCode = (await measure(readOptions())) ? 0 : 1;
} catch (error) {
  console.error(error instanceof PilotfishError ? error.describe() : messageOf(error));
  process.exitCode = 2;
}
