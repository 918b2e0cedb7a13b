import { Tracer } from '../../src/dataplane/tracer.ts';
import { Model } from '../model/program.ts';
import { World } from '../model/world.ts';
import { Forwarding } from './forwarding.ts';
import type { FuzzCase } from './state.ts';

/** The program in the kernel, both the object that tells what it decides and the one that forwards, and the model, side by side over the same frames. */

/** Everything that the two are compared by, as text. */
interface Answer {
  readonly said: string;
  readonly frame: string;
}

/** A kernel’s test run takes no shorter frame. */
const SHORTEST = 14;

function hex(frame: Uint8Array | null): string {
  return frame === null ? '' : Buffer.from(frame).toString('hex');
}

function answer(from: {
  readonly action: string;
  readonly reason: string | null;
  readonly vip: string | null;
  readonly pool: string | null;
  readonly real: string | null;
  readonly path: string | null;
  readonly slot: number | null;
  readonly events: readonly string[] | null;
  readonly frame: Uint8Array | null;
}): Answer {
  const { action, reason, vip, pool, real, path, slot, events, frame } = from;
  const said = [action, reason, vip, pool, real, path, slot, (events ?? []).toSorted().join('+') || null];
  return { said: said.map((word) => word ?? '-').join(' '), frame: hex(frame) };
}

/** Where two texts differ first, in bytes. */
function firstDifference(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at >> 1;
}

export class Comparison implements Disposable {
  readonly #tracer: Tracer;
  readonly #forwarding: Forwarding;
  readonly #model: Model;
  readonly #name: string;
  /** Frames by reason. */
  readonly reasons = new Map<string, number>();

  private constructor(tracer: Tracer, forwarding: Forwarding, { name, snapshot, host }: FuzzCase) {
    this.#tracer = tracer;
    this.#forwarding = forwarding;
    this.#model = new Model(new World(snapshot, host));
    this.#name = name;
  }

  /** @param frames how many there will be, at most */
  static async load(fuzzCase: FuzzCase, frames: number): Promise<Comparison> {
    const { snapshot, host } = fuzzCase;
    const tracer = await Tracer.load({ snapshot, host, egress: host.egress, frames });
    return new Comparison(tracer, await Forwarding.load(fuzzCase, frames), fuzzCase);
  }

  /** @returns how the two disagree; null: they do not */
  disagreement(frame: Uint8Array): string | null {
    const model = this.#model.run(frame);
    this.reasons.set(model.reason, (this.reasons.get(model.reason) ?? 0) + 1);
    if (frame.length < SHORTEST) return null;
    const expected = answer(model);
    const got = answer(this.#tracer.trace(frame));
    const sent = this.#forwarding.send(frame);
    if (expected.said === got.said && expected.frame === got.frame) {
      if (sent.action === model.action && hex(sent.frame) === expected.frame) return null;
      return [
        `case    ${this.#name}`,
        `frame   ${hex(frame)}`,
        `model and program for tracing: ${expected.said}\n${expected.frame}`,
        `the one that forwards: ${sent.action}\n${hex(sent.frame)}`,
      ].join('\n');
    }
    const lines = [`case    ${this.#name}`, `frame   ${hex(frame)}`, `model   ${expected.said}`, `program ${got.said}`];
    if (expected.frame !== got.frame)
      lines.push(
        `model's frame   ${expected.frame}`,
        `program's frame ${got.frame}`,
        `first different byte: ${firstDifference(expected.frame, got.frame)}`,
      );
    return lines.join('\n');
  }

  [Symbol.dispose](): void {
    this.#tracer[Symbol.dispose]();
    this.#forwarding[Symbol.dispose]();
  }
}
