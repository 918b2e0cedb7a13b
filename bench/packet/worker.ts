/** One subject in one row, in a process of its own: a round whenever the parent asks for one. */
import { constants, setPriority } from 'node:os';
import { messageOf } from '../../src/core/errors.ts';
import { Rig } from './rig.ts';
import { type Row, rows } from './scenarios.ts';
import type { PeerModule, Subject } from './subject.ts';

/** The worker’s only argument, as JSON. */
export interface Job {
  /** What its figures are printed under. */
  readonly subject: string;
  readonly object: string;
  readonly program: string;
  /** URL of the module that exports `load`. */
  readonly populate: string;
  readonly row: string;
  readonly cpu: number;
  /** Packets of one measurement. */
  readonly packets: number;
}

/** Nanoseconds a packet, wrapper included. */
export interface Round {
  readonly subjectNs: number;
  readonly stubNs: number;
}

/** Once after the warm-up, then once for each request. */
export type Answer =
  | { readonly ready: true }
  | { readonly round: Round }
  | { readonly refused: string }
  | { readonly absent: true };

/** Packets of one call while warming up. */
const WARM_UP_STEP = 2 ** 20;

async function prepare({ object, program, populate, cpu, packets }: Job, row: Row): Promise<(() => Answer) | null> {
  const { load } = (await import(populate)) as PeerModule;
  const subject = await load(object, program, row);
  if (subject === null) return null;
  const rig = await Rig.load(row, subject.program, cpu);
  for (let sent = 0; sent < row.warmUp; sent += WARM_UP_STEP) rig.runSubject(sent, WARM_UP_STEP);
  await subject.afterWarmUp();
  let next = row.warmUp;
  return () => {
    const first = next;
    next += 2 * packets;
    return measure(rig, subject, first, packets);
  };
}

/** Since the last round others had the caches, and much of what holds for a while is over: as many packets as are timed come first. */
function measure(rig: Rig, subject: Subject, firstPacket: number, packets: number): Answer {
  rig.runSubject(firstPacket, packets);
  const subjectNs = rig.runSubject(firstPacket + packets, packets);
  const stubNs = rig.runStub(firstPacket + packets, packets);
  const refused = subject.verify(2 * packets);
  return refused === null ? { round: { subjectNs, stubNs } } : { refused };
}

const answer = (message: Answer): void => void process.send?.(message);

const job = JSON.parse(process.argv[2] ?? '') as Job;
const row = rows.find((candidate) => candidate.row === job.row);
if (row === undefined) throw new Error(`there is no row ${job.row}`);
// What else runs on this CPU would be measured with it.
setPriority(constants.priority.PRIORITY_HIGHEST);
// The parent is gone: nobody wants an answer, and with this process its programs and maps go too.
process.on('disconnect', () => process.exit(0));
try {
  const round = await prepare(job, row);
  process.on('message', () => {
    try {
      if (round !== null) answer(round());
    } catch (error) {
      answer({ refused: messageOf(error) });
    }
  });
  answer(round === null ? { absent: true } : { ready: true });
} catch (error) {
  answer({ refused: messageOf(error) });
}
