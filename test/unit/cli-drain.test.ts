import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AdminServer } from '../../src/admin/server.ts';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { type EtcdServer, needEtcd, startEtcd } from '../support/etcd.ts';
import { skipUnless } from '../support/require.ts';
import { until } from '../support/until.ts';

const prefix = '/pilotfish/v1/desired/';
const key = 'overrides/web/r1';

describe.skipIf(skipUnless(['etcd'], needEtcd()))('drain and undrain', () => {
  let etcd: EtcdServer;

  beforeAll(async () => {
    etcd = await startEtcd();
  });

  afterAll(() => etcd[Symbol.asyncDispose]());

  const put = (name: string, value: unknown) =>
    etcd.ctl('put', prefix + name, typeof value === 'string' ? value : JSON.stringify(value));
  const stored = async () => (await etcd.ctl('get', prefix + key, '--print-value-only')).trim();
  const run = (...args: string[]): Promise<CommandResult> => pilotfish([...args, '--etcd', etcd.endpoint]);

  beforeEach(async () => {
    await put('pools/web', {});
    await put('pools/web/reals/r1', { address: '10.0.0.11' });
    await put('pools/web/reals/r2', { address: '10.0.0.12', state: 'maintenance' });
    await put('pools/inline', { reals: { r7: { address: '10.0.0.17' } } });
  });

  afterEach(async () => {
    await etcd.ctl('del', '', '--prefix');
  });

  it('writes an override, says what was before, and takes it away again', async () => {
    const drained = await run('drain', 'web/r1');
    expect(drained).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^web\/r1 is drain at revision \d+, was active\n$/),
      stderr: '',
    });
    expect(await stored()).toBe('{"state":"drain"}');
    expect((await run('drain', 'web/r1')).stdout).toBe('web/r1 is drain already\n');
    expect((await run('undrain', 'web/r1')).stdout).toMatch(/^web\/r1 is active at revision \d+, was drain\n$/);
    expect(await stored()).toBe('');
    expect(await run('undrain', 'web/r1')).toEqual({
      code: 0,
      stdout: 'web/r1 has no override, it is active\n',
      stderr: '',
    });
  });

  it('changes drain to maintenance and back', async () => {
    await run('drain', 'web/r1');
    expect((await run('drain', 'web/r1', '--maintenance')).stdout).toMatch(
      /^web\/r1 is maintenance at .* was drain\n$/,
    );
    expect(await stored()).toBe('{"state":"maintenance"}');
    expect((await run('drain', 'web/r1')).stdout).toMatch(/^web\/r1 is drain at .* was maintenance\n$/);
  });

  it('knows reals that stand in their pool', async () => {
    expect((await run('drain', 'inline/r7')).code).toBe(0);
    expect((await pilotfish(['get', 'reals', '--etcd', etcd.endpoint, '-o', 'json'])).stdout).toContain(
      '"state": "drain"',
    );
  });

  it('says so when the real is not active even without the override', async () => {
    await run('drain', 'web/r2');
    expect((await run('undrain', 'web/r2')).stdout).toMatch(
      /^web\/r2 is maintenance by its own key at .* was drain\n$/,
    );
  });

  it('replaces and removes an override that cannot be read', async () => {
    await put(key, '{');
    expect((await run('drain', 'web/r1')).code).toBe(0);
    expect(await stored()).toBe('{"state":"drain"}');
    await put(key, '{"state":"drian"}');
    expect((await run('undrain', 'web/r1')).code).toBe(0);
    expect(await stored()).toBe('');
  });

  it('drains a real whose key is bad, since LBs may keep its last good value', async () => {
    await put('pools/web/reals/r1', '{"address":');
    expect((await run('drain', 'web/r1')).stdout).toMatch(/^web\/r1 is drain at revision \d+, was not usable\n$/);
  });

  it('ends the override of a real that is gone', async () => {
    await run('drain', 'web/r1');
    await etcd.ctl('del', `${prefix}pools/web/reals/r1`);
    expect((await run('undrain', 'web/r1')).code).toBe(0);
    expect(await stored()).toBe('');
    expect((await run('undrain', 'web/r1')).code).toBe(2);
  });

  it.each([
    ['weeb/r1', 'there is no pool "weeb"', 'did you mean "web"?'],
    ['web/r11', 'pool web has no real "r11"', 'did you mean "r1"?'],
    ['web/10.0.0.12', 'pool web has no real "10.0.0.12"', 'that is the address of web/r2'],
    ['web', '"web" does not name a real', 'write pool and real, such as web/r1'],
    ['web/r1/x', '"web/r1/x" does not name a real', 'write pool and real, such as web/r1'],
  ])('refuses %s and names the nearest', async (name, message, fix) => {
    const { code, stdout, stderr } = await run('drain', name);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`PF_USAGE: ${message}\n  fix: ${fix}`);
  });

  it('says what to look at when there are no pools at all', async () => {
    const { stderr } = await run('drain', 'web/r1', '--prefix', '/other/');
    expect(stderr).toContain('the store has no pools: check endpoint and prefix');
  });

  it('ends with 1 when the store does not answer', async () => {
    const { code, stderr } = await pilotfish(['drain', 'web/r1', '--etcd', '127.0.0.1:1']);
    expect(code).toBe(1);
    expect(stderr).toContain('PF_STORE');
  });

  describe('--wait', () => {
    let directory: string;
    let socket: string;
    let admin: AdminServer;
    let real: { id: string; state: string; slots: number; packets: number };
    let reads: number;

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'pilotfish-drain-'));
      socket = join(directory, 'agent.sock');
      real = { id: 'r1', state: 'active', slots: 30_000, packets: 7 };
      reads = 0;
      const state = () => {
        reads++;
        return { lb: 'lb1', pools: [{ name: 'web', reals: [real] }] };
      };
      admin = await AdminServer.listen(
        socket,
        { notReady: () => [], state, explain: () => null },
        pino({ level: 'silent' }),
      );
    });

    afterEach(async () => {
      await admin.close();
      await rm(directory, { recursive: true, force: true });
    });

    const drain = (...args: string[]) => run('drain', 'web/r1', '--wait', '--socket', socket, ...args);

    it('ends when the agent has taken up the override and no packet came for the time given', async () => {
      const started = performance.now();
      const waiting = drain('--quiet-for', '1', '--timeout', '20');
      await until('the override is written', 10_000, async () => (await stored()) !== '');
      // Quiet, but still in the ring: not yet.
      const before = reads;
      await until('some more reads', 10_000, () => reads > before + 6);
      real = { ...real, state: 'drain', slots: 0 };
      for (let i = 0; i < 4; i++) {
        const seen = reads;
        real.packets++;
        await until('another read', 10_000, () => reads > seen + 1);
      }
      const last = performance.now();
      expect(await waiting).toEqual({
        code: 0,
        stdout: expect.stringMatching(/^web\/r1 is drain at .*\nweb\/r1 got no packet from lb1 for 1 s\n$/),
        stderr: '',
      });
      expect(performance.now() - last).toBeGreaterThan(500);
      expect(last - started).toBeGreaterThan(1_500);
    });

    it('ends with 1 and says why while packets still come', async () => {
      real = { ...real, state: 'drain', slots: 0 };
      const feeding = setInterval(() => real.packets++, 50);
      try {
        const { code, stderr } = await drain('--quiet-for', '1', '--timeout', '2');
        expect(code).toBe(1);
        expect(stderr).toMatch(
          /^web\/r1 is not quiet on lb1 after 2 s: the last of its \d+ packets came less than 1 s ago\n$/,
        );
      } finally {
        clearInterval(feeding);
      }
      expect(await stored()).toBe('{"state":"drain"}');
    });

    it('ends with 1 and says why when the agent does not take up the override, or the real', async () => {
      expect((await drain('--quiet-for', '1', '--timeout', '2')).stderr).toContain('it takes new flows there');
      real = { ...real, id: 'other' };
      expect((await drain('--quiet-for', '1', '--timeout', '2')).stderr).toContain('does not have this real in force');
    });

    it('writes nothing when no agent answers', async () => {
      const { code, stderr } = await run('drain', 'web/r1', '--wait', '--socket', join(directory, 'none.sock'));
      expect(code).toBe(1);
      expect(stderr).toContain('PF_AGENT');
      expect(await stored()).toBe('');
    });

    it('ends when the agent falls silent', async () => {
      const silentSocket = join(directory, 'silent.sock');
      const agent = createServer((_, response) => {
        reads++;
        if (reads === 1) response.end(JSON.stringify({ lb: 'lb1', pools: [] }));
      });
      await once(agent.listen(silentSocket), 'listening');
      try {
        const { code, stderr } = await drain('--quiet-for', '1', '--timeout', '2', '--socket', silentSocket);
        expect(code).toBe(1);
        expect(stderr).toContain(`PF_AGENT: the agent on ${silentSocket} was silent for `);
      } finally {
        agent.closeAllConnections();
        agent.close();
      }
      expect(await stored()).toBe('{"state":"drain"}');
    });

    it('refuses times that are none', async () => {
      const { code, stderr } = await drain('--quiet-for', '0');
      expect(code).toBe(2);
      expect(stderr).toContain('--quiet-for');
    });

    it.each([
      ['30', '10'],
      ['5', '5'],
    ])('refuses to wait for %s s without a packet for %s s, before anything is written', async (quiet, timeout) => {
      const { code, stderr } = await drain('--quiet-for', quiet, '--timeout', timeout);
      expect([code, await stored()]).toEqual([2, '']);
      expect(stderr).toBe(
        `PF_USAGE: --timeout ${timeout} leaves no time for ${quiet} s without a packet\n` +
          `  fix: write --timeout ${Number(quiet) + 1} or more\n`,
      );
    });
  });
});
