import { cpus, release } from 'node:os';
import { median, percentile, printTable } from '../stats.ts';
import type { Measured } from './measured.ts';
import { scenarios } from './scenarios.ts';
import type { Round } from './worker.ts';

/** Of a scenario: a subject’s own nanoseconds a packet, the wrapper and the stub taken off. */
interface Figure {
  readonly subject: string;
  readonly scenario: string;
  readonly ns: number;
  /** The rounds between which eight of ten are. */
  readonly lowNs: number;
  readonly highNs: number;
  /** Against the stub, both with the wrapper. */
  readonly toStub: number;
  /** Against the same subject’s `hit-1`; null when that was not measured. */
  readonly toHit: number | null;
  /** Round by round against the first subject, the median; null for that one. */
  readonly toFirst: number | null;
}

interface Refusal {
  readonly subject: string;
  readonly scenario: string;
  readonly refused: string;
}

/** Where every scenario’s ratio is taken from. */
const REFERENCE = 'hit-1';

const ownNs = ({ subjectNs, stubNs }: Round): number => subjectNs - stubNs;

function figure(measured: Measured, all: readonly Measured[]): Figure | Refusal {
  const { subject, scenario } = measured.job;
  if (measured.refused !== null) return { subject, scenario, refused: measured.refused };
  const usable = all.filter(({ refused }) => refused === null);
  const own = measured.rounds.map(ownNs);
  const ns = median(own);
  const hit = usable.find(({ job }) => job.subject === subject && job.scenario === REFERENCE);
  const first = usable.find(({ job }) => job.scenario === scenario);
  return {
    subject,
    scenario,
    ns,
    lowNs: percentile(own, 0.1),
    highNs: percentile(own, 0.9),
    toStub: median(measured.rounds.map(({ subjectNs, stubNs }) => subjectNs / stubNs)),
    toHit: hit === undefined ? null : ns / median(hit.rounds.map(ownNs)),
    toFirst:
      first === undefined || first === measured
        ? null
        : median(own.map((value, round) => value / ownNs(first.rounds[round] as Round))),
  };
}

const ratio = (value: number | null): string => (value === null ? '' : value.toFixed(2));

function row(found: Figure | Refusal): string[] {
  const title = scenarios.find(({ name }) => name === found.scenario)?.title ?? found.scenario;
  if ('refused' in found) return [title, 'refused'];
  const { ns, lowNs, highNs, toStub, toHit, toFirst } = found;
  return [title, ratio(toHit), ratio(toStub), ns.toFixed(0), `${lowNs} to ${highNs}`, ratio(toFirst)];
}

function printSubject(subject: string, first: string, figures: readonly (Figure | Refusal)[]): void {
  console.log(`\n${subject}`);
  const headings = ['scenario', 'to hit, 1 flow', 'to the stub', 'ns a packet', '8 of 10 rounds'];
  if (subject !== first) headings.push(`to ${first}`);
  const rows = figures
    .filter((found) => found.subject === subject)
    .map((found) => row(found).slice(0, headings.length));
  printTable(headings, rows);
}

/** Prints all figures; returns false when one was refused. */
export function report(all: readonly Measured[], json: boolean): boolean {
  const figures = all.map((measured) => figure(measured, all));
  const stubNs = median(all.flatMap(({ rounds }) => rounds.map((round) => round.stubNs)));
  const machine = { cpu: cpus()[0]?.model ?? '', cpus: cpus().length, kernel: release() };
  const refusals = figures.filter((found) => 'refused' in found);
  if (json) {
    console.log(JSON.stringify({ machine, stubNs, figures }));
    return refusals.length === 0;
  }
  console.log(`${machine.cpu}, ${machine.cpus} CPUs, Linux ${machine.kernel}; wrapper and stub: ${stubNs} ns a packet`);
  const subjects = [...new Set(all.map(({ job }) => job.subject))];
  for (const subject of subjects) printSubject(subject, subjects[0] ?? '', figures);
  for (const { scenario, subject, refused } of refusals) console.log(`refused: ${scenario} of ${subject}: ${refused}`);
  return refusals.length === 0;
}
