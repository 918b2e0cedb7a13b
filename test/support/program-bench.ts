import { readFileSync } from 'node:fs';
import type { MapOp, RealEncap, SettingsImage } from '../../src/core/data-plane.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { Target } from '../../src/core/target.ts';
import { readReasons } from '../../src/dataplane/counters.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import type { LoadedProgram, ProgramSizes } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { parseEthernet, parseIpv4 } from './frames.ts';
import { targetOf, targetPool } from './planning.ts';

/** Enum xdp_action of linux/bpf.h. */
export const actions = ['ABORTED', 'DROP', 'PASS', 'TX', 'REDIRECT'] as const;
export type Action = (typeof actions)[number];

export interface Sent {
  readonly action: Action;
  /** As the program left it. */
  readonly frame: Uint8Array;
  /** The counter of reasons that rose; exactly one by exactly one, or `send` throws. */
  readonly reason: string;
}

/** CPUs that this process may run on. */
export function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

export const gatewayMac = '02:00:00:00:00:01';
export const ownMac = '02:00:00:00:00:02';

export const settings: SettingsImage = {
  hashKeys: [
    'a5b1c3d7e9f01123',
    '9e3779b97f4a7c15',
    'c2b2ae3d27d4eb4f',
    '165667b19e3779f9',
    '27d4eb2f165667c5',
    '85ebca77c2b2ae63',
    'd6e8feb86659fd93',
    'ff51afd7ed558ccd',
  ].join(','),
  outerV4: '172.16.0.0/16',
  outerV6: '100::/64',
  mtu: 1500,
  gatewayMac,
  ownMac,
};

/**
 * A target as tests write it: `'192.0.2.10|80|tcp': 'web'`, or more about the VIP than its pool, and by pool the addresses
 * of its reals, all of weight 1.
 */
export function target(
  vips: Parameters<typeof targetOf>[1],
  pools: Readonly<Record<string, readonly string[]>>,
  changed: Partial<SettingsImage> = {},
  { encap, ...rest }: Parameters<typeof targetOf>[2] & { readonly encap?: RealEncap } = {},
): Target {
  const targets = Object.entries(pools).map(([name, reals]) => targetPool(name, reals, [], encap));
  return { ...targetOf(targets, vips, rest), seed: '70696c6f7466697368', settings: { ...settings, ...changed } };
}

const smallSizes: ProgramSizes = { vips: 16, pools: 4, reals: 600, serverIds: 600, flowsPerCpu: 65_536 };

/** The real program in the kernel, attached to nothing: frames go through it by test runs, all on one CPU. */
export class ProgramBench implements Disposable {
  readonly loaded: LoadedProgram;
  readonly dataPlane: MapDataPlane;
  /** The CPU that frames run on, and so the one whose flow cache is used. */
  cpu: number = allowedCpus()[0] ?? 0;
  readonly #program;

  private constructor(loaded: LoadedProgram, program: string) {
    this.loaded = loaded;
    this.dataPlane = new MapDataPlane(loaded.store, new RingBuilder());
    this.#program = loaded.object.program(program);
  }

  /** @param program another one of the object at `path`, to run instead */
  static async load(sizes: Partial<ProgramSizes> = {}, path?: string, program = 'pilotfish'): Promise<ProgramBench> {
    return new ProgramBench(await loadProgram({ ...smallSizes, ...sizes }, path), program);
  }

  get store(): LoadedProgram['store'] {
    return this.loaded.store;
  }

  async apply(...ops: readonly MapOp[]): Promise<void> {
    for (const op of ops) await this.dataPlane.apply(op);
  }

  /** Carries out the plan that leads to the target. */
  async converge(goal: Target): Promise<void> {
    await this.apply(...plan(goal, this.dataPlane.observe()));
  }

  send(frame: Uint8Array): Sent {
    const before = readReasons(this.store);
    const { retval, data } = this.#program.testRun({ data: frame, cpu: this.cpu });
    const after = readReasons(this.store);
    const rose = Object.keys(after).filter((reason) => after[reason] !== before[reason]);
    const [reason] = rose;
    if (reason === undefined || rose.length > 1 || after[reason] !== (before[reason] ?? 0n) + 1n)
      throw new Error(`one counter should rise by one, but these rose: ${rose.join(', ') || 'none'}`);
    const action = actions[retval];
    if (action === undefined) throw new Error(`the program returned ${retval}`);
    return { action, frame: data, reason };
  }

  /** The real that the frame is sent to; the reason when it is not sent. */
  realOf(frame: Uint8Array): string {
    const sent = this.send(frame);
    return sent.reason === 'forwarded' ? parseIpv4(parseEthernet(sent.frame).payload).to : sent.reason;
  }

  [Symbol.dispose](): void {
    this.#program.close();
    this.loaded.program.close();
    this.loaded.object.close();
  }
}
