import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Source, SourceListener } from '../../src/sync/source.ts';
import { keySet, type Values } from '../support/desired.ts';
import { type EtcdServer, needEtcd, startEtcd } from '../support/etcd.ts';
import { skipUnless } from '../support/require.ts';
import { recordingLogger, SourceRecorder } from '../support/source-recorder.ts';
import { EtcdWorld, FileWorld, type SourceWorld } from '../support/source-worlds.ts';
import { until } from '../support/until.ts';

const one: Values = {
  'vips/web': { address: '192.0.2.10', port: 443, protocol: 'tcp', pool: 'web' },
  'pools/web': { minHealthy: '30%' },
  'pools/web/reals/r1': { address: '10.0.0.11' },
};
const two: Values = { ...one, 'pools/web/reals/r2': { address: '10.0.0.12', weight: 50 } };

const current = (recorder: SourceRecorder) => until('current', 5_000, () => recorder.state === 'current');
const lost = (recorder: SourceRecorder) => until('lost', 8_000, () => recorder.state === 'lost');
async function holds(recorder: SourceRecorder, state: Values, ms = 5_000): Promise<void> {
  const text = JSON.stringify([...keySet(state)].sort());
  await until(text, ms, () => JSON.stringify([...(recorder.last?.keys ?? [])].sort()) === text);
}

/** Closes the source at the end of a test, also of one that failed. */
function opened(world: SourceWorld, listener: SourceListener): AsyncDisposable & { readonly source: Source } {
  const source = world.open(recordingLogger().log);
  source.start(listener);
  return { source, [Symbol.asyncDispose]: () => source.close() };
}

/** What everything behind a source may rely on, whatever kind it is. */
function contract(make: () => Promise<SourceWorld>): void {
  it('hands on the complete state before it says that it is current', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await current(recorder);
    expect(recorder.events).toEqual(['connecting', 'keys', 'current']);
    expect(recorder.last?.keys).toEqual(keySet(one));
    expect(recorder.statuses.at(-1)).toEqual({ state: 'current', endpoint: world.endpoint });
  });

  it('hands on the complete state after each change: something more, something else, something less', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await current(recorder);
    await world.set(two);
    await holds(recorder, two, 500);
    const changed = { ...two, 'pools/web/reals/r2': { address: '10.0.0.12', weight: 0 } };
    await world.set(changed);
    await holds(recorder, changed, 500);
    await world.set(one);
    await holds(recorder, one, 500);
    expect(recorder.deliveries).toHaveLength(4);
    expect(recorder.statuses).toHaveLength(2);
  });

  it('hands on an empty set when everything is deleted', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await current(recorder);
    await world.set({});
    await until('the empty set', 500, () => recorder.last?.keys.size === 0);
    expect(recorder.state).toBe('current');
  });

  it('ends many quick changes in the last one, and its numbers only rise', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await current(recorder);
    for (let i = 0; i < 50; i++) await world.set({ ...one, 'pools/web': { minHealthy: `${i}%` } });
    await holds(recorder, { ...one, 'pools/web': { minHealthy: '49%' } });
    await sleep(200);
    expect(recorder.value('desired/pools/web')).toBe('{"minHealthy":"49%"}');
    const revisions = recorder.deliveries.map(({ revision }) => revision);
    expect(new Set(revisions.map(({ generation }) => generation)).size).toBe(1);
    const numbers = revisions.map(({ number }) => number);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  });

  it('does not touch a set that it has handed on', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await current(recorder);
    await world.set(two);
    await holds(recorder, two);
    expect(recorder.deliveries[0]?.keys).toEqual(keySet(one));
  });

  it('says that it is lost, why and since when, and takes nothing away', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await current(recorder);
    const before = Date.now();
    await world.goAway();
    await lost(recorder);
    const status = recorder.statuses.at(-1);
    if (status?.state !== 'lost') throw new Error('not lost');
    expect(status.reason).toContain(world.endpoint);
    expect(status.since).toBeGreaterThanOrEqual(before);
    expect(status.since).toBeLessThanOrEqual(Date.now());
    await world.comeBack();
    await current(recorder);
    expect(recorder.deliveries).toHaveLength(1);
  });

  it('catches up with what was changed and deleted while it was lost', async () => {
    await using world = await make();
    await world.set(two);
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await current(recorder);
    await world.goAway();
    await lost(recorder);
    const meanwhile = { ...one, 'vips/web': { ...(one['vips/web'] as object), port: 8443 } };
    await world.set(one);
    await world.set(meanwhile);
    await world.comeBack();
    await holds(recorder, meanwhile);
    await current(recorder);
    expect(recorder.deliveries).toHaveLength(2);
    await world.set(two);
    await holds(recorder, two, 500);
  });

  it('waits for what is not there at the start', async () => {
    await using world = await make();
    await world.set(one);
    await world.goAway();
    const recorder = new SourceRecorder();
    await using _ = opened(world, recorder);
    await lost(recorder);
    expect(recorder.events[0]).toBe('connecting');
    expect(recorder.deliveries).toEqual([]);
    await world.comeBack();
    await current(recorder);
    expect(recorder.last?.keys).toEqual(keySet(one));
  });

  it('hands on again what the listener failed to take, and survives one that takes no status', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    recorder.failures = 1;
    await using _ = opened(world, {
      keys: (keys, revision) => recorder.keys(keys, revision),
      status: () => {
        throw new Error('a listener that fails on purpose');
      },
    });
    await holds(recorder, one);
    recorder.failures = 1;
    await world.set(two);
    await holds(recorder, two);
    expect(recorder.deliveries).toHaveLength(2);
  });

  it('says nothing any more once it is closed', async () => {
    await using world = await make();
    await world.set(one);
    const recorder = new SourceRecorder();
    await using running = opened(world, recorder);
    await current(recorder);
    await world.set(two);
    await running.source.close();
    const { length } = recorder.events;
    await world.set(one);
    await world.goAway();
    await sleep(300);
    expect(recorder.events).toHaveLength(length);
  });

  it('closes in any state, and twice', async () => {
    await using world = await make();
    await world.set(one);
    await world.open(recordingLogger().log).close();
    await world.goAway();
    const recorder = new SourceRecorder();
    await using running = opened(world, recorder);
    await lost(recorder);
    await Promise.all([running.source.close(), running.source.close()]);
    await running.source.close();
    expect(recorder.deliveries).toEqual([]);
  });
}

describe('the contract of sources, kept by the file source', () => {
  contract(() => FileWorld.make());
});

describe.skipIf(skipUnless(['etcd'], needEtcd()))('the contract of sources, kept by the etcd source', () => {
  let server: EtcdServer;

  beforeAll(async () => {
    server = await startEtcd();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  contract(() => EtcdWorld.make(server.endpoint));
});
