import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PilotfishError } from '../../src/core/errors.ts';
import { EtcdStore } from '../../src/sync/etcd-store.ts';
import type { EtcdServer } from '../support/etcd.ts';
import { needEtcd, startEtcd } from '../support/etcd.ts';
import { skipUnless } from '../support/require.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const failure = (promise: Promise<unknown>): Promise<PilotfishError> =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: PilotfishError) => error,
  );

describe.skipIf(skipUnless(['etcd'], needEtcd()))('the etcd store', () => {
  let server: EtcdServer;
  const stores: EtcdStore[] = [];

  beforeAll(async () => {
    server = await startEtcd();
  });
  afterAll(async () => {
    for (const store of stores) {
      store.close();
    }
    await server[Symbol.asyncDispose]();
  });

  function open(prefix: string, endpoints = [server.endpoint]): EtcdStore {
    const store = new EtcdStore({ endpoints, prefix });
    stores.push(store);
    return store;
  }

  it('lists what it wrote, relative to the prefix, at the revision of the write', async () => {
    const store = open('/a');
    await server.ctl('put', '/ab/desired/x', 'not ours');
    const put = new Map([
      ['desired/vips/web', '{"port":80}'],
      ['desired/pools/wéb', '{}'],
      ['fleet/lb1/info', '{}'],
    ]);
    const written = await store.apply({ put, delete: [] });
    const { keys, revision } = await store.list('desired/');
    expect(keys).toEqual(
      new Map([
        ['desired/pools/wéb', '{}'],
        ['desired/vips/web', '{"port":80}'],
      ]),
    );
    expect(revision).toEqual(written);
    await store.apply({ put: new Map([['desired/vips/new', '1']]), delete: ['desired/vips/web', 'desired/vips/new'] });
    expect([...(await store.list('')).keys.keys()]).toEqual([
      'desired/pools/wéb',
      'desired/vips/new',
      'fleet/lb1/info',
    ]);
  });

  it('writes nothing when there is nothing to write', async () => {
    expect(await open('/b').apply({ put: new Map(), delete: [] })).toBeNull();
  });

  it('writes more than one transaction can hold, by number and by size', async () => {
    const store = open('/c');
    const many = new Map(Array.from({ length: 1_000 }, (_, i) => [`desired/vips/v${i}`, `${i}`] as const));
    await store.apply({ put: many, delete: [] });
    expect((await store.list('desired/')).keys.size).toBe(1_000);
    await store.apply({ put: new Map(), delete: [...many.keys()] });
    expect((await store.list('desired/')).keys.size).toBe(0);
    const large = new Map(Array.from({ length: 6 }, (_, i) => [`desired/vips/v${i}`, 'x'.repeat(400_000)] as const));
    await store.apply({ put: large, delete: [] });
    expect((await store.list('desired/')).keys).toEqual(large);
  });

  it('refuses to overwrite what somebody else changed, and says how far it came', async () => {
    const store = open('/d');
    await store.apply({ put: new Map([['desired/vips/z', '1']]), delete: [] });
    const { revision } = await store.list('desired/');
    await server.ctl('put', '/d/desired/vips/z', 'theirs');
    const put = new Map(Array.from({ length: 128 }, (_, i): [string, string] => [`desired/vips/a${i}`, '']));
    const error = await failure(store.apply({ put: put.set('desired/vips/z', 'ours'), delete: [] }, revision));
    expect(error.code).toBe('PF_STORE');
    expect(error.message).toContain(
      `after revision ${revision.number}; 128 of 129 changes are written: run it again to finish`,
    );
    expect((await store.list('desired/vips/z')).keys.get('desired/vips/z')).toBe('theirs');
    const now = (await store.list('desired/')).revision;
    await store.apply({ put: new Map([['desired/vips/z', 'ours']]), delete: ['desired/vips/a1'] }, now);
    expect((await store.list('desired/vips/z')).keys.get('desired/vips/z')).toBe('ours');
  });

  it('says that nothing is written when a key was changed before the first step', async () => {
    const store = open('/k');
    await store.apply({ put: new Map([['desired/vips/z', '1']]), delete: [] });
    const { revision } = await store.list('desired/');
    await server.ctl('put', '/k/desired/vips/z', 'theirs');
    const put = new Map([['desired/vips/z', 'ours']]);
    const error = await failure(store.apply({ put, delete: [] }, revision));
    expect(error.message).toMatch(/a key was changed by somebody else after revision \d+$/);
  });

  it('says how far it came, and how far it may have come, wherever the connection is lost, and finishes when run again', async () => {
    await using proxy = await TcpProxy.start(server.endpoint);
    const put = new Map(Array.from({ length: 300 }, (_, i): [string, string] => [`desired/vips/v${i}`, '1']));
    const told: number[] = [];
    for (let pieces = 1; pieces <= 10; pieces++) {
      const prefix = `/l${pieces}`;
      const store = open(prefix, [proxy.endpoint]);
      await store.list('desired/');
      let left = pieces;
      proxy.onServerData = () => {
        left--;
        if (left === 0) proxy.cut();
      };
      const error = await store.apply({ put, delete: [] }).catch((thrown: PilotfishError) => thrown);
      proxy.onServerData = undefined;
      if (!(error instanceof Error)) continue;
      const [, written = '', possible] =
        /; (\d+) of 300 changes are written, the next (\d+) may be: run it again to finish$/.exec(error.message) ?? [];
      const reader = open(prefix);
      const { size } = (await reader.list('desired/')).keys;
      expect([Number(written), Number(written) + Number(possible)]).toContain(size);
      told.push(Number(written));
      await store.apply({ put, delete: [] });
      expect((await reader.list('desired/')).keys.size).toBe(300);
    }
    expect(told).toContain(0);
    expect(told).toContain(128);
  });

  it('counts no change of a step that was refused, or that could not be sent', async () => {
    const put = new Map(Array.from({ length: 128 }, (_, i): [string, string] => [`desired/vips/a${i}`, '']));
    put.set('desired/vips/z', 'x'.repeat(3_000_000));
    const refused = await failure(open('/m').apply({ put, delete: [] }));
    expect(refused.message).toMatch(/than the store takes; 128 of 129 changes are written: run it again to finish$/);
    const unsent = await failure(open('/m', ['no-such-host.invalid:2379']).apply({ put, delete: [] }));
    expect(unsent.message).toMatch(/the host name does not resolve$/);
  });

  it('takes the next endpoint when the first is down', async () => {
    const store = open('/e', ['127.0.0.1:1', server.endpoint]);
    await store.apply({ put: new Map([['desired/vips/z', '1']]), delete: [] });
    expect((await store.list('desired/')).keys.size).toBe(1);
  });

  it('says which endpoint refused, why, and what to do', async () => {
    const error = await failure(open('/f', ['127.0.0.1:1']).list('desired/'));
    expect(error.describe()).toBe(
      'PF_STORE: etcd at 127.0.0.1:1: connection refused\n' +
        '  fix: Start etcd there, or correct the endpoint (host and client port, usually 2379).',
    );
  });

  it('says that a host name does not resolve', async () => {
    const error = await failure(open('/g', ['no-such-host.invalid:2379']).list('desired/'));
    expect(error.message).toMatch(/^etcd at no-such-host\.invalid:2379: the host name does not resolve$/);
  });

  it('does not ask an endpoint again that has just failed, but the next one', async () => {
    await using frozen = await TcpProxy.start(server.endpoint);
    const store = open('/k', [frozen.endpoint, server.endpoint]);
    await store.list('desired/');
    const before = frozen.accepted;
    expect(before).toBeGreaterThan(0);
    frozen.freeze();
    expect((await failure(store.list('desired/'))).message).toMatch(/no answer in time$/);
    await store.list('desired/');
    expect(frozen.accepted).toBe(before);
  });

  it('asks for an endpoint when there is none', async () => {
    expect((await failure(open('/h', []).list('desired/'))).code).toBe('PF_CONFIG');
  });

  it('words the refusal of a value that is too large', async () => {
    const put = new Map([['desired/vips/z', 'x'.repeat(3_000_000)]]);
    expect((await failure(open('/i').apply({ put, delete: [] }))).message).toMatch(
      /a value is larger than the store takes$/,
    );
  });

  it('gives up when it is closed', async () => {
    const store = open('/j');
    store.close();
    store.close();
    expect((await failure(store.list('desired/'))).message).toMatch(/given up/);
  });
});
