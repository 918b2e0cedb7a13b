import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { indexKey } from '../../src/dataplane/codec.ts';
import type { BpfLink, BpfMap, BpfObject, BpfProgram } from '../../src/dataplane/native.ts';
import { interfaceIndex } from '../../src/dataplane/native.ts';
import { NapiThread } from './napi.ts';
import { frame } from './programs.ts';

const FIRST = indexKey(0);
/** Frames at once: a quarter of what the ring of a veth takes. */
const BATCH = 64;

/** What became of the frames of one burst, and what they cost. */
export interface Burst {
  /** CPU time of the thread that receives them, the program under test included. */
  readonly receiveNs: number;
  /** The same with making them, and with taking and freeing what comes back. */
  readonly allNs: number;
  /** Frames that the program under test was given. */
  readonly received: number;
  /** Frames that came back, and their bytes. */
  readonly returned: number;
  readonly returnedBytes: number;
}

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });

/** CPU time of this process, which makes the frames. */
function ownNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1_000;
}

/**
 * A veth pair with a program under test attached to one end, in native mode, and source and sink at the other, all on one CPU.
 * For a process in a network namespace of its own, with /sys mounted from there: what is not closed goes with it.
 */
export class Wire implements Disposable {
  readonly #end: string;
  readonly #ifindex: number;
  readonly #cpu: number;
  readonly #source: BpfProgram;
  readonly #links: readonly BpfLink[];
  readonly #arrived: BpfMap;
  readonly #receiver: NapiThread;
  readonly #sink: NapiThread;

  /**
   * @param name at most 14 characters, like that of no other wire on this machine: threads have it in theirs
   * @param object see loadPrograms; it belongs to this wire alone
   */
  constructor(name: string, subject: BpfProgram, object: BpfObject, cpu: number) {
    const start = `${name}a`;
    this.#end = `${name}b`;
    ip('link', 'add', start, 'type', 'veth', 'peer', 'name', this.#end);
    for (const device of [start, this.#end]) ip('link', 'set', device, 'up');
    this.#ifindex = indexOf(start);
    this.#cpu = cpu;
    this.#source = object.program('source');
    this.#arrived = object.map('arrived');
    this.#links = [
      object.program('sink').attachXdp(this.#ifindex, 'driver'),
      subject.attachXdp(indexOf(this.#end), 'driver'),
    ];
    this.#receiver = NapiThread.start(this.#end, cpu);
    this.#sink = NapiThread.start(start, cpu);
  }

  /** Sends as many frames as that, the next ones of all flows in turn. */
  burst(frames: number): Burst {
    const before = this.#counts();
    this.#source.testRun({
      data: frame,
      repeat: frames,
      batchSize: BATCH,
      liveFrames: true,
      ingressIfindex: this.#ifindex,
      cpu: this.#cpu,
    });
    const after = this.#counts();
    const receiveNs = after.receiveNs - before.receiveNs;
    return {
      receiveNs,
      allNs: receiveNs + after.sinkNs - before.sinkNs + after.ownNs - before.ownNs,
      received: after.received - before.received,
      returned: after.returned - before.returned,
      returnedBytes: after.returnedBytes - before.returnedBytes,
    };
  }

  [Symbol.dispose](): void {
    for (const link of this.#links) link.close();
    ip('link', 'del', this.#end);
  }

  #counts() {
    const value = this.#arrived.get(FIRST) ?? new Uint8Array();
    const lanes = new BigUint64Array(value.buffer, value.byteOffset, value.length / 8);
    const sum = (field: number): number =>
      Number(lanes.filter((_, index) => index % 2 === field).reduce((total, count) => total + count, 0n));
    return {
      returned: sum(0),
      returnedBytes: sum(1),
      received: Number(readFileSync(`/sys/class/net/${this.#end}/statistics/rx_packets`, 'utf8')),
      receiveNs: this.#receiver.ns(),
      sinkNs: this.#sink.ns(),
      ownNs: ownNs(),
    };
  }
}

function indexOf(device: string): number {
  const index = interfaceIndex(device);
  if (index === null) throw new Error(`${device} is gone`);
  return index;
}
