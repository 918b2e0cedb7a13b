import { defaultLimits } from '../../src/core/admission.ts';
import { keys } from '../../src/core/key-path.ts';
import type { Snapshot } from '../../src/core/model.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { buildTarget } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { readEvents, readReasons, readTraffic } from '../../src/dataplane/counters.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import type { BpfProgram } from '../../src/dataplane/native.ts';
import type { LoadedProgram } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { host, snapshotOf } from '../state.ts';
import { type Family, protocolOf, vipAddress } from './frames.ts';
import { FIRST_SERVER_ID, type Path, REALS_PER_POOL, type Row } from './scenarios.ts';
import type { LoadSubject, Subject } from './subject.ts';

/** The least share of packets that must have gone the row’s way: full buckets cannot hold every flow. */
const LEAST_SHARE = 0.97;

/** As many as no CPU meets: what a limit would save is what the rows with new flows measure. */
const NEW_FLOWS_PER_SECOND = 1e9;

const reasonOf: Readonly<Record<Path, string>> = {
  'flow cache': 'forwarded',
  ring: 'forwarded',
  'server id': 'forwarded',
  'echo reply': 'echo_answered',
  'not a VIP': 'not_vip',
  'not IP': 'not_ip',
};

const realAddress = (family: Family, pool: number, index: number): string =>
  family === 4 ? `10.1.${pool}.${index}` : `fd00:1:${pool}::${index}`;

function stateOf({ vips, pools, vipPort, kind, family, realFamily, cacheEntries, encap }: Row): Snapshot {
  const values = new Map<string, object>();
  for (let i = 0; i < vips; i++)
    values.set(keys.vip(`v${i}`), {
      address: vipAddress(family, i),
      port: vipPort,
      protocol: protocolOf(kind),
      pool: `p${i % pools}`,
      flowCache: cacheEntries !== null,
      ...(kind === 'quic' ? { quic: 'katran' } : {}),
    });
  for (let pool = 0; pool < pools; pool++) {
    values.set(keys.pool(`p${pool}`), { encap, checks: [{ type: 'tcp', port: 80 }] });
    for (let i = 0; i < REALS_PER_POOL; i++)
      values.set(keys.real(`p${pool}`, `r${i}`), {
        address: realAddress(realFamily, pool, i + 1),
        ...(kind === 'quic' ? { serverIds: [FIRST_SERVER_ID + i] } : {}),
      });
  }
  return snapshotOf(values);
}

type Counts = Readonly<Record<string, bigint>>;

/** How much each has risen, without those that have not. */
function risen(before: Counts, after: Counts): Record<string, number> {
  const all = Object.entries(after).map(([name, count]) => [name, Number(count - (before[name] ?? 0n))] as const);
  return Object.fromEntries(all.filter(([, rise]) => rise !== 0));
}

/** The program as the agent loads it, its maps filled by the agent’s own planner. */
class OwnSubject implements Subject {
  readonly program: BpfProgram;
  readonly #loaded: LoadedProgram;
  readonly #row: Row;
  readonly #dataPlane: MapDataPlane;
  #vips: readonly number[] = [];
  #before: Counts = {};

  constructor(loaded: LoadedProgram, row: Row) {
    this.program = loaded.program;
    this.#loaded = loaded;
    this.#row = row;
    this.#dataPlane = new MapDataPlane(loaded.store, new RingBuilder());
  }

  async populate(): Promise<void> {
    const snapshot = stateOf(this.#row);
    const target = buildTarget(snapshot, host, allUp(snapshot), new Map());
    for (const op of plan(target, this.#dataPlane.observe())) await this.#dataPlane.apply(op);
    this.#vips = [...(this.#dataPlane.observe().directory?.vips.values() ?? [])].map(({ number }) => number);
  }

  async afterWarmUp(): Promise<void> {
    this.#before = this.#counts();
  }

  verify(packets: number): string | null {
    const { path } = this.#row;
    const after = this.#counts();
    const rise = risen(this.#before, after);
    this.#before = after;
    const { hits = 0, newFlows = 0, misses = 0, [reasonOf[path]]: counted = 0, ...other } = rise;
    const right = {
      'flow cache': hits,
      // Where there is no flow cache to be asked, nothing of it is counted.
      ring: this.#row.cacheEntries === null ? counted - hits - newFlows - misses : newFlows + misses,
      // Before the flow cache; an id that nobody has would be an event.
      'server id': counted - hits - newFlows - misses,
      'echo reply': counted,
      'not a VIP': counted,
      'not IP': counted,
    }[path];
    if (counted === packets && right >= packets * LEAST_SHARE && Object.keys(other).length === 0) return null;
    return `of ${packets} packets ${right} went the way "${path}" (${JSON.stringify(rise)})`;
  }

  close(): void {
    this.#loaded.object.close();
  }

  /** By reason, by event, and by use of the flow cache. */
  #counts(): Counts {
    const { store } = this.#loaded;
    const use = { hits: 0n, newFlows: 0n, misses: 0n };
    for (const number of this.#vips) {
      const { hits, newFlows, misses } = readTraffic(store, 'vip', number);
      use.hits += hits;
      use.newFlows += newFlows;
      use.misses += misses;
    }
    return { ...readReasons(store), ...readEvents(store), ...use };
  }
}

/** Takes any build of bpf/pilotfish.bpf.c whose structs are those of this tree. */
export const load: LoadSubject = async (object, _program, row) => {
  const flowsPerCpu = row.cacheEntries ?? 8;
  const sizes = {
    ...defaultLimits,
    flowsPerCpu,
    newFlowsPerSecond: NEW_FLOWS_PER_SECOND,
    hotFlows: row.hotFlows,
  };
  const subject = new OwnSubject(await loadProgram(sizes, object), row);
  await subject.populate();
  return subject;
};
