import { pino } from 'pino';
import { defaultLimits } from '../../src/core/admission.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { KernelMapStore } from '../../src/dataplane/kernel-store.ts';
import type { RingFill } from '../../src/dataplane/map-store.ts';
import type { LoadedProgram } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { EtcdSource } from '../../src/sync/etcd-source.ts';
import { Reconciler } from '../../src/sync/reconciler.ts';
import { SnapshotStore } from '../../src/sync/snapshot-store.ts';
import { host } from '../state.ts';

/** A change that takes longer is no figure but a fault. */
const DEADLINE_MS = 10_000;

/** When one change passed which point, as `performance.now()` has it. */
export interface Passage {
  /** The source handed the key set on. */
  readonly deliveredAt: number;
  /** It was parsed. */
  readonly parsedAt: number;
  /** The planner’s ring operation reached the map store. */
  readonly plannedAt: number;
  /** Building the slots alone, in milliseconds. */
  readonly buildMs: number;
  /** No packet can see the old ring any more, and the reconciler says so. */
  readonly doneAt: number;
}

/** Notes when rings are asked for, and how long their slots took. */
class TimedStore extends KernelMapStore {
  plannedAt = 0;
  buildMs = 0;

  override swapRings(rings: readonly RingFill[]): Promise<readonly number[]> {
    this.plannedAt = performance.now();
    this.buildMs = 0;
    return super.swapRings(rings.map(({ pool, fill }) => ({ pool, fill: (slots) => this.#timed(() => fill(slots)) })));
  }

  #timed(fill: () => void): void {
    const startedAt = performance.now();
    fill();
    this.buildMs += performance.now() - startedAt;
  }
}

/** Source, parser, reconciler and kernel maps, wired as the agent does it but for health checks and the interface. */
export class Loop {
  readonly loaded: LoadedProgram;
  readonly #store: TimedStore;
  readonly #source: EtcdSource;
  readonly #reconciler: Reconciler;
  #deliveredAt = 0;
  #parsedAt = 0;
  #waiting: ((passage: Passage) => void) | null = null;

  /** Resolves when the state of the store is in the maps. */
  static async start(endpoint: string): Promise<Loop> {
    const loaded = await loadProgram({ ...defaultLimits, flowsPerCpu: 2 ** 16 });
    const loop = new Loop(loaded, endpoint);
    await loop.passage(() => loop.#start());
    return loop;
  }

  private constructor(loaded: LoadedProgram, endpoint: string) {
    const log = pino({ level: 'warn' }, pino.destination(2));
    this.loaded = loaded;
    const { tickMs, store } = loaded;
    const { toLine } = store;
    const reals = store.maxEntries('reals');
    const tables = { directory: store.tableSize('directory'), server_ids: store.tableSize('server_ids') };
    this.#store = new TimedStore(loaded.object, { tickMs, reals, tables, toLine });
    this.#reconciler = new Reconciler({
      // Remembers one ring only: the state goes to and fro, and every ring of it is to be built.
      dataPlane: new MapDataPlane(this.#store, new RingBuilder(1)),
      log,
      onReconciled: (_status, ops) => {
        if (ops.some(({ op }) => op === 'swap-rings')) this.#done();
      },
    });
    this.#source = new EtcdSource({ endpoints: [endpoint], log });
  }

  /** By pool number: the kernel’s number of the ring in place. */
  ringIds(): ReadonlyMap<number, number> {
    return this.#store.ringIds();
  }

  /** Makes a change that alters a ring, and resolves when that is in force. @throws after 10 s */
  async passage(change: () => unknown): Promise<Passage> {
    const { promise, resolve, reject } = Promise.withResolvers<Passage>();
    const timer = setTimeout(() => reject(new Error(`no ring changed within ${DEADLINE_MS} ms`)), DEADLINE_MS);
    this.#waiting = resolve;
    try {
      const [passage] = await Promise.all([promise, change()]);
      return passage;
    } finally {
      clearTimeout(timer);
      this.#waiting = null;
    }
  }

  async close(): Promise<void> {
    await this.#source.close();
    await this.#reconciler.close();
    this.loaded.object.close();
  }

  #start(): void {
    const snapshots = new SnapshotStore({
      onEmpty: 'keep',
      limits: defaultLimits,
      log: pino({ level: 'silent' }),
      onSnapshot: (snapshot) => {
        this.#parsedAt = performance.now();
        if (this.#reconciler.status.snapshot === null) this.#reconciler.setVerdicts(allUp(snapshot));
        this.#reconciler.setSnapshot(snapshot);
      },
    });
    this.#reconciler.setHost(host);
    this.#source.start({
      keys: (keys, revision) => {
        this.#deliveredAt = performance.now();
        snapshots.keys(keys, revision);
      },
      status: (status) => snapshots.status(status),
    });
  }

  #done(): void {
    const { plannedAt, buildMs } = this.#store;
    this.#waiting?.({
      deliveredAt: this.#deliveredAt,
      parsedAt: this.#parsedAt,
      plannedAt,
      buildMs,
      doneAt: performance.now(),
    });
  }
}
