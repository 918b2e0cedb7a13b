import { addressBytes } from '../../src/core/address.ts';
import type { Address } from '../../src/core/model.ts';
import type { BpfProgram } from '../../src/dataplane/native.ts';
import { FIRST_VIP, frameOf } from '../packet/frames.ts';

/** In an encapsulated frame with an Ethernet and an IPv4 header. */
const OUTER_DESTINATION = 30;
const PROBES = 4;

/** Connections that a real has as long as it is in the ring: packets through the program tell which ring is in force. */
export class Probe {
  readonly #program: BpfProgram;
  readonly #real: Uint8Array;
  readonly #frames: readonly Uint8Array[];

  /** @param real is in the ring now @throws when the program sends it nothing */
  constructor(program: BpfProgram, real: Address) {
    this.#program = program;
    this.#real = addressBytes(real);
    this.#frames = [...this.#find().take(PROBES)];
    if (this.#frames.length < PROBES) throw new Error(`no packet reaches ${real}`);
  }

  /** How many of the connections would go to the real if they began now: all, or none once it is out of the ring. */
  reached(): 'all' | 'none' | 'some' {
    const count = this.#frames.filter((frame) => this.#goesThere(frame)).length;
    return count === 0 ? 'none' : count === this.#frames.length ? 'all' : 'some';
  }

  *#find(): Generator<Uint8Array> {
    for (let port = 1; port <= 65_535; port++) {
      const frame = frameOf('tcp-syn', 4, FIRST_VIP, 80);
      new DataView(frame.bytes.buffer).setUint16(frame.port, port);
      if (this.#goesThere(frame.bytes)) yield frame.bytes;
    }
  }

  #goesThere(frame: Uint8Array): boolean {
    const { data } = this.#program.testRun({ data: frame });
    return Buffer.compare(data.subarray(OUTER_DESTINATION, OUTER_DESTINATION + 4), this.#real) === 0;
  }
}
