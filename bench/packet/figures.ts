import { median, percentile } from '../stats.ts';
import type { Measured } from './measured.ts';
import type { Row } from './scenarios.ts';
import type { Wanted } from './subject.ts';
import type { Round } from './worker.ts';

/** Of one row, a subject’s own nanoseconds a packet: the wrapper and the stub taken off. */
interface Nanoseconds {
  readonly ns: number;
  /** The rounds between which eight of ten are. */
  readonly lowNs: number;
  readonly highNs: number;
}

export type Figure = Nanoseconds | { readonly refused: string } | { readonly absent: true };

export interface RowFigures {
  readonly row: string;
  readonly ours: Figure;
  /** Null when none was measured. */
  readonly peer: Figure | null;
  /** Round by round the peer’s nanoseconds to ours, the median; null when there are not both. */
  readonly times: number | null;
  /** Round by round ours to those of the smallest row that this one grows from; null when it grows from none. */
  readonly toSmallest: number | null;
  /** The same of the peer. */
  readonly peerToSmallest: number | null;
  /** What is wanted, and whether it is so; null when nothing is, or when that could not be told. */
  readonly wanted: { readonly words: string; readonly met: boolean } | null;
}

const ownNs = ({ subjectNs, stubNs }: Round): number => subjectNs - stubNs;

function figureOf(measured: Measured): Figure {
  if (measured.refused !== null) return { refused: measured.refused };
  if (measured.absent) return { absent: true };
  const own = measured.rounds.map(ownNs);
  return { ns: median(own), lowNs: percentile(own, 0.1), highNs: percentile(own, 0.9) };
}

/** Neighbouring rounds are compared, so that what slows the machine down for a while does so to both sides. */
function ratio(of: Measured | undefined, to: Measured | undefined): number | null {
  if (of === undefined || to === undefined || of === to) return null;
  const usable = [of, to].every(({ refused, absent }) => refused === null && !absent);
  return usable ? median(of.rounds.map((round, i) => ownNs(round) / ownNs(to.rounds[i]!))) : null;
}

interface Found {
  readonly ours: number;
  readonly peer: number | null;
  readonly times: number | null;
  readonly toSmallest: number | null;
}

function compare(wanted: Wanted, atMost: number | null, found: Found): RowFigures['wanted'] {
  const rules: { words: string; met: boolean }[] = [];
  if (wanted.times !== undefined && found.times !== null)
    rules.push({ words: `${wanted.times}x`, met: found.times >= wanted.times });
  if (wanted.atMostNs !== undefined)
    rules.push({ words: `at most ${wanted.atMostNs} ns`, met: found.ours <= wanted.atMostNs });
  if (wanted.atMostOverPeerNs !== undefined && found.peer !== null)
    rules.push({
      words: `at most ${wanted.atMostOverPeerNs} ns over the peer`,
      met: found.ours <= found.peer + wanted.atMostOverPeerNs,
    });
  if (atMost !== null && found.toSmallest !== null)
    rules.push({ words: `at most ${atMost}`, met: found.toSmallest <= atMost });
  if (rules.length === 0) return null;
  return { words: rules.map(({ words }) => words).join(', '), met: rules.every(({ met }) => met) };
}

/** What was measured of one row: Pilotfish, then the peer. */
export interface MeasuredRow {
  readonly row: Row;
  readonly subjects: readonly Measured[];
}

/** @param smallest what the row grows from, if it grows from anything */
export function figuresOf({ row, subjects }: MeasuredRow, smallest: MeasuredRow | null, wanted: Wanted): RowFigures {
  const [ours, peer] = subjects;
  if (ours === undefined) throw new Error(`nothing was measured of ${row.row}`);
  const own = figureOf(ours);
  const other = peer === undefined ? null : figureOf(peer);
  const times = ratio(peer, ours);
  const toSmallest = ratio(ours, smallest?.subjects[0]);
  return {
    row: row.row,
    ours: own,
    peer: other,
    times,
    toSmallest,
    peerToSmallest: ratio(peer, smallest?.subjects[1]),
    wanted:
      'ns' in own
        ? compare(wanted, row.growth?.atMost ?? null, {
            ours: own.ns,
            peer: other !== null && 'ns' in other ? other.ns : null,
            times,
            toSmallest,
          })
        : null,
  };
}
