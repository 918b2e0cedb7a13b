/** One row, in a process with network and mount namespaces of its own: nothing outside sees its interfaces. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { messageOf } from '../../src/core/errors.ts';
import { load } from '../packet/ours.ts';
import { rows } from '../packet/scenarios.ts';
import type { Subject } from '../packet/subject.ts';
import { frame, loadPrograms, outerBytes } from './programs.ts';
import type { WireRow } from './rows.ts';
import { type Burst, Wire } from './wire.ts';

/** The worker’s only argument, as JSON. */
export interface Job {
  readonly row: WireRow;
  /** Path of the build of our program that is measured. */
  readonly object: string;
  readonly rounds: number;
  /** Frames of one measurement. */
  readonly packets: number;
  readonly cpu: number;
}

/** Nanoseconds of CPU time a packet. */
export interface Cost {
  /** Of the thread that receives. */
  readonly receiveNs: number;
  /** Of all that the packet met: source and sink included. */
  readonly allNs: number;
}

/** Measured one right after the other. */
export interface Round {
  readonly ours: Cost;
  readonly bare: Cost;
  readonly drop: Cost;
}

/** Once. */
export type Answer = { readonly rounds: readonly Round[] } | { readonly refused: string };

/** What has to come back. */
interface Expected {
  readonly frames: number;
  readonly bytes: number;
}

/** @throws when a frame was lost, or came back longer or shorter than it should */
function costOf(subject: string, burst: Burst, sent: number, expected: Expected): Cost {
  const { received, returned, returnedBytes } = burst;
  if (received !== sent) throw new Error(`${subject}: of ${sent} frames ${received} arrived`);
  if (returned !== expected.frames || returnedBytes !== expected.bytes)
    throw new Error(
      `${subject}: of ${sent} frames ${returned} of ${returnedBytes} bytes came back, not ${expected.frames} of ${expected.bytes}`,
    );
  return { receiveNs: burst.receiveNs / sent, allNs: burst.allNs / sent };
}

/** Our program with maps as bench/packet.ts has them for hits: room for twice the flows, and no limit on new ones. */
async function loadOurs({ row: { encap, flows }, object }: Job): Promise<Subject> {
  const hits = rows.find((row) => row.name === 'hit-1m' && row.encap === encap);
  const subject = hits === undefined ? null : await load(object, 'pilotfish', { ...hits, flows });
  if (subject === null) throw new Error(`there is no row of hits over ${encap}`);
  return subject;
}

async function measure(job: Job): Promise<Round[]> {
  const { row, rounds, packets, cpu } = job;
  const subject = await loadOurs(job);
  const wireTo = async (name: string, program?: Subject['program']): Promise<Wire> => {
    const object = await loadPrograms(row.flows);
    return new Wire(`pw${process.pid}${name[0]}`, program ?? object.program(name), object, cpu);
  };
  using ours = await wireTo('ours', subject.program);
  using bare = await wireTo(`bare_${row.encap}`);
  using drop = await wireTo('drop');
  const through = { frames: packets, bytes: packets * (frame.length + outerBytes[row.encap]) };
  const nothing = { frames: 0, bytes: 0 };

  // Every flow is remembered from here on, and the kernel has the pages that it needs.
  for (const wire of [ours, bare, drop]) wire.burst(Math.max(row.flows, packets));
  await subject.afterWarmUp();
  const measured: Round[] = [];
  while (measured.length < rounds) {
    measured.push({
      ours: costOf('ours', ours.burst(packets), packets, through),
      bare: costOf('bare', bare.burst(packets), packets, through),
      drop: costOf('drop', drop.burst(packets), packets, nothing),
    });
    const refused = subject.verify(packets);
    if (refused !== null) throw new Error(`ours: ${refused}`);
    // So that the end of the parent is noticed between rounds.
    await setImmediate();
  }
  return measured;
}

// What else runs on this CPU would take its caches.
setPriority(constants.priority.PRIORITY_HIGHEST);
// The parent is gone: nobody wants an answer, and with this process its namespaces go, and all that is in them.
process.on('disconnect', () => process.exit(0));
// That of the new network namespace; the mount namespace keeps it from everybody else.
execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys']);
// Or the kernel would look for neighbours and routers on the veths.
writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
const answer: Answer = await measure(JSON.parse(process.argv[2] ?? '') as Job).then(
  (rounds) => ({ rounds }),
  (error: unknown) => ({ refused: messageOf(error) }),
);
process.send?.(answer, () => process.disconnect());
