import { fileURLToPath } from 'node:url';
import { PilotfishError } from '../../src/core/errors.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import type { BpfMap, BpfObject, BpfProgram } from '../../src/dataplane/native.ts';
import { openObject } from '../../src/dataplane/native.ts';
import { CLIENT, CLIENT_PORT, FIRST_VIP, type Frame, frameOf, OTHER, RESTORED_BYTES } from './frames.ts';
import { FIRST_SERVER_ID, type Row, SERVER_IDS } from './scenarios.ts';

/** One for each kind of program that XDP tells apart: `xdp` and `xdp.frags`. */
const WRAPPERS = ['wrapper', 'wrapper-frags'].map((name) =>
  fileURLToPath(new URL(`../../build/bench/${name}.bpf.o`, import.meta.url)),
);
const XDP_PASS = 2;
const XDP_TX = 3;
const FIRST = indexKey(0);

/** Bytes of outer headers. */
const OUTER_IP = { 4: 20, 6: 40 } as const;
const OUTER_UDP = 8;

interface Expected {
  /** Enum xdp_action of linux/bpf.h. */
  readonly verdict: number;
  /** By how many bytes the frame has grown. */
  readonly growth: number;
}

function expectedOf({ path, realFamily, encap }: Row): Expected {
  if (path === 'not a VIP' || path === 'not IP') return { verdict: XDP_PASS, growth: 0 };
  if (path === 'echo reply') return { verdict: XDP_TX, growth: 0 };
  return { verdict: XDP_TX, growth: OUTER_IP[realFamily] + (encap === 'gue' ? OUTER_UDP : 0) };
}

/** struct wrapper_settings of bench/bpf/wrapper.h. */
function wrapperSettings({ flows, vips }: Row, frame: Frame, destination: number): Uint8Array {
  const words = Uint32Array.of(
    frame.bytes.length,
    frame.source,
    frame.destination,
    frame.port,
    frame.id,
    CLIENT,
    destination,
    CLIENT_PORT,
    FIRST_SERVER_ID,
    flows - 1,
    vips - 1,
    SERVER_IDS - 1,
  );
  return Buffer.concat([frame.bytes.subarray(0, RESTORED_BYTES), new Uint8Array(words.buffer)]);
}

/** What the kernel says when a program is of the other kind. */
const isWrongKind = (error: unknown): boolean =>
  error instanceof PilotfishError && (error.cause as { code?: unknown } | undefined)?.code === 'EINVAL';

/** The wrapper with its stub in the kernel before one program, for one row on one CPU. */
export class Rig {
  readonly #object: BpfObject;
  readonly #wrapper: BpfProgram;
  readonly #stub: BpfProgram;
  readonly #slot: BpfMap;
  readonly #next: BpfMap;
  readonly #subject: BpfProgram;
  readonly #frame: Uint8Array;
  readonly #expected: Expected;
  readonly #cpu: number;

  static async load(row: Row, subject: BpfProgram, cpu: number): Promise<Rig> {
    let refusal: unknown;
    for (const path of WRAPPERS) {
      const rig = await Rig.#with(path, row, subject, cpu);
      try {
        rig.#slot.put(FIRST, indexKey(subject.fd));
        return rig;
      } catch (error) {
        rig.close();
        if (!isWrongKind(error)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  static async #with(path: string, row: Row, subject: BpfProgram, cpu: number): Promise<Rig> {
    const destination = row.path === 'not a VIP' ? OTHER : FIRST_VIP;
    const frame = frameOf(row.kind, row.family, destination, 80);
    const object = openObject(path);
    object.setRodata(wrapperSettings(row, frame, destination));
    await object.load();
    return new Rig(object, subject, frame.bytes, expectedOf(row), cpu);
  }

  private constructor(object: BpfObject, subject: BpfProgram, frame: Uint8Array, expected: Expected, cpu: number) {
    this.#object = object;
    this.#wrapper = object.program('wrapper');
    this.#stub = object.program('stub');
    this.#slot = object.map('subject');
    this.#next = object.map('next_packet');
    this.#subject = subject;
    this.#frame = frame;
    this.#expected = expected;
    this.#cpu = cpu;
  }

  /** Nanoseconds a packet, wrapper included. @throws when the last packet did not end as the row’s packets do */
  runSubject(firstPacket: number, packets: number): number {
    return this.#run(this.#subject, this.#expected, firstPacket, packets);
  }

  /** The same for the stub in place of the program. */
  runStub(firstPacket: number, packets: number): number {
    return this.#run(this.#stub, { verdict: XDP_TX, growth: 0 }, firstPacket, packets);
  }

  close(): void {
    this.#object.close();
  }

  #run(program: BpfProgram, { verdict, growth }: Expected, firstPacket: number, packets: number): number {
    this.#slot.put(FIRST, indexKey(program.fd));
    this.#next.put(FIRST, new Uint8Array(BigUint64Array.of(BigInt(firstPacket)).buffer));
    const { retval, data, durationNs } = this.#wrapper.testRun({ data: this.#frame, repeat: packets, cpu: this.#cpu });
    if (retval !== verdict)
      throw new Error(`the last verdict is ${retval}, not ${verdict} (linux/bpf.h: enum xdp_action)`);
    const grown = data.length - this.#frame.length;
    if (grown !== growth) throw new Error(`the last frame grew by ${grown} bytes, not by ${growth}`);
    return durationNs;
  }
}
