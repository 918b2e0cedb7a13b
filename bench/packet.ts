/**
 * Nanoseconds a packet of the XDP program, without a NIC, and of another one beside it. bench/README.md says how, and how
 * to read it.
 *
 *   node bench/packet.ts [--rows <names>] [--encap <names>] [--rounds 15] [--runs 1048576] [--cpu <number>] [--json]
 *                        [--object <file.o> [--program <name>] [--populate <module.ts>]]
 */
import { messageOf, PilotfishError } from '../src/core/errors.ts';
import { figuresOf, type MeasuredRow, type RowFigures } from './packet/figures.ts';
import { Measured } from './packet/measured.ts';
import { type Options, readOptions } from './packet/options.ts';
import { report, rowInShort } from './packet/report.ts';
import type { Row } from './packet/scenarios.ts';
import type { PeerModule, Wanted } from './packet/subject.ts';
import { median } from './stats.ts';

interface Outcome {
  readonly figures: readonly RowFigures[];
  /** Of every round. */
  readonly stubNs: readonly number[];
}

/** Rows that are measured in turns, since they are compared with one another: those that grow from the same one. */
function groups(rows: readonly Row[]): Row[][] {
  return Object.values(Object.groupBy(rows, ({ row, growth }) => growth?.of ?? row)).map((group) => group ?? []);
}

/** All of them live until all are measured: a round of each subject of each row, then the next round. */
async function measure(rows: readonly Row[], options: Options, wanted: PeerModule['wanted']): Promise<Outcome> {
  const measured: MeasuredRow[] = [];
  const all: Measured[] = [];
  try {
    for (const row of rows) {
      const subjects: Measured[] = [];
      measured.push({ row, subjects });
      for (const job of options.jobsOf(row)) {
        const subject = await Measured.start(job);
        subjects.push(subject);
        all.push(subject);
      }
    }
    for (let round = 0; round < options.rounds; round++) for (const subject of all) await subject.round();
    const smallest = measured[0] ?? null;
    const wantedOf = ({ row }: Row): Wanted => wanted?.[row] ?? {};
    return {
      figures: measured.map((one) => figuresOf(one, one.row.growth === null ? null : smallest, wantedOf(one.row))),
      stubNs: all.flatMap(({ rounds }) => rounds.map(({ stubNs }) => stubNs)),
    };
  } finally {
    await Promise.all(all.map((subject) => subject.close()));
  }
}

async function run(options: Options): Promise<boolean> {
  const { wanted } = options.populate === null ? {} : ((await import(options.populate)) as PeerModule);
  const figures: RowFigures[] = [];
  const stubNs: number[] = [];
  for (const rows of groups(options.rows)) {
    const outcome = await measure(rows, options, wanted);
    figures.push(...outcome.figures);
    stubNs.push(...outcome.stubNs);
    // Not on standard output, which may be read by a program.
    for (const one of outcome.figures) console.error(rowInShort(one));
  }
  return report(figures, median(stubNs), options.json);
}

try {
  process.exitCode = (await run(readOptions(process.argv.slice(2)))) ? 0 : 1;
} catch (error) {
  console.error(error instanceof PilotfishError ? error.describe() : messageOf(error));
  process.exitCode = 2;
}
