import { readFileSync } from 'node:fs';
import type { Snapshot } from '../core/model.ts';
import { plan } from '../core/plan.ts';
import { RingBuilder } from '../core/ring-builder.ts';
import type { HostImage } from '../core/target.ts';
import { buildTarget } from '../core/target.ts';
import { allUp } from '../core/verdicts.ts';
import { decode } from './codec.ts';
import { reasonNames } from './counters.ts';
import { MapDataPlane } from './dataplane.ts';
import { BUCKET_ENTRIES } from './flow-cache.ts';
import { enums, structs } from './layout.gen.ts';
import { type BpfProgram, unmap } from './native.ts';
import { loadProgram } from './program.ts';

/** Enum xdp_action of linux/bpf.h. */
const actions = ['ABORTED', 'DROP', 'PASS', 'TX', 'REDIRECT'] as const;
export type Action = (typeof actions)[number];

/** How the real of a packet was found; null: none was. */
const paths = Object.keys(enums.pf_path)
  .slice(0, enums.pf_path.PF_PATH_COUNT)
  .map((name) => (name === 'PF_PATH_NONE' ? null : name.slice('PF_PATH_'.length).toLowerCase()));

/**
 * Longest frame that the kernel’s test run hands to a program in one piece: a page of 4,096 bytes less 256 of headroom and
 * 320 at its end. Of a longer one the program would see only the first part, and take the packet for a malformed one.
 */
export const LONGEST_FRAME = 3_520;
/** The kernel’s test run takes no frame without an Ethernet header. */
const SHORTEST_FRAME = 14;
/** An agent has so many unless told otherwise. */
const MOST_FLOWS = 2 ** 20;

/** What became of a frame. Names are null where there is nothing to name. */
export interface Traced {
  readonly action: Action;
  readonly reason: string;
  readonly vip: string | null;
  readonly pool: string | null;
  /** Address of the real that was chosen, also when the packet is dropped later. */
  readonly real: string | null;
  /** `cache` or `ring`. */
  readonly path: string | null;
  /** Of the ring; null when it was not asked. */
  readonly slot: number | null;
  /** As it leaves, or goes up to the host; null when it does neither. */
  readonly frame: Uint8Array | null;
}

const nothing = { vip: null, pool: null, real: null, path: null, slot: null } as const;

/** By number, as the maps have them. */
interface Names {
  readonly vips: ReadonlyMap<number, string>;
  readonly pools: ReadonlyMap<number, string>;
  readonly reals: ReadonlyMap<number, string>;
}

export interface TracerOptions {
  readonly snapshot: Snapshot;
  readonly host: HostImage;
  /** How many frames there will be: the flow cache gets a bucket for each, so that hardly a flow pushes another out. */
  readonly frames: number;
}

/** All frames go to one CPU: its flow cache has to be the same for all of them. */
function firstAllowedCpu(): number {
  return Number(/^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0);
}

/** The real program in the kernel, attached to nothing, with maps of its own that go with it. */
export class Tracer implements Disposable {
  readonly #program: BpfProgram;
  readonly #decision: Uint8Array;
  readonly #names: Names;
  readonly #cpu = firstAllowedCpu();

  private constructor(program: BpfProgram, decision: Uint8Array, names: Names) {
    this.#program = program;
    this.#decision = decision;
    this.#names = names;
  }

  /**
   * Loads the program and fills its maps from the state, every real taken as up.
   * @throws PilotfishError PF_ADDON, PF_OBJECT, PF_LAYOUT, PF_VERIFIER, PF_CAPABILITY
   */
  static async load({ snapshot, host, frames }: TracerOptions): Promise<Tracer> {
    const loaded = await loadProgram({
      vips: Math.max(1, snapshot.vips.size),
      pools: Math.max(1, snapshot.pools.size),
      reals: Math.max(1, [...snapshot.pools.values()].flatMap((pool) => pool.reals).length),
      flowsPerCpu: Math.min(MOST_FLOWS, frames * BUCKET_ENTRIES),
      tracing: true,
    });
    try {
      const dataPlane = new MapDataPlane(loaded.store, new RingBuilder(1));
      const target = buildTarget(snapshot, host, allUp(snapshot), new Map());
      for (const op of plan(target, dataPlane.observe())) await dataPlane.apply(op);
      const { vips, pools, reals } = dataPlane.observe();
      const names = {
        vips: new Map([...vips].map(([id, { number }]) => [number, target.vips.get(id)?.name ?? id])),
        pools: new Map([...pools].map(([name, number]) => [number, name])),
        reals: new Map([...reals].map(([number, { address }]) => [number, address])),
      };
      const decisions = loaded.object.map('decisions');
      const decision = decisions.mmap();
      decisions.close();
      return new Tracer(loaded.program, decision, names);
    } catch (error) {
      loaded.program.close();
      throw error;
    } finally {
      loaded.object.close();
    }
  }

  /** @param frame at most LONGEST_FRAME bytes */
  trace(frame: Uint8Array): Traced {
    if (frame.length < SHORTEST_FRAME) return { ...nothing, action: 'PASS', reason: 'unreadable', frame };
    const { retval, data } = this.#program.testRun({ data: frame, cpu: this.#cpu });
    const { reason, path, vip, pool, real, slot, found } = decode(
      'pf_decision',
      this.#decision.subarray(0, structs.pf_decision.size),
    );
    const action = actions[retval] ?? 'ABORTED';
    const { vips, pools, reals } = this.#names;
    const way = paths[path] ?? null;
    return {
      action,
      reason: reasonNames[reason] ?? `reason ${reason}`,
      vip: found === 0 ? null : (vips.get(vip) ?? null),
      pool: found === 0 ? null : (pools.get(pool) ?? null),
      real: way === null ? null : (reals.get(real) ?? null),
      path: way,
      slot: way === 'ring' ? slot : null,
      frame: action === 'DROP' || action === 'ABORTED' ? null : data,
    };
  }

  /** Nothing was attached or pinned, so the kernel frees the rest with the last handle, at the latest with the process. */
  [Symbol.dispose](): void {
    unmap(this.#decision);
    this.#program.close();
  }
}
