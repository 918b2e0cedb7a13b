import { pino } from 'pino';
import { vi } from 'vitest';
import { defaultLimits } from '../../src/core/admission.ts';
import type { Limits, MapOp } from '../../src/core/data-plane.ts';
import type { Observation } from '../../src/core/model.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { HostImage } from '../../src/core/target.ts';
import { decode, encode, indexKey } from '../../src/dataplane/codec.ts';
import { trafficMaps } from '../../src/dataplane/counters.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import type { StoreCall } from '../../src/dataplane/faulty-store.ts';
import { FaultyMapStore } from '../../src/dataplane/faulty-store.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { Reconciler } from '../../src/sync/reconciler.ts';
import { SnapshotStore } from '../../src/sync/snapshot-store.ts';
import { dumpMaps } from './dump.ts';
import { host } from './in-force.ts';
import type { Flow } from './scenario-flow.ts';
import { nextPacket } from './scenario-flow.ts';
import { verdictsOn } from './state-arb.ts';
import { WatchedStore } from './watched-store.ts';

const noTraffic = { bytes: 0n, unused: 0n, new_flows: 0n, misses: 0n };
const log = pino({ level: 'silent' });
const rings = new RingBuilder(512);
/** Longer than the reconciler waits for more changes, shorter than its first retry. */
const SETTLE_MS = 20;

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
  #host: HostImage = host;

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
    reconciler.setHost(this.#host);
    const onSnapshot = (snapshot: Parameters<typeof verdictsOn>[0]): void => {
      reconciler.setVerdicts(verdictsOn(snapshot, this.#health));
      reconciler.setSnapshot(snapshot);
    };
    return [new SnapshotStore({ onEmpty, limits: defaultLimits, log, onSnapshot }), reconciler];
  }

  /** Maps of these sizes in place of the usual ones; before anything is in them. */
  resize({ vips, pools, reals }: Omit<Limits, 'serverIds'>): void {
    this.#maps = new MemoryMapStore({ vip_traffic: vips, rings: pools, reals, real_traffic: reals });
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

  /** The host has learned the MAC address of a neighbour. */
  async learn(address: string, mac: string): Promise<void> {
    await this.settle();
    this.#host = { ...this.#host, neighbours: new Map([...this.#host.neighbours, [address, mac]]) };
    this.#reconciler.setHost(this.#host);
  }

  /** The host has an address more on the interface where packets come in. */
  async own(address: string): Promise<void> {
    await this.settle();
    this.#host = { ...this.#host, own: new Set([...this.#host.own, address]) };
    this.#reconciler.setHost(this.#host);
  }

  /** The program has counted packets of a VIP or a real. */
  async count(what: 'vip' | 'real', number: number, packets: number): Promise<void> {
    await this.settle();
    this.#maps.put(
      trafficMaps[what].others,
      indexKey(number),
      encode('pf_traffic', { ...noTraffic, unused: BigInt(packets) }),
    );
  }

  failNext(call: StoreCall): void {
    this.#faulty.failNext(call);
  }

  /** A client opens a flow whose hash falls on this slot. */
  async open(name: string, flow: Omit<Flow, 'remembered'>): Promise<void> {
    await this.settle();
    this.#flows.set(name, { ...flow, remembered: null });
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
      ...this.#traffic('vip'),
      ...this.#traffic('real'),
      ...[...this.#flows.keys()].map((name) => `flow ${name}: ${this.#packet(name)}`),
    ];
  }

  /** Of those numbers that have counted anything. */
  #traffic(what: 'vip' | 'real'): string[] {
    return [...this.#maps.entries(trafficMaps[what].others)].flatMap(([, value], number) => {
      const { unused: packets } = decode('pf_traffic', value);
      return packets === 0n ? [] : [`traffic of ${what} ${number}: ${packets} packets`];
    });
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

  #packet(name: string): string {
    const flow = this.#flows.get(name);
    if (flow === undefined) throw new Error(`no flow ${name}`);
    return nextPacket(flow, this.#dataPlane.observe(), (pool) => this.#maps.slots(pool));
  }
}
