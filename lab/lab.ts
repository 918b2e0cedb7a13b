import { PilotfishError } from '../src/core/errors.ts';
import { LabLb } from './agent.ts';
import { isBpffsMounted, mountBpffs } from './bpffs.ts';
import { LabClient } from './client.ts';
import { Etcd } from './etcd.ts';
import { namespaceInode } from './netns.ts';
import { buildNetwork } from './network.ts';
import { LabReal, makeLargeFile } from './real.ts';
import { removeLab } from './remove.ts';
import { requireParts, requireRoot } from './requirements.ts';
import { type LabState, readState, writeState } from './state.ts';
import { type Host, maxLbs, maxReals, plainShape, rootLeg, type Shape, type Topology, topology } from './topology.ts';

/** What is left out is as in plainShape. */
export interface LabOptions extends Partial<Shape> {
  /** Start the agent on every LB; default true. */
  readonly agents?: boolean;
}

function checkCount(what: string, count: number, least: number, most: number): void {
  if (Number.isInteger(count) && count >= least && count <= most) return;
  throw new PilotfishError('PF_USAGE', `the lab cannot have ${count} ${what}`, {
    fix: `Give a number from ${least} to ${most}.`,
  });
}

function find<T extends { readonly name: string }>(what: string, name: string, among: readonly T[]): T {
  const found = among.find((candidate) => candidate.name === name);
  if (found !== undefined) return found;
  throw new PilotfishError('PF_LAB', `the lab has no ${what} ${name}`, {
    fix: `There are ${among.map((candidate) => candidate.name).join(', ')}.`,
  });
}

/** How one part of the lab stands. */
export interface PartState {
  readonly name: string;
  readonly address: string;
  /** `null` for what lives in this machine’s own namespace. */
  readonly namespace: string | null;
  readonly namespaceExists: boolean;
  /** What runs there; `null` when it does not run, or nothing belongs there. */
  readonly pid: number | null;
  /** Only for an LB: the agent says that it is ready. */
  readonly ready?: boolean;
}

async function hostState(host: Host, pid: number | null): Promise<PartState> {
  const { name, address, namespace } = host;
  return { name, address, namespace, namespaceExists: (await namespaceInode(namespace)) !== null, pid };
}

/** The lab while it is up. There is one per machine. */
export class Lab {
  readonly topology: Topology;
  readonly etcd: Etcd;
  readonly client: LabClient;
  readonly lbs: readonly LabLb[];
  readonly reals: readonly LabReal[];

  readonly #shape: Shape;

  private constructor(shape: Shape) {
    this.#shape = shape;
    this.topology = topology(shape.lbs, shape.reals, shape);
    this.etcd = new Etcd();
    this.client = new LabClient(this.topology.client);
    this.lbs = this.topology.lbs.map((host) => new LabLb(host, this.etcd.endpoint));
    this.reals = this.topology.reals.map((host) => new LabReal(host));
  }

  /** Removes an earlier lab and builds a new one; what fails on the way leaves nothing behind. */
  static async up(options: LabOptions = {}): Promise<Lab> {
    const { agents = true, ...given } = options;
    const shape: Shape = { ...plainShape, ...given };
    checkCount('LBs', shape.lbs, 1, maxLbs);
    checkCount('reals', shape.reals, 1, maxReals);
    checkCount('neighbours', shape.neighbours, 0, shape.reals);
    requireRoot();
    await requireParts(agents);
    await removeLab();
    const lab = new Lab(shape);
    try {
      await lab.#build(agents);
    } catch (error) {
      await removeLab();
      throw error;
    }
    return lab;
  }

  /** The lab that an earlier process left up. @throws PF_LAB when there is none */
  static async open(): Promise<Lab> {
    const state = await readState();
    if (state?.complete === true) return new Lab(state.shape);
    throw new PilotfishError('PF_LAB', 'no lab is up', { fix: 'Run `pilotfish lab up`.' });
  }

  async #build(agents: boolean): Promise<void> {
    const mountedBpffs = !(await isBpffsMounted());
    const state: LabState = { shape: this.#shape, startedAt: Date.now(), mountedBpffs, complete: false };
    await writeState(state);
    if (mountedBpffs) await mountBpffs();
    await buildNetwork(this.topology, !agents);
    await makeLargeFile();
    await Promise.all([this.etcd.start(), ...this.reals.map((real) => real.start())]);
    if (agents) await Promise.all(this.lbs.map((lb) => lb.start()));
    await writeState({ ...state, complete: true });
  }

  /** @throws PF_LAB when there is no LB of this name (`lb1`) */
  lb(name: string): LabLb {
    return find('LB', name, this.lbs);
  }

  /** @throws PF_LAB when there is no real of this name (`r1`) */
  real(name: string): LabReal {
    return find('real', name, this.reals);
  }

  /** How every part stands now. */
  async state(): Promise<PartState[]> {
    const { address } = rootLeg;
    return Promise.all([
      { name: 'etcd', address, namespace: null, namespaceExists: true, pid: await this.etcd.pid() },
      hostState(this.client.host, null),
      ...this.lbs.map(async (lb) => ({ ...(await hostState(lb.host, await lb.pid())), ready: await lb.isReady() })),
      ...this.reals.map(async (real) => hostState(real.host, await real.pid())),
    ]);
  }

  async down(): Promise<void> {
    await removeLab();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }
}
