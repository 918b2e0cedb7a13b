import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Snapshot } from '../../src/core/model.ts';
import { parseState } from '../../src/core/parse-state.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { FaultyMapStore } from '../../src/dataplane/faulty-store.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { Reconciler } from '../../src/sync/reconciler.ts';
import { revision } from '../support/desired.ts';
import { host } from '../support/in-force.ts';
import { forwardingOf } from '../support/meaning.ts';
import { meaningOf } from '../support/planning.ts';
import { roomyMapsArb } from '../support/planning-arb.ts';
import { editArb, healthArb, startKeys, verdictsOn } from '../support/state-arb.ts';
import { WatchedStore } from '../support/watched-store.ts';
import { writtenMaps } from '../support/write-maps.ts';

const realBytes = (byte: number): Uint8Array => new Uint8Array(structs.pf_real.size).fill(byte);
const log = pino({ level: 'silent' });
const rings = new RingBuilder(512);

describe('FaultyMapStore', () => {
  const ring = (pool: number) => ({ pool, fill: (slots: Uint16Array) => void slots.fill(1) });

  it('passes everything on while nothing fails', async () => {
    const store = new FaultyMapStore(new MemoryMapStore(), 1, 0);
    store.put('reals', indexKey(3), realBytes(7));
    expect(store.get('reals', indexKey(3))).toEqual(realBytes(7));
    expect([...store.entries('reals')]).toHaveLength(store.maxEntries('reals'));
    expect(await store.swapRings([ring(2)])).toEqual([1]);
    expect(store.ringIds()).toEqual(new Map([[2, 1]]));
    await store.removeRings([2]);
    expect(store.ringIds().size).toBe(0);
    expect([store.failures, store.cpus]).toEqual([0, 1]);
  });

  it('fails the next call of the kind that is named, once, and leaves the others alone', () => {
    const maps = new MemoryMapStore();
    const store = new FaultyMapStore(maps, 1, 0);
    store.failNext('put reals');
    expect(store.get('reals', indexKey(1))).toEqual(realBytes(0));
    expect(() => store.put('reals', indexKey(1), realBytes(1))).toThrowError('put reals failed on purpose');
    expect(maps.get('reals', indexKey(1))).toEqual(realBytes(0));
    store.put('reals', indexKey(1), realBytes(1));
    expect(store.failures).toBe(1);
  });

  it('fails the share that it is told to, the same one for the same seed', () => {
    const outcomes = (seed: number): string => {
      const store = new FaultyMapStore(new MemoryMapStore(), seed);
      return Array.from({ length: 2_000 }, () => {
        const before = store.failures;
        try {
          store.ringIds();
        } catch {
          // What counts is that it failed.
        }
        return store.failures - before;
      }).join('');
    };
    expect(outcomes(7)).toBe(outcomes(7));
    expect(outcomes(7)).not.toBe(outcomes(8));
    const failed = outcomes(7).replaceAll('0', '').length;
    expect(failed).toBeGreaterThan(140);
    expect(failed).toBeLessThan(260);
  });

  it('leaves the ring methods half done', async () => {
    const maps = new MemoryMapStore();
    const store = new FaultyMapStore(maps, 1, 1);
    const pools = Array.from({ length: 32 }, (_, pool) => pool);
    await expect(store.swapRings(pools.map(ring))).rejects.toThrowError('swapRings failed on purpose');
    const made = maps.ringIds().size;
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(32);
    await expect(store.removeRings(pools)).rejects.toThrowError('removeRings failed on purpose');
    expect(maps.ringIds().size).toBeGreaterThan(0);
    expect(maps.ringIds().size).toBeLessThan(made);
  });
});

describe('the reconciler over maps that fail', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const stateArb = fc.record({ edits: fc.array(editArb, { minLength: 4, maxLength: 20 }), health: healthArb });

  /** The snapshots that come of the edits, one after the other. */
  function snapshotsOf(
    steps: readonly { readonly edits: readonly (readonly [string, string | null])[] }[],
  ): Snapshot[] {
    const keys = startKeys();
    let parsed: ReturnType<typeof parseState> | null = null;
    return steps.map(({ edits }) => {
      for (const [key, value] of edits)
        if (value === null) keys.delete(key);
        else keys.set(key, value);
      parsed = parseState(keys, revision, parsed);
      return parsed.snapshot;
    });
  }

  /** What an undisturbed reconciler makes of one state in empty maps. */
  async function undisturbed(snapshot: Snapshot, health: ReadonlyMap<string, 'up' | 'down' | 'unknown'>) {
    const maps = new MemoryMapStore();
    const dataPlane = new MapDataPlane(maps, rings);
    const reconciler = new Reconciler({ dataPlane, log });
    reconciler.setHost(host);
    reconciler.setVerdicts(verdictsOn(snapshot, health));
    reconciler.setSnapshot(snapshot);
    await vi.advanceTimersByTimeAsync(10);
    await reconciler.close();
    const observed = dataPlane.observe();
    return { forwarding: forwardingOf(maps, observed), pools: meaningOf(observed).pools };
  }

  it('gets from any maps through any states to the last one, sound all the way, and leaks no number', async () => {
    let failures = 0;
    await fc.assert(
      fc.asyncProperty(
        roomyMapsArb(),
        fc.array(stateArb, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1 }),
        async (found, states, seed) => {
          const maps = await writtenMaps(found);
          const watched = new WatchedStore(maps);
          const faulty = new FaultyMapStore(watched, seed);
          const dataPlane = new MapDataPlane(faulty, rings);
          for (const [name, pool] of found.pools) await dataPlane.apply({ op: 'name-pool', name, pool });
          const reconciler = new Reconciler({ dataPlane, log });
          reconciler.setHost(host);
          const snapshots = snapshotsOf(states);
          for (const [i, snapshot] of snapshots.entries()) {
            reconciler.setVerdicts(verdictsOn(snapshot, states[i]?.health ?? new Map()));
            reconciler.setSnapshot(snapshot);
            await vi.advanceTimersByTimeAsync(300);
          }
          // Retries are 5 s apart at most, removed reals linger for a minute at most.
          for (let tries = 0; tries < 100; tries++) {
            await vi.advanceTimersByTimeAsync(10_000);
            if (tries > 12 && reconciler.status.failures === 0) break;
          }
          expect(reconciler.status.lastError).toBe(null);
          expect(watched.faults).toEqual([]);
          failures += faulty.failures;
          faulty.rate = 0;
          // Beyond the audit, which finds what a failed read has hidden.
          await vi.advanceTimersByTimeAsync(61_000);
          await reconciler.close();

          const observed = dataPlane.observe();
          const last = snapshots.at(-1) as Snapshot;
          const expected = await undisturbed(last, states.at(-1)?.health ?? new Map());
          expect(forwardingOf(maps, observed)).toEqual(expected.forwarding);
          expect(meaningOf(observed).pools).toEqual(expected.pools);
          const names = new Map([...observed.pools].map(([name, number]) => [number, name]));
          const desired = [...last.pools.values()].flatMap((p) => p.reals.map(({ address }) => `${p.name}|${address}`));
          const live = [...observed.reals.values()].map(({ pool, address }) => `${names.get(pool)}|${address}`);
          expect(new Set(live).size).toBe(live.length);
          expect(live.filter((real) => !desired.includes(real))).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
    expect(failures).toBeGreaterThan(100);
  });

  it('goes on when the maps cannot be read back', async () => {
    const maps = new MemoryMapStore();
    const faulty = new FaultyMapStore(maps, 1, 0);
    const reconciler = new Reconciler({ dataPlane: new MapDataPlane(faulty, rings), log });
    reconciler.setHost(host);
    const [snapshot] = snapshotsOf([{ edits: [] }]) as [Snapshot];
    reconciler.setVerdicts(verdictsOn(snapshot, new Map()));
    reconciler.setSnapshot(snapshot);
    await vi.advanceTimersByTimeAsync(10);
    const before = maps.tableBytes('directory');
    await maps.swapTable('directory', new Uint8Array(before?.length ?? 0));
    faulty.failNext('entries reals');
    await vi.advanceTimersByTimeAsync(31_000);
    expect(faulty.failures).toBe(1);
    expect(maps.tableBytes('directory')).toEqual(before);
    expect(reconciler.status.lastError).toBe(null);
    await reconciler.close();
  });
});
