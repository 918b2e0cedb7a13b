import { defaultLimits } from '../../src/core/admission.ts';
import { keys } from '../../src/core/key-path.ts';
import type { Snapshot } from '../../src/core/model.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { buildTarget } from '../../src/core/target.ts';
import { readReasons, readTraffic } from '../../src/dataplane/counters.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import type { LoadedProgram } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { allUp, host, snapshotOf } from '../state.ts';
import { protocolOf, vipAddress } from './frames.ts';
import type { Path, Scenario } from './scenarios.ts';
import type { LoadSubject, Subject } from './subject.ts';

/** Twice the flows that the largest hit scenario wants remembered: buckets fill unevenly. */
const FLOWS_PER_CPU = 2 ** 21;
const REALS_PER_POOL = 8;
/** The least share of packets that must have gone the scenario’s way: full buckets cannot hold every flow. */
const LEAST_SHARE = 0.98;

const reasonOf: Readonly<Record<Path, string>> = {
  'flow cache': 'forwarded',
  ring: 'forwarded',
  'not a VIP': 'not_vip',
  'not IP': 'not_ip',
};

/** The reals that take new flows, of two sets that each pool has. */
type Active = 'warm' | 'late' | 'none';

const addressOf = { warm: '10.1', late: '10.2' } as const;

function stateOf(scenario: Scenario, active: Active): Snapshot {
  const { vips, pools, vipPort, kind } = scenario;
  const values = new Map<string, object>();
  for (let i = 0; i < vips; i++) {
    const vip = { address: vipAddress(i), port: vipPort, protocol: protocolOf(kind) ?? 'tcp', pool: `p${i % pools}` };
    values.set(keys.vip(`v${i}`), vip);
  }
  for (let pool = 0; pool < pools; pool++) {
    values.set(keys.pool(`p${pool}`), { checks: [{ type: 'tcp', port: 80 }] });
    for (const set of ['warm', 'late'] as const)
      for (let i = 1; i <= REALS_PER_POOL; i++) {
        const address = `${addressOf[set]}.${pool}.${i}`;
        values.set(keys.real(`p${pool}`, `${set}-${i}`), { address, state: set === active ? 'active' : 'drain' });
      }
  }
  return snapshotOf(values);
}

/**
 * The program as the agent loads it, its maps filled by the agent’s own planner. It has no counter of flow cache hits,
 * so what takes new flows changes after the warm-up. Then hits are told apart by where packets go: where nothing takes
 * new flows, only a remembered flow is forwarded; where the other reals do, only a remembered one meets the old ones.
 */
class PilotfishSubject implements Subject {
  readonly #loaded: LoadedProgram;
  readonly #scenario: Scenario;
  readonly #dataPlane: MapDataPlane;
  #reasons: Readonly<Record<string, bigint>> = {};
  #warm = 0n;

  constructor(loaded: LoadedProgram, scenario: Scenario) {
    this.#loaded = loaded;
    this.#scenario = scenario;
    this.#dataPlane = new MapDataPlane(loaded.store, new RingBuilder());
  }

  get program() {
    return this.#loaded.program;
  }

  async activate(active: Active): Promise<void> {
    const snapshot = stateOf(this.#scenario, active);
    const target = buildTarget(snapshot, host, allUp(snapshot), new Map());
    for (const op of plan(target, this.#dataPlane.observe())) await this.#dataPlane.apply(op);
  }

  async afterWarmUp(): Promise<void> {
    await this.activate(this.#scenario.path === 'ring' ? 'late' : 'none');
    this.#reasons = readReasons(this.#loaded.store);
    this.#warm = this.#warmTraffic();
  }

  verify(packets: number): string | null {
    const { path } = this.#scenario;
    const before = this.#reasons;
    this.#reasons = readReasons(this.#loaded.store);
    const counted = Object.entries(this.#reasons)
      .map(([reason, count]) => ({ reason, count: Number(count - (before[reason] ?? 0n)) }))
      .filter(({ count }) => count !== 0);
    const warmBefore = this.#warm;
    this.#warm = this.#warmTraffic();
    const other = path === 'ring' ? Number(this.#warm - warmBefore) : 0;
    const right = (counted.find(({ reason }) => reason === reasonOf[path])?.count ?? 0) - other;
    const allowed = path === 'flow cache' ? ['forwarded', 'no_real'] : [reasonOf[path]];
    const sound =
      counted.every(({ reason }) => allowed.includes(reason)) &&
      counted.reduce((sum, { count }) => sum + count, 0) === packets &&
      right >= packets * LEAST_SHARE;
    if (sound) return null;
    const words = counted.map(({ reason, count }) => `${reason} ${count}`).join(', ');
    return `of ${packets} packets ${right} went the way "${path}" (${words})`;
  }

  close(): void {
    this.#loaded.object.close();
  }

  /** Packets to the reals that took the new flows during the warm-up. */
  #warmTraffic(): bigint {
    let packets = 0n;
    for (const [number, { address }] of this.#dataPlane.observe().reals)
      if (address.startsWith(`${addressOf.warm}.`))
        packets += readTraffic(this.#loaded.store, 'real_traffic', number).packets;
    return packets;
  }
}

/** Takes any build of bpf/pilotfish.bpf.c whose structs are those of this tree. */
export const load: LoadSubject = async (object, _program, scenario) => {
  const loaded = await loadProgram({ ...defaultLimits, flowsPerCpu: FLOWS_PER_CPU }, object);
  const subject = new PilotfishSubject(loaded, scenario);
  await subject.activate('warm');
  return subject;
};
