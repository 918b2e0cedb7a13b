import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WatchResponse, WatchStream } from '../../src/sync/etcd-client.ts';
import { EtcdClient } from '../../src/sync/etcd-client.ts';
import type { StoreError } from '../../src/sync/etcd-errors.ts';
import { KeyFold } from '../../src/sync/etcd-fold.ts';
import type { SessionTimes } from '../../src/sync/etcd-session.ts';
import { EtcdSession, sessionTimes } from '../../src/sync/etcd-session.ts';
import type { EtcdServer } from '../support/etcd.ts';
import { needEtcd, startEtcd } from '../support/etcd.ts';
import { skipUnless } from '../support/require.ts';
import { recordingLogger, SourceRecorder } from '../support/source-recorder.ts';
import { until } from '../support/until.ts';

describe.skipIf(skipUnless(['etcd'], needEtcd()))('an etcd session', () => {
  let server: EtcdServer;
  let prefix = '';
  let tests = 0;

  beforeAll(async () => {
    server = await startEtcd();
  });
  beforeEach(() => {
    prefix = `/session-${++tests}/desired/`;
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  interface Run {
    readonly client: EtcdClient;
    readonly recorder: SourceRecorder;
    /** Resolves with what ended the session; null when a new listing was due. */
    readonly ended: Promise<StoreError | null>;
  }

  /** Runs a session on a real client, whose watch `tamper` may replace. */
  async function run(tamper: (client: EtcdClient) => void, times: Partial<SessionTimes> = {}): Promise<Run> {
    const recorder = new SourceRecorder();
    const fold = new KeyFold(recorder, recordingLogger().log);
    const client = await EtcdClient.connect(server.endpoint, { endpoints: [] }, new AbortController().signal);
    tamper(client);
    const session = new EtcdSession(client, prefix, fold, { ...sessionTimes, ...times }, () =>
      recorder.status({ state: 'current', endpoint: client.endpoint }),
    );
    const ended = session.run().then(
      () => null,
      (error: StoreError) => error,
    );
    return { client, recorder, ended };
  }

  /** Does something between the listing and the watch. */
  const between = (action: () => Promise<unknown>) => (client: EtcdClient) => {
    const watch = client.watch.bind(client);
    client.watch = async () => {
      await action();
      return watch();
    };
  };

  /** Passes each answer of the watch through `change`, which drops it by returning null. */
  const changing = (change: (response: WatchResponse) => WatchResponse | null) => (client: EtcdClient) => {
    const watch = client.watch.bind(client);
    client.watch = async () => {
      const stream = await watch();
      const on = stream.on.bind(stream) as (event: string, listener: (value: WatchResponse) => void) => WatchStream;
      const tampered = (event: string, listener: (value: WatchResponse) => void) =>
        on(event, (value) => {
          const changed = event === 'data' ? change(value) : value;
          if (changed !== null) {
            listener(changed);
          }
        });
      return Object.assign(stream, { on: tampered as WatchStream['on'] });
    };
  };

  const isProgress = (response: WatchResponse) => !response.created && response.events.length === 0;

  it('misses nothing that happens between the listing and the watch', async () => {
    await server.ctl('put', `${prefix}vips/a`, '1');
    const tamper = between(async () => {
      await server.ctl('put', `${prefix}vips/b`, '2');
      await server.ctl('del', `${prefix}vips/a`);
    });
    const { client, recorder, ended } = await run(tamper);
    await until(
      'both changes',
      3_000,
      () => recorder.value('desired/vips/b') === '2' && recorder.last?.keys.size === 1,
    );
    client.close();
    expect((await ended)?.kind).toBe('closed');
  });

  it('ends when the history it needs was compacted', async () => {
    const { ended } = await run(
      between(async () => {
        await server.ctl('put', `${prefix}vips/a`, '1');
        const put = await server.ctl('put', `${prefix}vips/b`, '2', '-w', 'fields');
        await server.ctl('compact', /"Revision" : (\d+)/.exec(put)![1]!);
      }),
    );
    expect(await ended).toMatchObject({ kind: 'compacted', reason: 'the history was compacted meanwhile' });
  });

  it('ends when the watch is not confirmed', async () => {
    const { recorder, ended } = await run(
      changing(() => null),
      { silenceMs: 300 },
    );
    expect(await ended).toMatchObject({ kind: 'timeout', reason: 'the watch was not confirmed for 300 ms' });
    expect(recorder.state).toBeUndefined();
  });

  it('ends when the watch goes silent while reads are answered', async () => {
    const { recorder, ended } = await run(
      changing((response) => (isProgress(response) ? null : response)),
      { silenceMs: 500, probeMs: 100 },
    );
    expect(await ended).toMatchObject({ kind: 'timeout', reason: 'the watch was silent for 500 ms' });
    expect(recorder.state).toBe('current');
  });

  it('ends when the watch stays behind what reads show', async () => {
    const stale = (response: WatchResponse) =>
      isProgress(response) ? { ...response, header: { ...response.header, revision: '1' } } : response;
    const { recorder, ended } = await run(changing(stale), { lagMs: 300, probeMs: 100 });
    await until('current', 3_000, () => recorder.state === 'current');
    await server.ctl('put', '/elsewhere', '1');
    expect((await ended)?.reason).toMatch(/^the watch stays behind the store \(\d+ of \d+\)$/);
  });

  it('does not end for writes elsewhere, which its watch does not tell about', async () => {
    const { client, recorder, ended } = await run(() => undefined, { lagMs: 200, silenceMs: 500, probeMs: 50 });
    await until('current', 3_000, () => recorder.state === 'current');
    const end = performance.now() + 1_200;
    while (performance.now() < end) {
      await server.ctl('put', '/elsewhere', '1');
    }
    await server.ctl('put', `${prefix}vips/a`, '1');
    await until('the put', 500, () => recorder.value('desired/vips/a') === '1');
    client.close();
    expect((await ended)?.kind).toBe('closed');
  });

  it('hands on the parts of one transaction together', async () => {
    const whole: WatchResponse[] = [];
    const split = (response: WatchResponse) => {
      whole.push(response);
      return response;
    };
    const { client, recorder, ended } = await run(changing(split));
    await until('current', 3_000, () => recorder.state === 'current');
    const success = Array.from({ length: 3 }, (_, i) => ({
      request_put: { key: Buffer.from(`${prefix}vips/v${i}`), value: Buffer.alloc(500_000, 'x') },
    }));
    for (let i = 0; i < 2; i++) {
      await client.txn({ success });
    }
    await until('the second transaction', 3_000, () => whole.filter(({ events }) => events.length > 0).length >= 2);
    await until('all keys', 1_000, () => recorder.last?.keys.size === 3);
    expect(recorder.deliveries.every(({ keys }) => keys.size === 0 || keys.size === 3)).toBe(true);
    client.close();
    await ended;
  });
});
