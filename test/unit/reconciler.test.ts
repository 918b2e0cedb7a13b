import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DataPlane, MapOp, Observed } from '../../src/core/data-plane.ts';
import { PilotfishError } from '../../src/core/errors.ts';
import type { RealKey } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { encodeVoidReal } from '../../src/dataplane/records.ts';
import type { ReconcilerStatus } from '../../src/sync/reconciler.ts';
import { Reconciler } from '../../src/sync/reconciler.ts';
import { host } from '../support/in-force.ts';
import { pool, real, snapshot, verdicts, vip } from '../support/model.ts';

const log = pino({ level: 'silent' });
const up = { '10.0.0.1': 'up', '10.0.0.2': 'up' } as const;

/** Records what it is told and fails when asked to. */
class Recording implements DataPlane {
  readonly store = new MemoryMapStore();
  readonly ops: MapOp[] = [];
  readonly inner = new MapDataPlane(this.store, new RingBuilder());
  failing: ((op: MapOp) => boolean) | null = null;
  observations = 0;

  observe(): Observed {
    this.observations++;
    return this.inner.observe();
  }

  async apply(op: MapOp): Promise<void> {
    if (this.failing?.(op)) throw new PilotfishError('PF_MAP', `refused ${op.op}`);
    this.ops.push(op);
    await this.inner.apply(op);
  }
}

describe('Reconciler', () => {
  let dataPlane: Recording;
  let reconciler: Reconciler;
  let reconciled: { status: ReconcilerStatus; ops: readonly MapOp[] }[];

  beforeEach(() => {
    vi.useFakeTimers();
    dataPlane = new Recording();
    reconciled = [];
    reconciler = new Reconciler({ dataPlane, log, onReconciled: (status, ops) => reconciled.push({ status, ops }) });
  });

  afterEach(async () => {
    await reconciler.close();
    vi.useRealTimers();
  });

  const settle = () => vi.advanceTimersByTimeAsync(20);

  function realsIn(slots: Uint16Array | null): Set<number> {
    return new Set(slots);
  }

  it('touches nothing before it has both a snapshot and the host’s link', async () => {
    reconciler.setHost(host);
    reconciler.setVerdicts(verdicts('web', up));
    await settle();
    expect(dataPlane.ops).toEqual([]);
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1'])], [vip('web')]));
    await settle();
    expect(dataPlane.ops.map((op) => op.op)).toEqual([
      'settings',
      'name-pool',
      'put-real',
      'swap-rings',
      'swap-server-ids',
      'swap-directory',
    ]);
  });

  it('makes one plan of changes that arrive together', async () => {
    reconciler.setHost(host);
    for (let weight = 1; weight <= 50; weight++)
      reconciler.setSnapshot(snapshot([pool('web', [real('10.0.0.1', { weight })])], [vip('web')]));
    reconciler.setVerdicts(verdicts('web', up));
    await settle();
    expect(dataPlane.ops.filter((op) => op.op === 'swap-rings')).toHaveLength(1);
    expect(reconciled).toHaveLength(1);
    expect(reconciled[0]?.status.target?.pools.get('web')?.ring).toEqual([{ address: '10.0.0.1', weight: 50 }]);
  });

  it('asks for verdicts when it plans, however often they change before', async () => {
    const now = verdicts('web', up);
    const get = vi.fn((key: RealKey) => now.get(key));
    reconciler.setHost(host);
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1', '10.0.0.2'])], [vip('web')]));
    for (let n = 0; n < 1_000; n++) reconciler.setVerdicts({ get });
    expect(get).not.toHaveBeenCalled();
    now.set(realKey('web', '10.0.0.2'), 'down');
    await settle();
    expect(get.mock.calls.length).toBeLessThan(10);
    expect(realsIn(dataPlane.store.slots(0))).toEqual(new Set([1]));
  });

  it('moves flows with the verdicts, and a real that goes down keeps its number', async () => {
    reconciler.setHost(host);
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1', '10.0.0.2'])], [vip('web')]));
    reconciler.setVerdicts(verdicts('web', up));
    await settle();
    expect(realsIn(dataPlane.store.slots(0))).toEqual(new Set([1, 2]));
    reconciler.setVerdicts(verdicts('web', { ...up, '10.0.0.2': 'down' }));
    await settle();
    expect(realsIn(dataPlane.store.slots(0))).toEqual(new Set([1]));
    expect(dataPlane.inner.observe().reals.size).toBe(2);
  });

  it('retries with backoff after a failure, reads the maps anew, and gets there', async () => {
    reconciler.setHost(host);
    dataPlane.failing = (op) => op.op === 'swap-rings';
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1'])], [vip('web')]));
    reconciler.setVerdicts(verdicts('web', up));
    await settle();
    expect(reconciler.status.failures).toBe(1);
    expect(reconciler.status.lastError).toBe('refused swap-rings');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(reconciler.status.failures).toBeGreaterThan(3);
    expect(reconciler.status.failures).toBeLessThan(12);
    dataPlane.failing = null;
    await vi.advanceTimersByTimeAsync(5_100);
    expect(reconciler.status).toMatchObject({ failures: 0, lastError: null });
    expect(dataPlane.inner.observe().directory?.vips.size).toBe(1);
    // The real that was put before the failure was found again, not put twice.
    expect(dataPlane.ops.filter((op) => op.op === 'put-real')).toHaveLength(1);
  });

  it('converges when every operation fails now and then', async () => {
    let n = 0;
    dataPlane.failing = () => ++n % 3 === 0;
    reconciler.setHost(host);
    reconciler.setVerdicts(new Map([...verdicts('web', up), ...verdicts('api', up)]));
    reconciler.setSnapshot(
      snapshot(
        [pool('web', ['10.0.0.1', '10.0.0.2']), pool('api', ['10.0.0.1'])],
        [vip('web'), vip('api', { port: 81, pool: 'api' })],
      ),
    );
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reconciler.status.failures).toBe(0);
    expect(dataPlane.inner.observe().directory?.vips.size).toBe(2);
  });

  it('keeps a removed real’s flows for removeAfter and voids them then', async () => {
    reconciler.setHost(host);
    reconciler.setVerdicts(verdicts('web', up));
    const fields = { removeAfterMs: 60_000 };
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1', '10.0.0.2'], fields)], [vip('web')]));
    await settle();
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1'], fields)], [vip('web')]));
    await settle();
    expect(realsIn(dataPlane.store.slots(0))).toEqual(new Set([1]));
    expect(dataPlane.inner.observe().reals.get(2)?.address).toBe('10.0.0.2');
    // Somebody sets the time of day.
    vi.setSystemTime(Date.now() + 3_600_000);
    reconciler.setVerdicts(verdicts('web', up));
    await settle();
    expect(dataPlane.inner.observe().reals.has(2)).toBe(true);
    await vi.advanceTimersByTimeAsync(61_000);
    expect(dataPlane.inner.observe().reals.has(2)).toBe(false);
    expect(dataPlane.inner.observe().freed.get(2)).toBe(1);
  });

  it('repairs what somebody else changed in the maps', async () => {
    reconciler.setHost(host);
    reconciler.setVerdicts(verdicts('web', up));
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1'])], [vip('web')]));
    await settle();
    dataPlane.store.put('reals', indexKey(1), encodeVoidReal(9));
    await vi.advanceTimersByTimeAsync(31_000);
    const observed = dataPlane.inner.observe();
    expect([...observed.reals.values()].map((r) => r.address)).toEqual(['10.0.0.1']);
    const [number = 0] = observed.reals.keys();
    expect(realsIn(dataPlane.store.slots(0))).toEqual(new Set([number]));
  });

  it('puts the directory and the ids in place again when somebody else changed them', async () => {
    reconciler.setHost(host);
    reconciler.setVerdicts(verdicts('web', up));
    const reals = [real('10.0.0.1', { serverIds: [7] })];
    reconciler.setSnapshot(snapshot([pool('web', reals)], [vip('web', { tcpServerId: true })]));
    await settle();
    const { store } = dataPlane;
    const tables = () => [store.tableBytes('directory'), store.tableBytes('server_ids')];
    const before = tables();
    for (const table of ['directory', 'server_ids'] as const)
      await store.swapTable(table, new Uint8Array(store.tableBytes(table)?.length ?? 0));
    expect(tables()).not.toEqual(before);
    await vi.advanceTimersByTimeAsync(31_000);
    expect(tables()).toEqual(before);
    expect(dataPlane.inner.observe().serverIds).toEqual(new Map([['0|7', 1]]));
  });

  it('follows a neighbour’s MAC address in place', async () => {
    reconciler.setHost(host);
    reconciler.setVerdicts(verdicts('web', up));
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1'], { encap: 'l2' })], [vip('web')]));
    await settle();
    dataPlane.ops.length = 0;
    reconciler.setHost({ ...host, neighbours: new Map([['10.0.0.1', '02:00:00:00:00:11']]) });
    await settle();
    expect(dataPlane.ops.map(({ op }) => op)).toEqual(['put-real']);
    expect(dataPlane.inner.observe().reals.get(1)?.encap).toEqual({ kind: 'l2', mac: '02:00:00:00:00:11' });
  });

  it('does nothing more after close', async () => {
    reconciler.setHost(host);
    await reconciler.close();
    reconciler.setSnapshot(snapshot([pool('web', ['10.0.0.1'])]));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(dataPlane.ops).toEqual([]);
  });
});
