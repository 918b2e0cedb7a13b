import { fileURLToPath } from 'node:url';
import { indexKey } from '../../src/dataplane/codec.ts';
import type { BpfMap, BpfObject, BpfProgram } from '../../src/dataplane/native.ts';
import { openObject } from '../../src/dataplane/native.ts';
import { CLIENT, CLIENT_PORT, FIRST_VIP, frameOf, OTHER } from './frames.ts';
import type { Scenario } from './scenarios.ts';

const WRAPPER = fileURLToPath(new URL('../../build/bench/wrapper.bpf.o', import.meta.url));
const XDP_PASS = 2;
const XDP_TX = 3;
const FIRST = indexKey(0);

/** struct wrapper_settings of bench/bpf/wrapper.bpf.c. */
function wrapperSettings({ flows, vips }: Scenario, frame: Uint8Array, destination: number): Uint8Array {
  const words = Uint32Array.of(CLIENT, destination, CLIENT_PORT, flows - 1, vips - 1, 0);
  return Buffer.concat([frame, new Uint8Array(words.buffer)]);
}

/** The wrapper with its stub in the kernel, for one scenario on one CPU. */
export class Rig {
  readonly #object: BpfObject;
  readonly #wrapper: BpfProgram;
  readonly #stub: BpfProgram;
  readonly #slot: BpfMap;
  readonly #next: BpfMap;
  readonly #frame: Uint8Array;
  readonly #verdict: number;
  readonly #cpu: number;

  static async load(scenario: Scenario, cpu: number): Promise<Rig> {
    const destination = scenario.path === 'not a VIP' ? OTHER : FIRST_VIP;
    const frame = frameOf(scenario.kind, destination, 80);
    const object = openObject(WRAPPER);
    object.setRodata(wrapperSettings(scenario, frame, destination));
    await object.load();
    return new Rig(object, frame, scenario, cpu);
  }

  private constructor(object: BpfObject, frame: Uint8Array, scenario: Scenario, cpu: number) {
    this.#object = object;
    this.#wrapper = object.program('wrapper');
    this.#stub = object.program('stub');
    this.#slot = object.map('subject');
    this.#next = object.map('next_packet');
    this.#frame = frame;
    this.#verdict = scenario.path === 'flow cache' || scenario.path === 'ring' ? XDP_TX : XDP_PASS;
    this.#cpu = cpu;
  }

  /** Nanoseconds a packet, wrapper included. @throws when the last verdict is not the scenario’s */
  runSubject(program: BpfProgram, firstPacket: number, packets: number): number {
    return this.#run(program, this.#verdict, firstPacket, packets);
  }

  /** The same for the stub in place of a program. */
  runStub(firstPacket: number, packets: number): number {
    return this.#run(this.#stub, XDP_TX, firstPacket, packets);
  }

  close(): void {
    this.#object.close();
  }

  #run(program: BpfProgram, verdict: number, firstPacket: number, packets: number): number {
    this.#slot.put(FIRST, indexKey(program.fd));
    this.#next.put(FIRST, new Uint8Array(BigUint64Array.of(BigInt(firstPacket)).buffer));
    const { retval, durationNs } = this.#wrapper.testRun({ data: this.#frame, repeat: packets, cpu: this.#cpu });
    if (retval !== verdict)
      throw new Error(`the last verdict is ${retval}, not ${verdict} (linux/bpf.h: enum xdp_action)`);
    return durationNs;
  }
}
