import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { EtcdSource } from '../../src/sync/etcd-source.ts';
import type { SourceStatus } from '../../src/sync/source.ts';
import { needEtcdProcess } from '../support/etcd.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { skipUnless } from '../support/require.ts';
import { recordingLogger, SourceRecorder } from '../support/source-recorder.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

const desired = '/pilotfish/v1/desired';

/** A running source, closed at the end of the scope. */
function watching(...endpoints: string[]): AsyncDisposable & {
  readonly recorder: SourceRecorder;
  readonly lines: Record<string, unknown>[];
} {
  const recorder = new SourceRecorder();
  const { log, lines } = recordingLogger();
  const source = new EtcdSource({ endpoints, log });
  source.start(recorder);
  return { recorder, lines, [Symbol.asyncDispose]: () => source.close() };
}

const lost = (recorder: SourceRecorder) =>
  recorder.statuses.filter((status): status is SourceStatus & { state: 'lost' } => status.state === 'lost');

describe.skipIf(skipUnless(['etcd'], needEtcdProcess())).concurrent('the etcd source under faults', () => {
  it('loses nothing when cut right after its watch began, ten times', async () => {
    await using server = await EtcdProcess.start();
    await using proxy = await TcpProxy.start(server.endpoint);
    await using view = watching(proxy.endpoint);
    const { recorder } = view;
    for (let i = 0; i < 10; i++) {
      await until(`current, time ${i}`, 10_000, () => recorder.state === 'current');
      const written = server.ctl('put', `${desired}/vips/v${i}`, `${i}`);
      proxy.cut();
      await written;
      await until(`lost, time ${i}`, 5_000, () => lost(recorder).length > i);
    }
    await until('all ten keys', 5_000, () => recorder.last?.keys.size === 10);
  });

  it('loses nothing when cut in the middle of a listing and of a burst', async () => {
    await using server = await EtcdProcess.start();
    await using proxy = await TcpProxy.start(server.endpoint);
    const big = 'x'.repeat(2_000);
    const puts = (round: string) =>
      Array.from({ length: 100 }, (_, i) => `put ${desired}/vips/v${i} ${round}-${big}`).join('\n');
    await server.txn(puts('one'));
    let cuts = 0;
    proxy.onServerData = (total) => {
      if (total > 50_000 && cuts < 4) {
        cuts++;
        proxy.cut();
      }
    };
    await using view = watching(proxy.endpoint);
    const { recorder } = view;
    await until('the listing, after four cuts', 10_000, () => recorder.last?.keys.size === 100);
    expect(cuts).toBe(4);
    await until('current', 5_000, () => recorder.state === 'current');
    cuts = 2;
    for (const round of ['two', 'three', 'four']) {
      await server.txn(puts(round));
    }
    const all = (round: string) => [...recorder.last!.keys.values()].every((value) => value === `${round}-${big}`);
    await until('the last round', 10_000, () => all('four'));
    expect(cuts).toBe(4);
  });

  it('gets over a compaction while it was away', async () => {
    await using server = await EtcdProcess.start();
    await using proxy = await TcpProxy.start(server.endpoint);
    await server.ctl('put', `${desired}/vips/old`, '1');
    await using view = watching(proxy.endpoint);
    const { recorder } = view;
    await until('current', 3_000, () => recorder.state === 'current');
    proxy.refusing = true;
    proxy.cut();
    await server.ctl('put', `${desired}/vips/new`, '2');
    await server.ctl('del', `${desired}/vips/old`);
    await server.ctl('put', '/elsewhere', '3');
    const status = JSON.parse(await server.ctl('endpoint', 'status', '-w', 'json')) as {
      Status: { header: { revision: number } };
    }[];
    await server.ctl('compact', `${status[0]!.Status.header.revision}`);
    await until('lost', 3_000, () => recorder.state === 'lost');
    proxy.refusing = false;
    await until('the new state', 5_000, () => recorder.value('desired/vips/new') === '2');
    expect(recorder.last?.keys.size).toBe(1);
  });

  it('notices a frozen server and takes up again when it thaws', async () => {
    await using server = await EtcdProcess.start();
    await using view = watching(server.endpoint);
    const { recorder } = view;
    await until('current', 3_000, () => recorder.state === 'current');
    server.signal('SIGSTOP');
    await until('lost', 9_000, () => recorder.state === 'lost');
    expect(lost(recorder)[0]?.reason).toMatch(/no answer in time|silent|connection was lost/);
    server.signal('SIGCONT');
    await server.ctl('put', `${desired}/vips/web`, '1');
    await until('the put', 8_000, () => recorder.value('desired/vips/web') === '1');
  });

  it('leaves a path that went silent for the next endpoint', async () => {
    await using server = await EtcdProcess.start();
    await using proxy = await TcpProxy.start(server.endpoint);
    await using view = watching(proxy.endpoint, server.endpoint);
    const { recorder } = view;
    await until('current', 3_000, () => recorder.state === 'current');
    proxy.freeze();
    await server.ctl('put', `${desired}/vips/web`, '1');
    await until('the put, by the other endpoint', 9_000, () => recorder.value('desired/vips/web') === '1');
    await until('current', 3_000, () => recorder.state === 'current');
    expect(recorder.statuses.at(-1)).toEqual({ state: 'current', endpoint: server.endpoint });
  });

  it('gets over a crash of the server', async () => {
    await using server = await EtcdProcess.start();
    await server.ctl('put', `${desired}/vips/a`, '1');
    await using view = watching(server.endpoint);
    const { recorder, lines } = view;
    await until('current', 3_000, () => recorder.state === 'current');
    const before = recorder.last!.revision;
    await server.kill();
    await until('lost', 3_000, () => recorder.state === 'lost');
    await sleep(1_500);
    expect(recorder.deliveries).toHaveLength(1);
    await server.boot();
    await until('current', 5_000, () => recorder.state === 'current');
    await server.ctl('put', `${desired}/vips/b`, '2');
    await until('the put', 1_000, () => recorder.value('desired/vips/b') === '2');
    expect(recorder.last?.revision).toEqual({ generation: before.generation, number: before.number + 1 });
    expect(new Set(lost(recorder).map(({ since }) => since)).size).toBe(1);
    // The loss itself, then that nobody listens any more, then the return; many tries in between say nothing.
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines.at(-1)?.msg).toBe('the store answers again');
  });

  it('hands on a store that was wiped and rebuilt as another generation', async () => {
    await using server = await EtcdProcess.start({ token: 'first' });
    await server.ctl('put', `${desired}/vips/a`, '1');
    await using view = watching(server.endpoint);
    const { recorder } = view;
    await until('first key set', 3_000, () => recorder.deliveries.length === 1);
    const first = recorder.last!.revision;

    await server.kill();
    await server.wipe();
    await server.boot('second');
    await until('the empty set', 5_000, () => recorder.last?.keys.size === 0);
    const second = recorder.last!.revision;
    expect(second.generation).not.toBe(first.generation);
    expect(second.number).toBe(1);

    await server.ctl('put', `${desired}/vips/a`, '1');
    await until('the put', 1_000, () => recorder.last?.keys.size === 1);
    await server.kill();
    await server.wipe();
    await server.boot('second');
    await until('the empty set, under the same cluster id', 5_000, () => recorder.last?.keys.size === 0);
    expect(recorder.last!.revision).toEqual({ generation: `${second.generation}.1`, number: 1 });
  });

  it('hands on a store that was restored from a backup as another generation', async () => {
    await using server = await EtcdProcess.start();
    await server.ctl('put', `${desired}/vips/a`, '1');
    await server.kill();
    await server.backUp();
    await server.boot();
    await server.ctl('put', `${desired}/vips/b`, '2');
    await using view = watching(server.endpoint);
    const { recorder } = view;
    await until('both keys', 3_000, () => recorder.last?.keys.size === 2);
    const before = recorder.last!.revision;
    await server.kill();
    await server.restore();
    await server.boot();
    await until('the old state', 5_000, () => recorder.last?.keys.size === 1);
    expect(recorder.last!.revision).toEqual({ generation: `${before.generation}.1`, number: before.number - 1 });
  });

  it('waits for a store that is down at start, and says so once', async () => {
    await using server = await EtcdProcess.start();
    await server.ctl('put', `${desired}/vips/a`, '1');
    await server.kill();
    await using view = watching(server.endpoint);
    const { recorder, lines } = view;
    await until('lost', 3_000, () => recorder.state === 'lost');
    expect(lost(recorder)[0]?.reason).toBe(`etcd at ${server.endpoint}: connection refused`);
    await until('more tries', 5_000, () => lost(recorder).length > 4);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ endpoint: server.endpoint, reason: 'connection refused' });
    expect(recorder.deliveries).toHaveLength(0);
    await server.boot();
    await until('the state', 5_000, () => recorder.value('desired/vips/a') === '1');
  });
});
