import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EtcdClient } from '../../src/sync/etcd-client.ts';
import type { SessionTimes } from '../../src/sync/etcd-session.ts';
import { EtcdSource } from '../../src/sync/etcd-source.ts';
import type { EtcdServer } from '../support/etcd.ts';
import { needEtcd, startEtcd } from '../support/etcd.ts';
import { skipUnless } from '../support/require.ts';
import { recordingLogger, SourceRecorder } from '../support/source-recorder.ts';
import { until } from '../support/until.ts';

const client = (endpoint: string) =>
  EtcdClient.connect(endpoint, { endpoints: [endpoint] }, new AbortController().signal);

/** Puts `count` keys of `name(i)` in large transactions. */
async function putMany(endpoint: string, count: number, name: (i: number) => string, perTxn = 100): Promise<void> {
  const writer = await client(endpoint);
  for (let from = 0; from < count; from += perTxn) {
    const size = Math.min(perTxn, count - from);
    const success = Array.from({ length: size }, (_, i) => ({
      request_put: { key: Buffer.from(name(from + i)), value: Buffer.from(`${from + i}`) },
    }));
    await writer.txn({ success });
  }
  writer.close();
}

describe.skipIf(skipUnless(['etcd'], needEtcd()))('the etcd source', () => {
  let server: EtcdServer;
  let prefix = '';
  let tests = 0;
  const open: EtcdSource[] = [];

  beforeAll(async () => {
    server = await startEtcd();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((source) => source.close()));
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  /** A source of a prefix that no other test uses. */
  function start(times: Partial<SessionTimes> = {}): { recorder: SourceRecorder; lines: Record<string, unknown>[] } {
    const recorder = new SourceRecorder();
    const { log, lines } = recordingLogger();
    const source = new EtcdSource({ endpoints: [server.endpoint], prefix, log }, times);
    open.push(source);
    source.start(recorder);
    return { recorder, lines };
  }

  const nextPrefix = () => {
    prefix = `/pf-test-${++tests}/`;
  };

  it('hands on the whole key set first, and nothing that is not desired state', async () => {
    nextPrefix();
    await server.ctl('put', `${prefix}desired/vips/web`, '{"port":80}');
    await server.ctl('put', `${prefix}fleet/lb1/info`, '{}');
    await server.ctl('put', `${prefix}desired-not`, 'x');
    await server.ctl('put', `/other/desired/vips/web`, 'x');
    const { recorder } = start();
    await until('first key set', 3_000, () => recorder.deliveries.length > 0);
    expect(recorder.last?.keys).toEqual(new Map([['desired/vips/web', '{"port":80}']]));
    expect(recorder.last?.revision.generation).toMatch(/^[0-9a-f]{16}$/);
    expect(recorder.last?.revision.number).toBeGreaterThan(1);
    await until('current', 3_000, () => recorder.state === 'current');
    expect(recorder.statuses[0]).toEqual({ state: 'connecting' });
    expect(recorder.statuses.at(-1)).toEqual({ state: 'current', endpoint: server.endpoint });
    await server.ctl('put', `${prefix}fleet/lb1/info`, '{"a":1}');
    await sleep(100);
    expect(recorder.deliveries).toHaveLength(1);
  });

  it('hands on an empty prefix as an empty key set', async () => {
    nextPrefix();
    const { recorder } = start();
    await until('first key set', 3_000, () => recorder.deliveries.length > 0);
    expect(recorder.last?.keys.size).toBe(0);
  });

  it('sees puts, changes and deletes within 200 ms', async () => {
    nextPrefix();
    const { recorder } = start();
    await until('current', 3_000, () => recorder.state === 'current');
    const writer = await client(server.endpoint);
    const key = Buffer.from(`${prefix}desired/pools/web`);
    await writer.txn({ success: [{ request_put: { key, value: Buffer.from('1') } }] });
    await until('the put', 200, () => recorder.value('desired/pools/web') === '1');
    const { number } = recorder.last!.revision;
    await writer.txn({ success: [{ request_put: { key, value: Buffer.from('2') } }] });
    await until('the change', 200, () => recorder.value('desired/pools/web') === '2');
    expect(recorder.last?.revision.number).toBe(number + 1);
    await writer.txn({ success: [{ request_delete_range: { key } }] });
    await until('the delete', 200, () => recorder.last?.keys.size === 0);
    writer.close();
  });

  it('folds one transaction into one call', async () => {
    nextPrefix();
    const { recorder } = start();
    await until('current', 3_000, () => recorder.state === 'current');
    await putMany(server.endpoint, 100, (i) => `${prefix}desired/vips/v${i}`);
    await until('the keys', 1_000, () => recorder.last?.keys.size === 100);
    expect(recorder.deliveries).toHaveLength(2);
  });

  it('hands on key sets that later changes do not touch', async () => {
    nextPrefix();
    await server.ctl('put', `${prefix}desired/vips/a`, '1');
    const { recorder } = start();
    await until('current', 3_000, () => recorder.state === 'current');
    const first = recorder.last!.keys;
    await server.ctl('put', `${prefix}desired/vips/b`, '2');
    await until('the second key', 1_000, () => recorder.last?.keys.size === 2);
    expect(first.size).toBe(1);
  });

  it('lists 5,000 keys in pages', async () => {
    nextPrefix();
    await putMany(server.endpoint, 5_000, (i) => `${prefix}desired/vips/v${String(i).padStart(5, '0')}`);
    const { recorder } = start();
    await until('first key set', 5_000, () => recorder.deliveries.length > 0);
    expect(recorder.last?.keys.size).toBe(5_000);
    expect(recorder.value('desired/vips/v04999')).toBe('4999');
  });

  it('gets 20,000 puts that arrive in a burst', async () => {
    nextPrefix();
    const { recorder } = start();
    await until('current', 3_000, () => recorder.state === 'current');
    await putMany(server.endpoint, 20_000, (i) => `${prefix}desired/vips/v${i % 2_000}`);
    await until('the last put', 10_000, () => recorder.value('desired/vips/v1999') === '19999');
    expect(recorder.last?.keys.size).toBe(2_000);
    expect([...recorder.last!.keys].every(([key, value]) => Number(value) === 18_000 + Number(key.slice(14)))).toBe(
      true,
    );
  });

  it('puts values together that are larger than one message may be', async () => {
    nextPrefix();
    const { recorder } = start();
    await until('current', 3_000, () => recorder.state === 'current');
    const writer = await client(server.endpoint);
    const value = Buffer.alloc(500_000, 'x');
    for (let i = 0; i < 12; i++) {
      await writer.txn({ success: [{ request_put: { key: Buffer.from(`${prefix}desired/vips/v${i}`), value } }] });
    }
    await until('all values', 5_000, () => recorder.last?.keys.size === 12);
    expect([...recorder.last!.keys.values()].every((text) => text.length === 500_000)).toBe(true);
    writer.close();
    const late = start().recorder;
    await until('all values at once', 5_000, () => late.last?.keys.size === 12);
  });

  it('lists anew from time to time without any word about it', async () => {
    nextPrefix();
    await server.ctl('put', `${prefix}desired/vips/a`, '1');
    const { recorder, lines } = start({ relistMs: 50 });
    await until('current', 3_000, () => recorder.state === 'current');
    await sleep(400);
    await server.ctl('put', `${prefix}desired/vips/a`, '2');
    await until('the change', 1_000, () => recorder.value('desired/vips/a') === '2');
    expect(recorder.deliveries).toHaveLength(2);
    expect(recorder.statuses.map(({ state }) => state)).toEqual(['connecting', 'current']);
    expect(lines).toEqual([]);
  });

  it('loses nothing to a listener that throws', async () => {
    nextPrefix();
    await server.ctl('put', `${prefix}desired/vips/a`, '1');
    const recorder = new SourceRecorder();
    recorder.failures = 2;
    const { log, lines } = recordingLogger();
    const source = new EtcdSource({ endpoints: [server.endpoint], prefix, log });
    open.push(source);
    source.start(recorder);
    await until('the state, though the listener failed twice', 5_000, () => recorder.value('desired/vips/a') === '1');
    expect(lines.filter(({ level }) => level === 50)).toHaveLength(2);
    recorder.failures = 1;
    await server.ctl('put', `${prefix}desired/vips/b`, '2');
    await until('the change, though the listener failed', 3_000, () => recorder.value('desired/vips/b') === '2');
    expect(recorder.last?.keys.size).toBe(2);
  });

  it('leaves nothing behind that keeps a process alive', async () => {
    nextPrefix();
    const program = `
      import { pino } from 'pino';
      import { EtcdSource } from './src/sync/etcd-source.ts';
      const log = pino({ level: 'silent' });
      const source = new EtcdSource({ endpoints: ['${server.endpoint}'], prefix: '${prefix}', log });
      const nobody = new EtcdSource({ endpoints: ['127.0.0.1:1'], log });
      nobody.start({ keys() {}, status() {} });
      source.start({
        keys() {},
        async status({ state }) {
          if (state === 'current') {
            await Promise.all([source.close(), nobody.close()]);
            console.log('closed');
          }
        },
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (piece) => {
      output += piece;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), 8_000);
    const [code] = await once(child, 'exit');
    clearTimeout(timer);
    expect(output).toBe('closed\n');
    expect(code).toBe(0);
  });

  it('is closed before it was started, and twice', async () => {
    const source = new EtcdSource({ endpoints: [server.endpoint], log: recordingLogger().log });
    await source.close();
    await source.close();
  });

  it('refuses to be made without an endpoint', () => {
    expect(() => new EtcdSource({ endpoints: [], log: recordingLogger().log })).toThrow(/no endpoints/);
  });
});
