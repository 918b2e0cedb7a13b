/**
 * Packets per CPU-second of the XDP program, attached to a veth that frames come in by and leave by, beside a bare
 * encapsulation and XDP_DROP. bench/README.md says how, and how to read it.
 *
 *   node bench/wire.ts [--rows <names>] [--rounds 15] [--packets 1048576] [--cpu <number>] [--object <file.o>] [--json]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { messageOf, PilotfishError } from '../src/core/errors.ts';
import { objectPath } from '../src/dataplane/program.ts';
import { figuresOf, type RowFigures, report, rowInShort } from './wire/report.ts';
import { type WireRow, wireRows } from './wire/rows.ts';
import type { Answer, Job } from './wire/worker.ts';

const WORKER = fileURLToPath(new URL('./wire/worker.ts', import.meta.url));

interface Options extends Omit<Job, 'row'> {
  readonly rows: readonly WireRow[];
  readonly json: boolean;
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new PilotfishError('PF_USAGE', `--${name} ${text} is not a whole number of at least ${least}`);
}

function chosenRows(text: string | undefined): readonly WireRow[] {
  if (text === undefined) return wireRows;
  const words = text.split(',');
  const unknown = words.filter((word) => !wireRows.some(({ row }) => row === word));
  if (unknown.length > 0)
    throw new PilotfishError('PF_USAGE', `there is no row ${unknown.join(', ')}`, {
      fix: `choose from ${wireRows.map(({ row }) => row).join(', ')}`,
    });
  return wireRows.filter(({ row }) => words.includes(row));
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      rounds: { type: 'string', default: '15' },
      packets: { type: 'string', default: `${2 ** 20}` },
      cpu: { type: 'string', default: `${availableParallelism() - 1}` },
      object: { type: 'string', default: objectPath },
      json: { type: 'boolean', default: false },
    },
  });
  return {
    rows: chosenRows(values.rows),
    rounds: wholeNumber('rounds', values.rounds, 1),
    packets: wholeNumber('packets', values.packets, 1),
    cpu: wholeNumber('cpu', values.cpu, 0),
    object: resolve(values.object),
    json: values.json,
  };
}

/** Namespaces without a name: the kernel removes them with the worker, however that ends. */
async function measure(job: Job): Promise<Answer> {
  const execArgv = ['--net', '--mount', process.execPath];
  const worker = fork(WORKER, [JSON.stringify(job)], { execPath: 'unshare', execArgv });
  const ended = once(worker, 'exit');
  const answer = await Promise.race([
    once(worker, 'message').then(([message]) => message as Answer),
    ended.then(([code, signal]): Answer => ({ refused: `it ended (${signal ?? code})` })),
  ]);
  await ended;
  return answer;
}

async function run({ rows, json, ...each }: Options): Promise<boolean> {
  if (process.geteuid?.() !== 0)
    throw new PilotfishError('PF_CAPABILITY', 'wire makes network namespaces and attaches programs, but is not root', {
      fix: 'run it as root: sudo env "PATH=$PATH" followed by the same command',
    });
  const figures: RowFigures[] = [];
  for (const row of rows) {
    const one = figuresOf(row, await measure({ row, ...each }));
    figures.push(one);
    // Not on standard output, which may be read by a program.
    console.error(rowInShort(one));
  }
  return report(figures, json);
}

try {
  process.exitCode = (await run(readOptions())) ? 0 : 1;
} catch (error) {
  console.error(error instanceof PilotfishError ? error.describe() : messageOf(error));
  process.exitCode = 2;
}
