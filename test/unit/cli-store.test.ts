import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { type EtcdServer, needEtcd, startEtcd } from '../support/etcd.ts';
import { skipUnless } from '../support/require.ts';

const prefix = '/pilotfish/v1/';

const state = `
vips:
  web: {address: 192.0.2.10, port: 443, protocol: tcp, pool: web}
pools:
  web: {minHealthy: 30%, reals: {r1: {address: 10.0.0.11}, r2: {address: 10.0.0.12, weight: 50}}}
`;

describe.skipIf(skipUnless(['etcd'], needEtcd()))('commands on a store', () => {
  let etcd: EtcdServer;
  let directory: string;

  beforeAll(async () => {
    etcd = await startEtcd();
  });

  afterAll(() => etcd[Symbol.asyncDispose]());

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'pilotfish-cli-'));
  });

  afterEach(async () => {
    await etcd.ctl('del', '', '--prefix');
    await rm(directory, { recursive: true, force: true });
  });

  async function apply(content: string, ...args: string[]): Promise<CommandResult> {
    const path = join(directory, 'state.yaml');
    await writeFile(path, content);
    return pilotfish(['apply', '-f', path, '--etcd', etcd.endpoint, ...args]);
  }

  function get(what: string, ...args: string[]): Promise<CommandResult> {
    return pilotfish(['get', what, '--etcd', etcd.endpoint, ...args]);
  }

  async function put(key: string, value: unknown): Promise<void> {
    await etcd.ctl('put', prefix + key, typeof value === 'string' ? value : JSON.stringify(value));
  }

  async function stored(): Promise<Record<string, unknown>> {
    const { kvs = [] } = JSON.parse(await etcd.ctl('get', prefix, '--prefix', '-w', 'json')) as {
      kvs?: { key: string; value: string }[];
    };
    const text = (base64: string): string => Buffer.from(base64, 'base64').toString();
    return Object.fromEntries(kvs.map(({ key, value }) => [text(key).slice(prefix.length), JSON.parse(text(value))]));
  }

  const applied = {
    'desired/pools/web': { minHealthy: '30%' },
    'desired/pools/web/reals/r1': { address: '10.0.0.11' },
    'desired/pools/web/reals/r2': { address: '10.0.0.12', weight: 50 },
    'desired/vips/web': { address: '192.0.2.10', port: 443, protocol: 'tcp', pool: 'web' },
  };

  describe('apply', () => {
    it('writes a state once, and the second time nothing', async () => {
      const first = await apply(state);
      expect([first.code, first.stderr]).toEqual([0, '']);
      expect(first.stdout).toMatch(
        /^\+ pools\/web\n\+ pools\/web\/reals\/r1\n\+ pools\/web\/reals\/r2\n\+ vips\/web\n4 added, 0 changed, 0 removed, 0 kept at revision \d+\n$/,
      );
      expect(await stored()).toEqual(applied);
      expect(await apply(state)).toEqual({ code: 0, stdout: 'nothing to change\n', stderr: '' });
    });

    it('writes nothing in a dry run', async () => {
      const { code, stdout } = await apply(state, '--dry-run');
      expect(code).toBe(0);
      expect(stdout).toContain('dry run, nothing is written: 4 added');
      expect(await stored()).toEqual({});
    });

    it('shows what changes, and keeps what the file does not have unless it is pruned', async () => {
      await apply(state);
      await put('desired/vips/old', { address: '192.0.2.11', port: 443, protocol: 'tcp', pool: 'web' });
      const changed = state.replace('30%', '40%').replace(', weight: 50', '');
      const kept = await apply(changed);
      expect(kept.stdout.split('\n').slice(0, 3)).toEqual([
        '~ pools/web  minHealthy: 30% -> 40%',
        '~ pools/web/reals/r2  weight: 50 -> (default)',
        '= vips/old  not in the file, kept (--prune removes it)',
      ]);
      expect(await stored()).toHaveProperty(['desired/vips/old']);
      const pruned = await apply(changed, '--prune');
      expect(pruned.stdout).toContain('- vips/old\n0 added, 0 changed, 1 removed, 0 kept');
      expect(await stored()).not.toHaveProperty(['desired/vips/old']);
    });

    it.each([
      ['nothing', '', ' is empty\n  fix: write {} if there shall be no VIPs and no pools'],
      [
        'a section without a list',
        'vips:\n',
        ':\n  vips: has nothing under it (found null)\n    fix: write vips: {} if',
      ],
    ])('takes a file of %s not for one that has no VIPs', async (_what, content, text) => {
      await apply(state);
      const { code, stderr } = await apply(content, '--prune');
      expect(code).toBe(2);
      expect(stderr).toContain(text);
      expect(await stored()).toEqual(applied);
      expect((await apply('{}', '--prune')).code).toBe(0);
      expect(await stored()).toEqual({});
    });

    it('tells programs the same', async () => {
      await apply(state);
      const { stdout } = await apply(state.replace('30%', '40%'), '-o', 'json');
      expect(JSON.parse(stdout)).toEqual({
        dryRun: false,
        revision: { generation: expect.any(String), number: expect.any(Number) },
        changes: [{ op: 'change', key: 'pools/web', fields: [{ field: 'minHealthy', from: '30%', to: '40%' }] }],
        kept: [],
      });
    });

    it('writes nothing of a file with mistakes, and does not ask the store for that', async () => {
      const path = join(directory, 'bad.yaml');
      await writeFile(path, state.replace('443', '"443"'));
      const { code, stderr } = await pilotfish(['apply', '-f', path, '--etcd', '127.0.0.1:1']);
      expect(code).toBe(2);
      expect(stderr).toContain('vips.web.port: must be a whole number');
    });

    it('takes a file that leans on what the store has, and refuses one that contradicts it', async () => {
      await apply(state);
      const more = 'vips: {more: {address: 192.0.2.11, port: 443, protocol: tcp, pool: web}}';
      expect((await apply(more)).code).toBe(0);
      const clash = await apply('vips: {clash: {address: 192.0.2.10, port: 443, protocol: tcp, pool: web}}');
      expect(clash.code).toBe(2);
      expect(clash.stderr).toContain('vips.clash.address: 192.0.2.10 port 443 tcp is VIP "web" already');
      const orphan = await apply('pools: {other: {}}', '--prune', '--dry-run');
      expect(orphan.code).toBe(0);
      expect(await stored()).not.toHaveProperty(['desired/vips/clash']);
    });

    it('is not held up by a key that was bad before', async () => {
      await put('desired/vips/bad', '{');
      const { code, stderr } = await apply(state);
      expect([code, stderr]).toEqual([0, '1 key of the store stay rejected: see `pilotfish get rejected`\n']);
    });

    it('ends with 1 when the store does not answer', async () => {
      const path = join(directory, 'state.yaml');
      await writeFile(path, state);
      const { code, stderr } = await pilotfish(['apply', '-f', path, '--etcd', '127.0.0.1:1']);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^PF_STORE: etcd at 127\.0\.0\.1:1: connection refused\n {2}fix: /);
    });

    it('goes by the limits of the agent whose configuration names the store', async () => {
      const config = join(directory, 'agent.yaml');
      const source = `interface: eth0\nsource: {etcd: {endpoints: ["${etcd.endpoint}"]}}\n`;
      await writeFile(config, `${source}limits: {reals: 1}\n`);
      const path = join(directory, 'state.yaml');
      await writeFile(path, state);
      const refused = await pilotfish(['apply', '-f', path, '--config', config]);
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain('pools.web.reals.r2: ');
      expect((await apply(state)).code).toBe(0);
      const { stdout } = await pilotfish(['get', 'reals', '--config', config, '-o', 'json']);
      expect(JSON.parse(stdout)).toEqual([expect.objectContaining({ id: 'r1' })]);
      const drain = await pilotfish(['drain', 'web/r2', '--config', config]);
      expect(drain.stdout).toMatch(/, was not usable\n$/);
    });

    it('finds the store in an agent’s configuration, with another prefix when asked', async () => {
      const config = join(directory, 'agent.yaml');
      await writeFile(config, `interface: eth0\nsource: {etcd: {endpoints: ["${etcd.endpoint}"]}}\n`);
      const path = join(directory, 'state.yaml');
      await writeFile(path, state);
      const { code } = await pilotfish(['apply', '-f', path, '--config', config, '--prefix', '/other/']);
      expect(code).toBe(0);
      expect(await etcd.ctl('get', '/other/desired/vips/', '--prefix', '--keys-only')).toContain(
        '/other/desired/vips/web',
      );
      expect(await stored()).toEqual({});
    });
  });

  describe('get', () => {
    async function fleet(): Promise<void> {
      const info = {
        version: '0.1.0',
        revision: { generation: 'a', number: 7 },
        digests: { state: null, pools: {} },
        instance: 'i',
        host: 'h1',
        since: '2030-01-01T00:00:00.000Z',
      };
      await put('fleet/lb1/info', info);
      await put('fleet/lb1/observations/web', { up: ['10.0.0.11'], down: ['10.0.0.12'] });
      await put('fleet/lb2/info', { ...info, host: 'h2', revision: null });
    }

    it.each([
      ['vips', 'there are no VIPs'],
      ['pools', 'there are no pools'],
      ['reals', 'there are no reals'],
      ['lbs', 'no LB is published'],
      ['rejected', 'nothing is rejected'],
    ])('says when there are no %s', async (what, text) => {
      expect(await get(what)).toEqual({ code: 0, stdout: `${text}\n`, stderr: '' });
      expect((await get(what, '-o', 'json')).stdout).toBe('[]\n');
    });

    it('shows VIPs and pools', async () => {
      await apply(state);
      expect((await get('vips')).stdout).toBe(
        'VIP  ADDRESS     PORT  PROTOCOL  POOL\nweb  192.0.2.10  443   tcp       web\n',
      );
      expect((await get('pools')).stdout).toBe(
        [
          'POOL  REALS  ENCAP  CHECKS      MIN HEALTHY  ON DOWN  REMOVE AFTER',
          'web       2  ipip   tcp:vip/2s  30%          keep     5m',
          '',
        ].join('\n'),
      );
    });

    it('shows what of VIPs, pools and reals is not as it is by default, and in data everything', async () => {
      await put('desired/pools/web', { encap: 'gue', gueChecksum: false, checks: [{ type: 'tcp', port: 80 }] });
      await put('desired/pools/web/reals/r1', { address: '10.0.0.11', serverIds: [5, 4, 3, 2, 1] });
      await put('desired/pools/web/reals/r2', { address: '10.0.0.12' });
      const quic = { address: '192.0.2.0/24', port: 443, protocol: 'udp', pool: 'web' };
      const clients = [{ prefix: '198.51.100.0/24', pool: 'web' }];
      await put('desired/vips/quic', { ...quic, quic: 'katran', udpTimeout: '2m', icmpEcho: false, clients });
      await put('desired/vips/web', { ...quic, protocol: 'tcp' });
      expect((await get('vips')).stdout).toBe(
        [
          'VIP   ADDRESS       PORT  PROTOCOL  POOL  OPTIONS',
          'quic  192.0.2.0/24  443   udp       web   udpTimeout=2m quic=katran icmpEcho=false clients=1',
          'web   192.0.2.0/24  443   tcp       web   -',
          '',
        ].join('\n'),
      );
      expect((await get('pools')).stdout.split('\n')[1]).toContain('gue:6080,no-checksum  tcp:80/2s');
      expect((await get('reals')).stdout).toBe(
        [
          'POOL  REAL  ADDRESS    WEIGHT  STATE   IDS',
          'web   r1    10.0.0.11     100  active  1,2,3,4,…',
          'web   r2    10.0.0.12     100  active  -',
          '',
        ].join('\n'),
      );
      const [first] = JSON.parse((await get('vips', '-o', 'json')).stdout) as unknown[];
      expect(first).toEqual({
        name: 'quic',
        ...quic,
        hash: '5-tuple',
        flowCache: true,
        udpTimeout: '2m',
        quic: 'katran',
        tcpServerId: false,
        udpStableRouting: false,
        icmpEcho: false,
        fragments: 'drop',
        clients,
      });
      const [pool] = JSON.parse((await get('pools', '-o', 'json')).stdout) as unknown[];
      expect(pool).toMatchObject({ encap: 'gue', guePort: 6080, gueChecksum: false });
    });

    it('shows reals with their overrides and what each LB has concluded', async () => {
      await apply(state);
      await fleet();
      await put('desired/overrides/web/r1', { state: 'drain' });
      expect((await get('reals')).stdout).toBe(
        [
          'POOL  REAL  ADDRESS    WEIGHT  STATE   lb1   lb2',
          'web   r1    10.0.0.11     100  drain   up    -',
          'web   r2    10.0.0.12      50  active  down  -',
          '',
        ].join('\n'),
      );
      const [first] = parse((await get('reals', '-o', 'yaml')).stdout) as unknown[];
      expect(first).toEqual({
        pool: 'web',
        id: 'r1',
        address: '10.0.0.11',
        weight: 100,
        state: 'drain',
        serverIds: [],
        observations: { lb1: 'up', lb2: null },
      });
    });

    it('shows LBs', async () => {
      await fleet();
      expect((await get('lbs')).stdout).toBe(
        [
          'LB   HOST  VERSION  SINCE                     REVISION  UP  DOWN  REJECTED',
          'lb1  h1    0.1.0    2030-01-01T00:00:00.000Z         7   1     1         0',
          'lb2  h2    0.1.0    2030-01-01T00:00:00.000Z         -   0     0         0',
          '',
        ].join('\n'),
      );
    });

    it('shows what is rejected, by whom, and whether a last good value is kept', async () => {
      await apply(state);
      await put('desired/vips/web', { address: '192.0.2.10', port: 443, protocol: 'tpc', pool: 'web' });
      const rejection = {
        path: 'desired/vips/web: protocol',
        value: '"tpc"',
        message: 'must be "tcp" or "udp"',
        fix: 'use one of: tcp, udp',
      };
      await put('fleet/lb1/rejected', [{ ...rejection, keptLastGood: true }]);
      const { stdout } = await get('rejected', '-o', 'json');
      expect(JSON.parse(stdout)).toEqual([{ ...rejection, inStore: true, lbs: [{ lb: 'lb1', keptLastGood: true }] }]);
      const table = (await get('rejected')).stdout.split('\n');
      expect(table[1]).toBe(
        'desired/vips/web: protocol  "tpc"  yes       lb1          yes             must be "tcp" or "udp"  use one of: tcp, udp',
      );
      expect((await get('vips')).stderr).toBe('1 mistake in the store: see `pilotfish get rejected`\n');
    });

    it('says which keys of LBs it cannot read', async () => {
      await put('fleet/lb1/info', '{');
      const { code, stderr } = await get('lbs');
      expect([code, stderr]).toEqual([
        0,
        'fleet/lb1/info cannot be read: an LB of another version may have written it\n',
      ]);
    });
  });
});
