import { readFileSync } from 'node:fs';
import { defaultLimits, type StateLimits } from '../core/admission.ts';
import type { Snapshot } from '../core/model.ts';
import { plan } from '../core/plan.ts';
import { RingBuilder } from '../core/ring-builder.ts';
import type { HostImage } from '../core/target.ts';
import { buildTarget } from '../core/target.ts';
import { allUp } from '../core/verdicts.ts';
import { decode } from './codec.ts';
import { eventNames, reasonNames } from './counters.ts';
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
/** More frames than any capture has. What an LB allows itself in a second says nothing about a capture. */
const NO_LIMIT = 2 ** 30;
/** Any interface: a test run redirects nothing. */
const SOME_INTERFACE = 1;

/** What became of a frame. Names are null where there is nothing to name. */
export interface Traced {
  readonly action: Action;
  /** Null for a frame that the kernel does not try a program on. */
  readonly reason: string | null;
  readonly vip: string | null;
  /** Of the real; without one the pool whose ring was asked. */
  readonly pool: string | null;
  /** Address of the real that was chosen, also when the packet is dropped later. */
  readonly real: string | null;
  /** As enum pf_path has them: `cache`, `ring`, ... */
  readonly path: string | null;
  /** Of the ring; null when none was asked. */
  readonly slot: number | null;
  /** As enum pf_event has them: `unknown_id`, ...; null for none. */
  readonly events: readonly string[] | null;
  /** As it leaves, or goes up to the host; null when it does neither. */
  readonly frame: Uint8Array | null;
}

const nothing = { vip: null, pool: null, real: null, path: null, slot: null, events: null } as const;

/** By number, as the maps have them. */
interface Names {
  readonly vips: ReadonlyMap<number, string>;
  readonly pools: ReadonlyMap<number, string>;
  readonly reals: ReadonlyMap<number, { readonly address: string /** Number. */; readonly pool: number }>;
}

export interface TracerOptions {
  readonly snapshot: Snapshot;
  readonly host: HostImage;
  /** What leaves does so by another interface than the one it came in by. */
  readonly egress: boolean;
  /** How many frames there will be: the flow cache gets a bucket for each, so that hardly a flow pushes another out. */
  readonly frames: number;
}

/** Those that an agent has by default, or more where the state needs more. */
function limitsFor({ vips, pools }: Snapshot): StateLimits {
  const reals = [...pools.values()].reduce((count, pool) => count + pool.reals.length, 0);
  const clients = [...vips.values()].reduce((count, vip) => count + vip.clients.length, 0);
  return {
    vips: Math.max(defaultLimits.vips, vips.size),
    pools: Math.max(defaultLimits.pools, pools.size),
    reals: Math.max(defaultLimits.reals, reals),
    clients: Math.max(defaultLimits.clients, clients),
    serverIds: defaultLimits.serverIds,
  };
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
  static async load({ snapshot, host, egress, frames }: TracerOptions): Promise<Tracer> {
    const loaded = await loadProgram({
      ...limitsFor(snapshot),
      flowsPerCpu: Math.min(MOST_FLOWS, frames * BUCKET_ENTRIES),
      newFlowsPerSecond: NO_LIMIT,
      tooBigAnswersPerSecond: NO_LIMIT,
      ...(egress ? { egress: SOME_INTERFACE } : {}),
      tracing: true,
    });
    try {
      const dataPlane = new MapDataPlane(loaded.store, new RingBuilder(1));
      const target = buildTarget(snapshot, host, allUp(snapshot), new Map());
      for (const op of plan(target, dataPlane.observe())) await dataPlane.apply(op);
      const { directory, pools, reals } = dataPlane.observe();
      const names = {
        vips: new Map(
          [...(directory?.vips ?? [])].map(([id, { number }]) => [number, target.vips.get(id)?.name ?? id]),
        ),
        pools: new Map([...pools].map(([name, number]) => [number, name])),
        reals,
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

  /** Frames that the kernel does not try a program on are told without it. */
  trace(frame: Uint8Array): Traced {
    if (frame.length < SHORTEST_FRAME) return { ...nothing, action: 'PASS', reason: 'unreadable', frame };
    if (frame.length > LONGEST_FRAME) return { ...nothing, action: 'ABORTED', reason: null, frame: null };
    const { retval, data } = this.#program.testRun({ data: frame, cpu: this.#cpu });
    const decision = decode('pf_decision', this.#decision.subarray(0, structs.pf_decision.size));
    const { reason, vip, slot, found, events } = decision;
    const action = actions[retval] ?? 'ABORTED';
    const path = paths[decision.path] ?? null;
    const { vips, pools, reals } = this.#names;
    const real = path === null ? undefined : reals.get(decision.real);
    const happened = eventNames.filter((_, event) => (events & (1 << event)) !== 0);
    return {
      action,
      reason: reasonNames[reason] ?? `reason ${reason}`,
      vip: found === 0 ? null : (vips.get(vip) ?? null),
      pool: found === 0 ? null : (pools.get(real?.pool ?? decision.pool) ?? null),
      real: real?.address ?? null,
      path,
      slot: slot === 0 ? null : slot - 1,
      events: happened.length === 0 ? null : happened,
      frame: action === 'DROP' || action === 'ABORTED' ? null : data,
    };
  }

  /** Nothing was attached or pinned, so the kernel frees the rest with the last handle, at the latest with the process. */
  [Symbol.dispose](): void {
    unmap(this.#decision);
    this.#program.close();
  }
}
