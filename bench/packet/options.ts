import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { PilotfishError } from '../../src/core/errors.ts';
import { objectPath } from '../../src/dataplane/program.ts';
import { type Row, type RowEncap, rowEncaps, rows } from './scenarios.ts';
import type { Job } from './worker.ts';

const OWN_LOADER = new URL('./ours.ts', import.meta.url).href;

/** Stands in `--object` for the row’s encapsulation, for programs that have one object for each. */
const ENCAP = '{encap}';

export interface Options {
  readonly rows: readonly Row[];
  /** What each row is measured with: Pilotfish, and the peer if there is one. */
  readonly jobsOf: (row: Row) => readonly Job[];
  /** Module of the peer; null when there is none of its own. */
  readonly populate: string | null;
  readonly rounds: number;
  readonly json: boolean;
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new PilotfishError('PF_USAGE', `--${name} ${text} is not a whole number of at least ${least}`);
}

const words = (text: string | undefined): string[] => text?.split(',').filter((word) => word !== '') ?? [];

/** Does the word name this row’s scenario, or what it begins with: `hit`, `hit-udp`, `hit-udp-1`? */
const names = (word: string, { name }: Row): boolean => name === word || name.startsWith(`${word}-`);

/** What grows is compared with the smallest, whether or not that was asked for. */
function withSmallest(chosen: readonly Row[]): Row[] {
  const smallest = new Set(
    chosen.flatMap(({ growth }) => rows.find((row) => growth !== null && row.growth?.of === growth.of) ?? []),
  );
  return rows.filter((row) => chosen.includes(row) || smallest.has(row));
}

function chosenRows(chosen: readonly string[], encaps: readonly string[]): Row[] {
  const known = rows.map(({ name }) => name);
  const unknown = chosen.filter((word) => !rows.some((row) => names(word, row)));
  if (unknown.length > 0)
    throw new PilotfishError('PF_USAGE', `there is no row ${unknown.join(', ')}`, {
      fix: `choose from ${[...new Set(known)].join(', ')}, or from what they begin with`,
    });
  const strange = encaps.filter((encap) => !rowEncaps.includes(encap as RowEncap));
  if (strange.length > 0)
    throw new PilotfishError('PF_USAGE', `--encap ${strange.join(',')} is not known`, {
      fix: `choose from ${rowEncaps.join(', ')}`,
    });
  return withSmallest(
    rows.filter(
      (row) =>
        (chosen.length === 0 || chosen.some((word) => names(word, row))) &&
        (encaps.length === 0 || encaps.includes(row.encap)),
    ),
  );
}

/** @throws PilotfishError PF_USAGE */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string' },
      encap: { type: 'string' },
      rounds: { type: 'string', default: '15' },
      runs: { type: 'string', default: `${2 ** 20}` },
      cpu: { type: 'string', default: `${availableParallelism() - 1}` },
      json: { type: 'boolean', default: false },
      object: { type: 'string' },
      program: { type: 'string', default: 'pilotfish' },
      populate: { type: 'string' },
    },
  });
  const { object, program } = values;
  if (object === undefined && values.populate !== undefined)
    throw new PilotfishError('PF_USAGE', `--populate ${values.populate} is there without --object`);
  const populate = values.populate === undefined ? null : pathToFileURL(resolve(values.populate)).href;
  const common = { cpu: wholeNumber('cpu', values.cpu, 0), packets: wholeNumber('runs', values.runs, 1) };

  const jobsOf = (row: Row): Job[] => {
    const ours: Job = {
      ...common,
      row: row.row,
      subject: 'pilotfish',
      object: objectPath,
      program: 'pilotfish',
      populate: OWN_LOADER,
    };
    if (object === undefined) return [ours];
    const path = resolve(object.replaceAll(ENCAP, row.encap));
    const subject = `${basename(object)} (${program})`;
    return [ours, { ...common, row: row.row, subject, object: path, program, populate: populate ?? OWN_LOADER }];
  };
  return {
    rows: chosenRows(words(values.rows), words(values.encap)),
    jobsOf,
    populate,
    rounds: wholeNumber('rounds', values.rounds, 1),
    json: values.json,
  };
}
