import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readFleet } from '../../src/cli/fleet-state.ts';
import { rejectedView } from '../../src/cli/get-views.ts';
import type { PilotfishError } from '../../src/core/errors.ts';
import { realKey } from '../../src/core/model.ts';
import { FleetPublisher } from '../../src/fleet/publisher.ts';
import { EtcdLeasedKeys } from '../../src/sync/etcd-lease.ts';
import { EtcdStore } from '../../src/sync/etcd-store.ts';
import { needEtcdProcess } from '../support/etcd.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { snapshot } from '../support/model.ts';
import { skipUnless } from '../support/require.ts';
import { recordingLogger } from '../support/source-recorder.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

const info = {
  version: '0.1.0',
  revision: { generation: 'ab', number: 7 },
  digests: { state: '1e', pools: { web: '0f' } },
};

describe.skipIf(skipUnless(['etcd'], needEtcdProcess())).concurrent('the fleet publisher', () => {
  let server: EtcdProcess;
  let store: EtcdStore;

  beforeAll(async () => {
    server = await EtcdProcess.start();
    store = new EtcdStore({ endpoints: [server.endpoint] });
  });
  afterAll(async () => {
    store.close();
    await server[Symbol.asyncDispose]();
  });

  /** A started publisher with a lease of two seconds; stopped at the end of the scope. */
  function start(lb: string, options: { readonly boot?: string } = {}) {
    const { log, lines } = recordingLogger();
    const conflicts: PilotfishError[] = [];
    const onNameSettled = vi.fn();
    const keys = new EtcdLeasedKeys({ endpoints: [server.endpoint], log });
    const publisher = new FleetPublisher({
      lb,
      keys,
      log,
      ttlSeconds: 2,
      onConflict: (error) => conflicts.push(error),
      onNameSettled,
      ...options,
    });
    publisher.setInfo(info);
    publisher.start();
    return { publisher, lines, conflicts, onNameSettled, [Symbol.asyncDispose]: () => publisher.stop() };
  }

  const published = (publisher: FleetPublisher) =>
    until('published', 8_000, () => publisher.status.state === 'published');

  /** The keys of an LB, relative to its folder. */
  async function keysOf(lb: string): Promise<Map<string, string>> {
    const { keys } = await store.list(`fleet/${lb}/`);
    return new Map([...keys].map(([key, value]) => [key.slice(`fleet/${lb}/`.length), value]));
  }

  async function leaseOf(lb: string): Promise<string> {
    const answer = await server.ctl('get', '-w', 'fields', `/pilotfish/v1/fleet/${lb}/info`);
    return BigInt(/"Lease" : (\d+)/.exec(answer)![1]!).toString(16);
  }

  const modRevision = async (key: string) =>
    Number(/"ModRevision" : (\d+)/.exec(await server.ctl('get', '-w', 'fields', `/pilotfish/v1/fleet/${key}`))![1]);

  it('publishes what was set, writes changes only, and removes its keys when it stops', async () => {
    await using lb = start('a');
    const { publisher } = lb;
    publisher.setObservations(
      new Map([
        [realKey('web', '10.0.0.2'), 'down'],
        [realKey('web', '10.0.0.1'), 'up'],
        [realKey('web', '10.0.0.3'), 'unknown'],
        [realKey('dns', '2001:db8::1'), 'up'],
      ]),
    );
    const rejection = {
      path: 'desired/vips/x',
      value: '{',
      message: 'no JSON',
      fix: 'write JSON',
      keptLastGood: false,
    };
    publisher.setRejected([rejection]);
    await published(publisher);
    const keys = await keysOf('a');
    expect([...keys.keys()]).toEqual(['info', 'observations/dns', 'observations/web', 'rejected']);
    expect(JSON.parse(keys.get('info')!)).toMatchObject({
      ...info,
      instance: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(JSON.parse(keys.get('observations/web')!)).toEqual({ up: ['10.0.0.1'], down: ['10.0.0.2'] });
    expect(JSON.parse(keys.get('rejected')!)).toEqual([rejection]);

    const before = { web: await modRevision('a/observations/web'), info: await modRevision('a/info') };
    publisher.setRejected([]);
    publisher.setObservations(
      new Map([
        [realKey('web', '10.0.0.1'), 'up'],
        [realKey('web', '10.0.0.2'), 'down'],
      ]),
    );
    publisher.setInfo(info);
    await until('the deletes', 2_000, async () => (await keysOf('a')).size === 2);
    expect(await modRevision('a/observations/web')).toBe(before.web);
    publisher.setInfo({ ...info, version: '0.2.0' });
    await until('the new info', 2_000, async () => (await modRevision('a/info')) > before.info);

    await publisher.stop();
    expect((await keysOf('a')).size).toBe(0);
  });

  it('keeps its keys longer than one TTL, and leaves them behind when told to', async () => {
    await using lb = start('b');
    const { publisher } = lb;
    await published(publisher);
    const lease = await leaseOf('b');
    await sleep(5_000);
    expect(await leaseOf('b')).toBe(lease);
    await publisher.stop({ release: false });
    expect((await keysOf('b')).size).toBe(1);
    await until('the keys to expire', 6_000, async () => (await keysOf('b')).size === 0);
  });

  it('folds what is set in one go into one write', async () => {
    await using lb = start('c');
    const { publisher } = lb;
    await published(publisher);
    const before = (await store.list('fleet/c/')).revision.number;
    for (let i = 0; i < 50; i++) {
      publisher.setInfo({ ...info, version: `${i}` });
    }
    await until('the last value', 2_000, async () => (await keysOf('c')).get('info')!.includes('"49"'));
    // One write; the leases of earlier tests may end meanwhile, which moves the revision as well.
    expect((await store.list('fleet/c/')).revision.number).toBeLessThan(before + 10);
  });

  it('publishes more keys than one transaction can hold', async () => {
    await using lb = start('d');
    const { publisher } = lb;
    publisher.setObservations(new Map(Array.from({ length: 300 }, (_, i) => [realKey(`p${i}`, '10.0.0.1'), 'up'])));
    await published(publisher);
    expect((await keysOf('d')).size).toBe(301);
  });

  it('publishes of a great many rejections the first ones and how many more there are', async () => {
    await using lb = start('k');
    const { publisher } = lb;
    const rejected = Array.from({ length: 30_000 }, (_, i) => ({
      path: `desired/vips/v${String(i).padStart(5, '0')}: port`,
      value: '70000',
      message: 'is no port',
      fix: 'write a number from 1 to 65535',
      keptLastGood: false,
    }));
    publisher.setRejected(rejected);
    await published(publisher);
    const keys = await keysOf('k');
    const fleet = readFleet(new Map([...keys].map(([key, value]) => [`fleet/k/${key}`, value])));
    const { rows } = rejectedView(snapshot([]), fleet);
    expect(fleet.unreadable).toEqual([]);
    expect(rows.length).toBeGreaterThan(1_000);
    expect(rows[0]?.[0]).toBe(rejected[0]?.path);
    expect(rows.at(-1)?.[0]).toBe(`… and ${30_000 - rows.length + 1} more`);
  });

  it('publishes everything anew when its lease was revoked', async () => {
    await using lb = start('e');
    const { publisher, lines } = lb;
    publisher.setObservations(new Map([[realKey('web', '10.0.0.1'), 'up']]));
    await published(publisher);
    const lease = await leaseOf('e');
    await server.ctl('lease', 'revoke', lease);
    expect((await keysOf('e')).size).toBe(0);
    await until('the keys', 5_000, async () => (await keysOf('e')).size === 2);
    expect(await leaseOf('e')).not.toBe(lease);
    const words = lines.filter(({ msg }) => /lease of this LB was lost/.test(`${msg}`));
    expect(words.map(({ reason }) => reason)).toEqual(['the lease has expired or was revoked']);
  });

  it('does not write under a name that was taken from it', async () => {
    await using lb = start('f');
    const { publisher } = lb;
    await published(publisher);
    await server.ctl('del', '/pilotfish/v1/fleet/f/info');
    publisher.setObservations(new Map([[realKey('web', '10.0.0.1'), 'up']]));
    await until('both keys', 5_000, async () => (await keysOf('f')).size === 2);
  });

  it('is refused while another live LB has the name, and takes it when that one stops', async () => {
    await using first = start('g');
    await published(first.publisher);
    const held = (await keysOf('g')).get('info');
    await using second = start('g');
    await until('the conflict', 10_000, () => second.conflicts.length > 0);
    expect(second.publisher.status.state).toBe('refused');
    expect(second.conflicts[0]?.code).toBe('PF_LB_NAME');
    expect(second.conflicts[0]?.describe()).toMatch(
      /^PF_LB_NAME: the name g is held by another LB \(host .*, instance .*, since .*\), which is alive \(key fleet\/g\/info\)\n {2}fix: /,
    );
    expect((await keysOf('g')).get('info')).toBe(held);
    expect(second.lines.filter(({ msg }) => /waiting for the lease/.test(`${msg}`))).toHaveLength(1);
    await first.publisher.stop();
    await published(second.publisher);
    expect(second.conflicts).toHaveLength(1);
  });

  it('says from the first moment that another LB has its name, and when that is over', async () => {
    await using first = start('j');
    expect(first.publisher.nameProblem).toBe('the name of this LB has not been claimed yet');
    await published(first.publisher);
    expect(first.publisher.nameProblem).toBeNull();
    expect(first.onNameSettled).toHaveBeenCalledOnce();
    await using second = start('j', { boot: 'of another host' });
    await until('waiting', 2_000, () => second.publisher.status.state === 'waiting');
    expect(second.publisher.nameProblem).toMatch(/^the name j is held by another LB /);
    await until('the conflict', 10_000, () => second.conflicts.length > 0);
    expect(second.publisher.nameProblem).toMatch(/which is alive/);
    expect(second.onNameSettled).not.toHaveBeenCalled();
    await first.publisher.stop();
    await published(second.publisher);
    expect(second.publisher.nameProblem).toBeNull();
    expect(second.onNameSettled).toHaveBeenCalledOnce();
  });

  it('waits for the lease of its own earlier life to end, and says so', async () => {
    await using earlier = start('h');
    await published(earlier.publisher);
    await earlier.publisher.stop({ release: false });
    await using lb = start('h');
    const { publisher, lines, conflicts } = lb;
    await until('waiting', 2_000, () => publisher.status.state === 'waiting');
    expect(publisher.nameProblem).toBeNull();
    await published(publisher);
    expect(conflicts).toEqual([]);
    expect(lines.some(({ msg }) => /waiting for the lease/.test(`${msg}`))).toBe(true);
  });

  it('stops soon when it waits for a name', async () => {
    await using first = start('i');
    await published(first.publisher);
    await using second = start('i');
    await until('waiting', 2_000, () => second.publisher.status.state === 'waiting');
    const begun = performance.now();
    await second.publisher.stop();
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect((await keysOf('i')).size).toBe(1);
  });
});

describe.skipIf(skipUnless(['etcd'], needEtcdProcess())).concurrent('the fleet publisher under faults', () => {
  function start(endpoint: string, ttlSeconds = 2) {
    const { log, lines } = recordingLogger();
    const keys = new EtcdLeasedKeys({ endpoints: [endpoint], log });
    const publisher = new FleetPublisher({
      lb: 'a',
      keys,
      log,
      ttlSeconds,
      onConflict: () => undefined,
      onNameSettled: () => undefined,
    });
    publisher.start();
    return { publisher, lines, [Symbol.asyncDispose]: () => publisher.stop() };
  }

  async function read(server: EtcdProcess): Promise<string[]> {
    const text = await server.ctl('get', '--prefix', '--keys-only', '/pilotfish/v1/fleet/');
    return text.split('\n').filter((line) => line !== '');
  }

  it('waits for a store that is down, without many words, and comes back after a wipe', async () => {
    await using server = await EtcdProcess.start();
    await server.kill();
    await using lb = start(server.endpoint);
    lb.publisher.setObservations(new Map([[realKey('web', '10.0.0.1'), 'up']]));
    await until('waiting', 3_000, () => lb.publisher.status.state === 'waiting');
    expect(lb.publisher.status).toMatchObject({ reason: `etcd at ${server.endpoint}: connection refused` });
    expect(lb.publisher.nameProblem).toBeNull();
    await sleep(2_500);
    expect(lb.lines.filter(({ level }) => Number(level) >= 40)).toHaveLength(1);
    await server.boot();
    await until('the keys', 8_000, async () => (await read(server)).length === 2);

    await server.kill();
    await server.wipe();
    await server.boot();
    await until('the keys, in the new store', 10_000, async () => (await read(server)).length === 2);
  });

  it('publishes everything anew in a store that was restored with its lease in it', async () => {
    await using server = await EtcdProcess.start();
    await using lb = start(server.endpoint, 6);
    const info = () => server.ctl('get', '--print-value-only', '/pilotfish/v1/fleet/a/info');
    lb.publisher.setInfo({ version: 'old', revision: null, digests: { state: null, pools: {} } });
    await until('the old value', 5_000, async () => (await info()).includes('"old"'));
    await server.kill();
    await server.backUp();
    await server.boot();
    lb.publisher.setInfo({ version: 'new', revision: null, digests: { state: null, pools: {} } });
    await until('the new value', 5_000, async () => (await info()).includes('"new"'));
    await server.kill();
    await server.restore();
    await server.boot();
    expect(await info()).toContain('"old"');
    await until('the new value in the restored store', 8_000, async () => (await info()).includes('"new"'));
    expect(lb.lines.some(({ reason }) => reason === 'the store was restored or rebuilt')).toBe(true);
  });

  it('writes again what may have been written by a request that had no answer', async () => {
    await using server = await EtcdProcess.start();
    await using proxy = await TcpProxy.start(server.endpoint);
    await using lb = start(proxy.endpoint, 20);
    const { publisher } = lb;
    const web = new Map([[realKey('web', '10.0.0.1'), 'up' as const]]);
    const dns = new Map([[realKey('dns', '10.0.0.2'), 'up' as const]]);
    publisher.setObservations(web);
    await until('published', 5_000, () => publisher.status.state === 'published');
    const keys = async () => (await read(server)).map((key) => key.split('/').at(-1));
    proxy.mute();
    publisher.setObservations(dns);
    await until('it is written', 5_000, async () => (await keys()).includes('dns'));
    publisher.setObservations(web);
    proxy.cut();
    await until('what was wanted before is there', 10_000, async () => (await keys()).includes('web'));
    expect(await keys()).toEqual(['info', 'web']);
  });

  it('stops in bounded time while the server is frozen', async () => {
    await using server = await EtcdProcess.start();
    const { publisher } = start(server.endpoint);
    await until('published', 5_000, () => publisher.status.state === 'published');
    server.signal('SIGSTOP');
    await publisher.stop();
    server.signal('SIGCONT');
    await until('the keys to expire', 8_000, async () => (await read(server)).length === 0);
  });
});
