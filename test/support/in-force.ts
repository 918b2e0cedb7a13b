import type { StateSources } from '../../src/agent-state.ts';
import type { Snapshot } from '../../src/core/model.ts';
import { parseState } from '../../src/core/parse-state.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { HostImage } from '../../src/core/target.ts';
import { buildTarget } from '../../src/core/target.ts';
import { keysFromTree } from '../../src/core/tree.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import type { MapStore } from '../../src/dataplane/map-store.ts';

/** A state as an agent has it in force, without the agent: what its status is read from. */

export const host: HostImage = {
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  local: new Set(),
  neighbours: new Map(),
  tunnels: [],
  own: new Set(),
};

/** @throws Error when the state has mistakes */
export function snapshotOf(tree: unknown): Snapshot {
  const { keys, problems } = keysFromTree(tree);
  const { snapshot } = parseState(keys, { generation: 'test', number: 1 }, null);
  if (problems.length + snapshot.rejected.length > 0)
    throw new Error(`the state has mistakes: ${JSON.stringify([problems, snapshot.rejected])}`);
  return snapshot;
}

/** Brings the maps from one state to the next, and keeps the pools’ numbers in between, as an agent does. */
export class InForce {
  readonly #store: MapStore;
  readonly #rings = new RingBuilder();
  readonly #dataPlane: MapDataPlane;

  constructor(store: MapStore) {
    this.#store = store;
    this.#dataPlane = new MapDataPlane(store, this.#rings);
  }

  async put(
    snapshot: Snapshot,
    observations: StateSources['observations'],
    changed: Partial<HostImage> = {},
  ): Promise<StateSources> {
    const verdicts = new Map([...observations].map(([key, { observation }]) => [key, observation]));
    const target = buildTarget(snapshot, { ...host, ...changed }, verdicts, new Map());
    for (const op of plan(target, this.#dataPlane.observe())) await this.#dataPlane.apply(op);
    const observed = this.#dataPlane.observe();
    return {
      status: { snapshot, target, observed, applied: 1, failures: 0, lastError: null },
      store: this.#store,
      rings: this.#rings,
      observations,
    };
  }
}
