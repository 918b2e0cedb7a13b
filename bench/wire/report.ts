import { cpus, release } from 'node:os';
import { median, percentile, printTable } from '../stats.ts';
import type { WireRow } from './rows.ts';
import type { Answer, Cost, Round } from './worker.ts';

/** The rounds between which eight of ten are, and the one in the middle. */
interface Figure {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Packets per CPU-second, all that the CPU does for them included; ratios are those of each round. */
interface Figures {
  readonly ours: Figure;
  readonly bare: Figure;
  readonly drop: Figure;
  /** Ours to the bare encapsulation’s. */
  readonly ratio: Figure;
  /** The ratio where the CPU time is that of the thread alone that receives and runs the program. */
  readonly ratioOfReceiver: Figure;
  /** How many nanoseconds of that thread a packet takes more than with the bare encapsulation. */
  readonly moreNs: Figure;
}

export interface RowFigures {
  readonly row: string;
  /** Of `ratio`. */
  readonly wanted: number;
  readonly figures: Figures | null;
  /** Why there are none. */
  readonly refused: string | null;
}

const figure = (rounds: readonly Round[], of: (round: Round) => number): Figure => {
  const values = rounds.map(of);
  return { median: median(values), low: percentile(values, 0.1), high: percentile(values, 0.9) };
};

const perSecond = ({ allNs }: Cost): number => 1e9 / allNs;

export function figuresOf({ row, wanted }: WireRow, answer: Answer): RowFigures {
  if ('refused' in answer) return { row, wanted, figures: null, refused: answer.refused };
  const of = (value: (round: Round) => number): Figure => figure(answer.rounds, value);
  const figures: Figures = {
    ours: of(({ ours }) => perSecond(ours)),
    bare: of(({ bare }) => perSecond(bare)),
    drop: of(({ drop }) => perSecond(drop)),
    ratio: of(({ ours, bare }) => bare.allNs / ours.allNs),
    ratioOfReceiver: of(({ ours, bare }) => bare.receiveNs / ours.receiveNs),
    moreNs: of(({ ours, bare }) => ours.receiveNs - bare.receiveNs),
  };
  return { row, wanted, figures, refused: null };
}

const millions = ({ median: value }: Figure): string => (value / 1e6).toFixed(2);
const spread = ({ low, high }: Figure): string => `${low.toFixed(2)} to ${high.toFixed(2)}`;

interface Column {
  readonly heading: string;
  readonly cell: (figures: Figures) => string;
}

const columns: readonly Column[] = [
  { heading: '8 of 10 rounds', cell: ({ ratio }) => spread(ratio) },
  { heading: 'ours', cell: ({ ours }) => millions(ours) },
  { heading: 'bare', cell: ({ bare }) => millions(bare) },
  { heading: 'XDP_DROP', cell: ({ drop }) => millions(drop) },
  { heading: 'receiver alone', cell: ({ ratioOfReceiver }) => ratioOfReceiver.median.toFixed(2) },
  { heading: '8 of 10 rounds', cell: ({ ratioOfReceiver }) => spread(ratioOfReceiver) },
  { heading: 'ns more', cell: ({ moreNs }) => moreNs.median.toFixed(0) },
];

/** In front of the columns: the row, its ratio and what is wanted of that. */
const inFront = ({ row, wanted, figures }: RowFigures): string[] => [
  row,
  figures?.ratio.median.toFixed(2) ?? 'refused',
  wanted.toFixed(2),
];

/** In a line, for whoever waits for the rest. */
export function rowInShort(figures: RowFigures): string {
  const [row, ratio, wanted] = inFront(figures);
  return `${row}: ours / bare: ${ratio}, wanted ${wanted}`;
}

/** Prints all figures; returns false when one was refused. */
export function report(all: readonly RowFigures[], json: boolean): boolean {
  const machine = { cpu: cpus()[0]?.model ?? '', cpus: cpus().length, kernel: release() };
  if (json) {
    console.log(JSON.stringify({ machine, figures: all }));
    return all.every(({ refused }) => refused === null);
  }
  console.log(`${machine.cpu}, ${machine.cpus} CPUs, Linux ${machine.kernel}; millions of packets per CPU-second\n`);
  printTable(
    ['row', 'ours / bare', 'wanted', ...columns.map(({ heading }) => heading)],
    all.map((one) => [...inFront(one), ...columns.map(({ cell }) => (one.figures === null ? '' : cell(one.figures)))]),
  );
  for (const { row, refused } of all) if (refused !== null) console.log(`refused: ${row}: ${refused}`);
  return all.every(({ refused }) => refused === null);
}
