import { cpus, release } from 'node:os';
import { printTable } from '../stats.ts';
import type { Figure, RowFigures } from './figures.ts';

const ns = (figure: Figure | null): string => {
  if (figure === null) return '';
  if ('refused' in figure) return 'refused';
  return 'absent' in figure ? '-' : figure.ns.toFixed(0);
};

const spread = (figure: Figure | null): string =>
  figure !== null && 'ns' in figure ? `${figure.lowNs} to ${figure.highNs}` : '';

const ratio = (value: number | null): string => (value === null ? '' : value.toFixed(2));

const met = (wanted: RowFigures['wanted']): string => (wanted === null ? '' : wanted.met ? 'yes' : 'no');

interface Column {
  readonly heading: string;
  readonly cell: (figures: RowFigures) => string;
}

/** A column without a word in it is left out. */
const columns: readonly Column[] = [
  { heading: 'row', cell: ({ row }) => row },
  { heading: 'peer / ours', cell: ({ times }) => ratio(times) },
  { heading: 'to smallest', cell: ({ toSmallest }) => ratio(toSmallest) },
  { heading: 'peer to smallest', cell: ({ peerToSmallest }) => ratio(peerToSmallest) },
  { heading: 'wanted', cell: ({ wanted }) => wanted?.words ?? '' },
  { heading: 'met', cell: ({ wanted }) => met(wanted) },
  { heading: 'ours, ns', cell: ({ ours }) => ns(ours) },
  { heading: '8 of 10 rounds', cell: ({ ours }) => spread(ours) },
  { heading: 'peer, ns', cell: ({ peer }) => ns(peer) },
  { heading: '8 of 10 rounds', cell: ({ peer }) => spread(peer) },
];

function printFigures(all: readonly RowFigures[]): void {
  const used = columns.filter(({ cell }) => all.some((figures) => cell(figures) !== ''));
  printTable(
    used.map(({ heading }) => heading),
    all.map((figures) => used.map(({ cell }) => cell(figures))),
  );
}

/** In a line, for whoever waits for the rest. */
export function rowInShort(figures: RowFigures): string {
  const { row, ours, peer, times, toSmallest, wanted } = figures;
  const parts = [`ours, ns: ${ns(ours)}`];
  if (peer !== null) parts.push(`peer, ns: ${ns(peer)}`);
  if (times !== null) parts.push(`peer / ours: ${ratio(times)}`);
  if (toSmallest !== null) parts.push(`to smallest: ${ratio(toSmallest)}`);
  if (wanted !== null) parts.push(`wanted ${wanted.words}: ${met(wanted)}`);
  return `${row}: ${parts.join(', ')}`;
}

function refusals({ row, ours, peer }: RowFigures): string[] {
  return [
    { subject: 'ours', figure: ours },
    { subject: 'peer', figure: peer },
  ].flatMap(({ subject, figure }) =>
    figure !== null && 'refused' in figure ? [`refused: ${row}, ${subject}: ${figure.refused}`] : [],
  );
}

/** Prints all figures; returns false when one was refused. */
export function report(all: readonly RowFigures[], stubNs: number, json: boolean): boolean {
  const machine = { cpu: cpus()[0]?.model ?? '', cpus: cpus().length, kernel: release() };
  const refused = all.flatMap(refusals);
  if (json) {
    console.log(JSON.stringify({ machine, stubNs, figures: all }));
    return refused.length === 0;
  }
  console.log(
    `${machine.cpu}, ${machine.cpus} CPUs, Linux ${machine.kernel}; wrapper and stub: ${stubNs} ns a packet\n`,
  );
  printFigures(all);
  for (const line of refused) console.log(line);
  return refused.length === 0;
}
