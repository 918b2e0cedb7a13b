/** One subject in one scenario, in a process of its own: a round whenever the parent asks for one. */
import { messageOf } from '../../src/core/errors.ts';
import { Rig } from './rig.ts';
import type { Scenario } from './scenarios.ts';
import { PACKETS, scenarios } from './scenarios.ts';
import type { LoadSubject, Subject } from './subject.ts';

/** The worker’s only argument, as JSON. */
export interface Job {
  /** What its figures are printed under. */
  readonly subject: string;
  readonly object: string;
  readonly program: string;
  /** URL of the module that exports `load`. */
  readonly populate: string;
  readonly scenario: string;
  readonly cpu: number;
}

/** Nanoseconds a packet, wrapper included. */
export interface Round {
  readonly subjectNs: number;
  readonly stubNs: number;
}

/** Once after the warm-up, then once for each request. */
export type Answer = { readonly ready: true } | { readonly round: Round } | { readonly refused: string };

async function prepare({ object, program, populate, cpu }: Job, scenario: Scenario): Promise<() => Answer> {
  const { load } = (await import(populate)) as { load: LoadSubject };
  // The wrapper is first: what uses an array of programs first settles which ones may go into it.
  const rig = await Rig.load(scenario, cpu);
  const subject = await load(object, program, scenario);
  for (let sent = 0; sent < scenario.warmUp; sent += PACKETS) rig.runSubject(subject.program, sent, PACKETS);
  await subject.afterWarmUp();
  let next = scenario.warmUp;
  return () => {
    const first = next;
    next += PACKETS;
    return measure(rig, subject, first);
  };
}

function measure(rig: Rig, subject: Subject, firstPacket: number): Answer {
  const stubNs = rig.runStub(firstPacket, PACKETS);
  const subjectNs = rig.runSubject(subject.program, firstPacket, PACKETS);
  const refused = subject.verify(PACKETS);
  return refused === null ? { round: { subjectNs, stubNs } } : { refused };
}

const answer = (message: Answer): void => void process.send?.(message);

const job = JSON.parse(process.argv[2] ?? '') as Job;
const scenario = scenarios.find(({ name }) => name === job.scenario);
if (scenario === undefined) throw new Error(`there is no scenario ${job.scenario}`);
// The parent is gone: nobody wants an answer, and with this process its programs and maps go too.
process.on('disconnect', () => process.exit(0));
try {
  const round = await prepare(job, scenario);
  process.on('message', () => {
    try {
      answer(round());
    } catch (error) {
      answer({ refused: messageOf(error) });
    }
  });
  answer({ ready: true });
} catch (error) {
  answer({ refused: messageOf(error) });
}
