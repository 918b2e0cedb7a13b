import { pino } from 'pino';
import { vi } from 'vitest';
import { defaultLimits } from '../../src/core/admission.ts';
import type { Limits, MapOp, VipId } from '../../src/core/data-plane.ts';
import { vipId } from '../../src/core/data-plane.ts';
import type { Observation, Protocol } from '../../src/core/model.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import type { StoreCall } from '../../src/dataplane/faulty-store.ts';
import { FaultyMapStore } from '../../src/dataplane/faulty-store.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { Reconciler } from '../../src/sync/reconciler.ts';
import { SnapshotStore } from '../../src/sync/snapshot-store.ts';
import { dumpMaps } from './dump.ts';
import { verdictsOn } from './state-arb.ts';
import { WatchedStore } from './watched-store.ts';

const host = { mtu: 1500, gatewayMac: '02:00:00:00:00:01', ownMac: '02:00:00:00:00:02' };
const log = pino({ level: 'silent' });
const rings = new RingBuilder(512);
/** Longer than the reconciler waits for more changes, shorter than its first retry. */
const SETTLE_MS = 20;

interface Flow {
  readonly vip: { readonly address: string; readonly port: number; readonly protocol: Protocol };
  readonly slot: number;
  /** As the flow cache has it. */
  remembered: { readonly number: number; readonly generation: number } | null;
}

/**
 * An agent’s way from keys to maps, with real parts but for the kernel: a store’s keys, health, flows, and time that
 * passes when told. Needs vitest’s fake timers.
 */
export class ScenarioWorld {
  readonly #keys = new Map<string, string>();
  readonly #health = new Map<string, Observation>();
  readonly #flows = new Map<string, Flow>();
  #maps: MemoryMapStore;
  #watched: WatchedStore;
  #faulty: FaultyMapStore;
  #dataPlane: MapDataPlane;
  #snapshots: SnapshotStore;
  #reconciler: Reconciler;
  #ops: MapOp['op'][] = [];
  #revision = 0;
  #delivered = true;

  constructor() {
    this.#maps = new MemoryMapStore();
    this.#watched = new WatchedStore(this.#maps);
    this.#faulty = new FaultyMapStore(this.#watched, 1, 0);
    this.#dataPlane = new MapDataPlane(this.#faulty, rings);
    [this.#snapshots, this.#reconciler] = this.#start('keep');
  }

  #start(onEmpty: 'keep' | 'clear'): [SnapshotStore, Reconciler] {
    const reconciler = new Reconciler({
      dataPlane: this.#dataPlane,
      log,
      onReconciled: (_, ops) => this.#ops.push(...ops.map(({ op }) => op)),
    });
    reconciler.setHost(host);
    const onSnapshot = (snapshot: Parameters<typeof verdictsOn>[0]): void => {
      reconciler.setVerdicts(verdictsOn(snapshot, this.#health));
      reconciler.setSnapshot(snapshot);
    };
    return [new SnapshotStore({ onEmpty, limits: defaultLimits, log, onSnapshot }), reconciler];
  }

  /** Maps of these sizes in place of the usual ones; before anything is in them. */
  resize({ vips, pools, reals }: Limits): void {
    const entries = { vips, vip_addresses: vips, vip_traffic: vips, rings: pools, reals, real_traffic: reals };
    this.#maps = new MemoryMapStore(entries);
    this.#watched = new WatchedStore(this.#maps);
    this.#faulty = new FaultyMapStore(this.#watched, 1, 0);
    this.#dataPlane = new MapDataPlane(this.#faulty, rings);
    [this.#snapshots, this.#reconciler] = this.#start('keep');
  }

  /** Another agent on the same maps: it knows what is in them and nothing else. */
  async restart(onEmpty: 'keep' | 'clear'): Promise<void> {
    await this.#reconciler.close();
    this.#dataPlane = new MapDataPlane(this.#faulty, rings);
    [this.#snapshots, this.#reconciler] = this.#start(onEmpty);
    this.#delivered = false;
  }

  /** @param value null: the key is deleted */
  edit(key: string, value: string | null): void {
    if (value === null) this.#keys.delete(`desired/${key}`);
    else this.#keys.set(`desired/${key}`, value);
    this.#delivered = false;
  }

  wipe(): void {
    this.#keys.clear();
    this.#delivered = false;
  }

  /** Has the keys as they are now delivered and planned. */
  async settle(): Promise<void> {
    if (!this.#delivered)
      this.#snapshots.keys(new Map(this.#keys), { generation: 'scenario', number: ++this.#revision });
    this.#delivered = true;
    await vi.advanceTimersByTimeAsync(SETTLE_MS);
  }

  /** @param real pool and address */
  async judge(real: `${string}|${string}`, verdict: Observation): Promise<void> {
    await this.settle();
    this.#health.set(real, verdict);
    const { snapshot } = this.#snapshots;
    if (snapshot !== null) this.#reconciler.setVerdicts(verdictsOn(snapshot, this.#health));
  }

  async wait(ms: number): Promise<void> {
    await this.settle();
    await vi.advanceTimersByTimeAsync(ms);
  }

  failNext(call: StoreCall): void {
    this.#faulty.failNext(call);
  }

  /** A client opens a flow whose hash falls on this slot. */
  async open(name: string, vip: Flow['vip'], slot: number): Promise<void> {
    await this.settle();
    this.#flows.set(name, { vip, slot, remembered: null });
    this.#packet(name);
  }

  close(): Promise<void> {
    return this.#reconciler.close();
  }

  /** What has happened since the last time, and how everything stands. @throws when a packet could have met a gap */
  async report(): Promise<string[]> {
    await this.settle();
    if (this.#watched.faults.length > 0) throw new Error(`unsound: ${this.#watched.faults.join('; ')}`);
    const counts = new Map<string, number>();
    for (const op of this.#ops.splice(0)) counts.set(op, (counts.get(op) ?? 0) + 1);
    const ops = [...counts].map(([op, count]) => (count === 1 ? op : `${op} x${count}`));
    return [
      `operations ${ops.join(', ') || 'none'}`,
      ...this.#alarms(),
      ...dumpMaps(this.#maps, this.#dataPlane.observe()),
      ...[...this.#flows.keys()].map((name) => `flow ${name}: ${this.#packet(name)}`),
    ];
  }

  #alarms(): string[] {
    const { lastError, target } = this.#reconciler.status;
    return [
      ...(lastError === null ? [] : [`failing: ${lastError}`]),
      ...(this.#snapshots.keptEmpty ? ['alarm: the store is empty, the last state stays'] : []),
      ...[...(target?.pools.values() ?? [])].filter((p) => p.floor).map((p) => `alarm: pool ${p.name} ignores health`),
      ...(this.#snapshots.snapshot?.rejected ?? []).map(
        ({ path, message, keptLastGood }) =>
          `rejected ${path} ${message}; ${keptLastGood ? 'the last good value stays' : 'goes without'}`,
      ),
    ];
  }

  /** What the program does with the flow’s next packet, which is no SYN. */
  #packet(name: string): string {
    const flow = this.#flows.get(name);
    if (flow === undefined) throw new Error(`no flow ${name}`);
    const { vips, reals } = this.#dataPlane.observe();
    const exact: VipId = vipId(flow.vip);
    const vip = vips.get(exact) ?? vips.get(vipId({ ...flow.vip, port: 0 }));
    if (vip === undefined) return 'not for a VIP';
    const known = reals.get(flow.remembered?.number ?? 0);
    if (known !== undefined && known.generation === flow.remembered?.generation) return `${known.address}, remembered`;
    const number = this.#maps.slots(vip.pool)?.[flow.slot] ?? 0;
    const real = reals.get(number);
    flow.remembered = real === undefined ? null : { number, generation: real.generation };
    return real === undefined ? 'dropped, no real' : `${real.address}, by the ring`;
  }
}
