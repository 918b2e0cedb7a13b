import { ethernetFrame, type Layers, payload } from './layers.ts';
import { LONGEST, mutated } from './mutate.ts';
import {
  echoPacket,
  errorPacket,
  flowPacket,
  fragmentPacket,
  longPacket,
  shortPacket,
  strangerPacket,
  withOptions,
} from './packets.ts';
import { Random } from './random.ts';
import { Scene } from './scene.ts';
import { cases, type FuzzCase } from './state.ts';
import { tunnelPacket } from './tunnels.ts';

/** Frames of every kind, right ones and wrong ones, as a seed determines them. */

export interface FuzzFrame {
  readonly bytes: Uint8Array;
  /** Nothing was broken on purpose. */
  readonly valid: boolean;
}

/** @param intact nothing shall be wrong with it */
type Kind = (scene: Scene, intact: boolean) => Layers;

const plainKinds: readonly (readonly [number, Kind])[] = [
  [56, (scene) => flowPacket(scene)],
  [4, longPacket],
  [6, echoPacket],
  [12, errorPacket],
  [6, fragmentPacket],
  [4, withOptions],
  [5, strangerPacket],
  [3, (scene, intact) => (intact ? flowPacket(scene) : shortPacket(scene))],
];

/** Padding up to what Ethernet wants at least, or none: NICs strip it at times. */
function inFrame({ random }: Scene, packet: Layers, type: number): Layers {
  const count = random.weighted([
    [70, 0],
    [12, 1],
    [6, 2],
    [1, 3],
  ]);
  const tags = Array.from({ length: count }, () => [random.pick([0x8100, 0x88a8]), random.below(0x10000)] as const);
  const missing = 60 - 14 - 4 * count - packet.bytes.length;
  const padding = missing > 0 && random.chance(0.5) ? Buffer.alloc(missing) : random.bytes(random.chance(0.1) ? 7 : 0);
  const to = random.chance(0.9) ? Buffer.from('020000000002', 'hex') : random.bytes(6);
  return ethernetFrame({ to, from: random.bytes(6), tags, type, padding }, packet);
}

function ipFrame(scene: Scene, packet: Layers): Layers {
  return inFrame(scene, packet, packet.bytes[0]! >> 4 === 4 ? 0x0800 : 0x86dd);
}

function tunnelFrame(scene: Scene, intact: boolean): Layers {
  const { random } = scene;
  const inner = random.weighted(plainKinds)(scene, intact);
  const broken = intact || random.chance(0.7) ? inner : mutated(random, inner);
  const once = tunnelPacket(scene, broken.bytes.length > 0 ? broken : inner);
  return ipFrame(scene, random.chance(0.1) ? tunnelPacket(scene, once) : once);
}

/** A frame without an IP packet. */
function otherFrame(scene: Scene): Layers {
  const { random } = scene;
  const type = random.pick([0x0806, 0x88cc, 0x0800, 0x86dd, random.below(0x10000)]);
  return inFrame(scene, payload(random.bytes(random.below(100))), type);
}

const kinds: readonly (readonly [number, Kind])[] = [
  [93, (scene, intact) => ipFrame(scene, scene.random.weighted(plainKinds)(scene, intact))],
  [12, tunnelFrame],
  [2, otherFrame],
];

/** How many of the frames are broken, and how many of these only inside, as they were built. */
const BROKEN = 0.45;
const LEFT_ALONE = 0.1;
/** Packets of a train before the first with a mistake. */
const FIRST_ALIKE = 4;

export class FrameFuzzer {
  readonly #random: Random;
  readonly #scene: Scene;

  constructor(seed: number, fuzzCase: FuzzCase) {
    this.#random = new Random(seed);
    this.#scene = new Scene(this.#random, fuzzCase);
  }

  /** 0 to 3,520 bytes. */
  next(broken: number = BROKEN): FuzzFrame {
    const valid = !this.#random.chance(broken);
    const frame = this.#random.weighted(kinds)(this.#scene, valid);
    const { bytes } = valid || this.#random.chance(LEFT_ALONE) ? frame : mutated(this.#random, frame);
    return { bytes: bytes.subarray(0, LONGEST), valid: valid && bytes.length <= LONGEST };
  }

  /** A packet of a flow again and again, as it is and with mistakes: by then the flow may be hot. */
  train(length: number): Uint8Array[] {
    const frame = ipFrame(this.#scene, flowPacket(this.#scene));
    return Array.from({ length }, (_, n) => {
      const { bytes } = n < FIRST_ALIKE || this.#random.chance(0.3) ? frame : mutated(this.#random, frame);
      return bytes.subarray(0, LONGEST);
    });
  }
}

/** How many of `total` frames go to each case. */
export function shares(total: number): Map<FuzzCase, number> {
  const weights = cases.reduce((sum, { weight }) => sum + weight, 0);
  return new Map(cases.map((one) => [one, Math.ceil((total * one.weight) / weights)]));
}
