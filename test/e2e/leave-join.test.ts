import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { LabLb } from '../../lab/agent.ts';
import { Lab } from '../../lab/lab.ts';
import { runIn } from '../../lab/netns.ts';
import { until } from '../../lab/until.ts';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { needs } from '../support/require.ts';
import { broken, deploy, forwarded, STALL_MS, untilServing, vip } from '../support/two-lbs.ts';

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'flock'))('leave and join', () => {
  let lab: Lab;
  let lb1: LabLb;

  beforeAll(async () => {
    lab = await Lab.up({ lbs: 2 });
    lb1 = lab.lb('lb1');
    await deploy(lab);
  });

  afterAll(() => lab?.down());

  beforeEach(async () => {
    await untilServing(lab);
  });

  const onLb1 = (command: string, ...options: string[]): Promise<CommandResult> =>
    pilotfish([command, '--config', lb1.configFile, ...options]);

  async function nextHops(): Promise<string[]> {
    const route = await runIn('pf-router', 'ip', ['route', 'show', '192.0.2.0/24']);
    return [...route.matchAll(/via (\S+)/g)].map(([, address = '']) => address);
  }

  async function forwardedBy(name: string): Promise<number> {
    return (await forwarded(lab))[lab.lbs.findIndex((lb) => lb.name === name)] ?? Number.NaN;
  }

  /** The agent joins once more by itself when a person's word that its LB is out was taken back. */
  const untilJoined = () =>
    until(async () => (await lb1.state()).announced.state === 'joined', { what: 'lb1 has joined', timeoutMs: 5_000 });

  it('take an LB out and back under traffic without a broken flow or a failed connection', async () => {
    const downloads = await lab.client.downloads(50, 20_000, { vip, stallMs: STALL_MS });
    const steady = await lab.client.steady(100, { vip });
    await sleep(1_000);
    const start = await forwardedBy('lb1');
    expect(start).toBeGreaterThan(100);

    expect(await onLb1('leave', '--wait')).toEqual({
      code: 0,
      stdout: "lb1 has left the routers' paths; `pilotfish join` takes it back\nlb1 forwards nothing any more\n",
      stderr: '',
    });
    expect(await nextHops()).toEqual(['10.77.2.2']);
    expect((await onLb1('status')).stdout).toMatch(/announced +LEFT since \d{4}-/);
    const out = await forwardedBy('lb1');
    const other = await forwardedBy('lb2');
    await sleep(1_500);
    expect(await forwardedBy('lb1')).toBe(out);
    expect(await forwardedBy('lb2')).toBeGreaterThan(other + 300);

    expect(await onLb1('join')).toEqual({ code: 0, stdout: "lb1 has joined the routers' paths\n", stderr: '' });
    expect((await nextHops()).sort()).toEqual(['10.77.1.2', '10.77.2.2']);
    await untilJoined();
    await until(async () => (await forwardedBy('lb1')) > out + 100, { what: 'lb1 forwards again', timeoutMs: 5_000 });

    await sleep(STALL_MS + 1_000);
    const connections = await steady.stop();
    expect(connections.length).toBeGreaterThan(900);
    expect(connections.filter(({ error }) => error !== undefined)).toEqual([]);
    const flows = await downloads.stop();
    expect(flows.length).toBe(50);
    expect(broken(flows)).toEqual([]);
  });

  it('outlive a restart of the agent, which joins by itself only when nobody took it out', async () => {
    await onLb1('leave');
    await lb1.kill();
    await lb1.start();
    expect((await lb1.state()).announced).toEqual({ state: 'left', since: expect.any(Number) });
    expect(await nextHops()).toEqual(['10.77.2.2']);
    await onLb1('join');
    await untilJoined();

    await lb1.route('leave');
    await lb1.stop();
    expect(await nextHops()).toEqual(['10.77.2.2']);
    await lb1.start();
    expect((await lb1.state()).announced).toEqual({ state: 'joined' });
    expect((await nextHops()).length).toBe(2);
  });

  it('do nothing to the route when the agent is killed or stopped', async () => {
    await lb1.kill();
    await sleep(500);
    expect((await nextHops()).length).toBe(2);
    await lb1.start();
    await lb1.stop();
    expect((await nextHops()).length).toBe(2);
    await lb1.start();
  });

  it('happen at a regular stop of the agent where agent.yaml says so, and at no other end', async () => {
    await lb1.stop();
    await lb1.start({ announce: { onStop: 'leave' } });
    await lb1.kill();
    expect((await nextHops()).length).toBe(2);
    await lb1.start({ announce: { onStop: 'leave' } });
    await lb1.stop();
    expect(await nextHops()).toEqual(['10.77.2.2']);
    await lb1.start();
    expect((await nextHops()).length).toBe(2);
  });

  it('are tried again while the hook fails, with an alarm in the status', async () => {
    await lb1.stop();
    const flag = `${lb1.configFile}.up`;
    const script = `test -e ${flag} || { echo "session is down" >&2; exit 1; }`;
    const started = lb1.start({ announce: { join: ['sh', '-c', script] } });
    const failing = async () => (await lb1.state().catch(() => null))?.announced.state === 'failed';
    await until(failing, { what: 'the hook has failed', timeoutMs: 10_000 });
    const { stdout, code } = await onLb1('status');
    expect(code, 'it forwards, whoever sends it packets').toBe(0);
    expect(stdout).toMatch(/^ {2}! an announce hook fails and is tried again, .*; it said: session is down$/m);
    await writeFile(flag, '');
    await started;
    expect((await onLb1('status')).stdout).toMatch(/^ {2}announced +joined$/m);
    await lb1.stop();
    await lb1.start();
  });

  it('work without an agent: leave waits by the pinned counters, join needs --force', async () => {
    const steady = await lab.client.steady(50, { vip });
    await lb1.kill();
    try {
      const left = await onLb1('leave', '--wait');
      expect(left).toMatchObject({ code: 0, stderr: '' });
      const refused = await onLb1('join');
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/^PF_AGENT: no agent answers on /);
      expect(await nextHops()).toEqual(['10.77.2.2']);
      expect((await onLb1('join', '--force')).code).toBe(0);
      expect((await nextHops()).length).toBe(2);
    } finally {
      await lb1.start();
    }
    const connections = await steady.stop();
    expect(connections.filter(({ error }) => error !== undefined)).toEqual([]);
  });

  /** A copy of the configuration of lb1 with another hook for leaving. */
  async function withLeaveHook(...argv: string[]): Promise<string> {
    const config = parse(await readFile(lb1.configFile, 'utf8')) as { announce: { leave: string[] } };
    config.announce.leave = argv;
    const path = `${lb1.configFile}.other`;
    await writeFile(path, stringify(config));
    return path;
  }

  it('say that packets still come when a router does not take part', async () => {
    const steady = await lab.client.steady(50, { vip });
    const config = await withLeaveHook('true');
    const left = await pilotfish(['leave', '--wait', '--timeout', '3', '--config', config]);
    expect(left.code).toBe(1);
    expect(left.stderr).toMatch(
      /^PF_ANNOUNCE: lb1 has left, but \d+ packets came since, .*\n {2}fix: look at the routes/,
    );
    expect((await lb1.state()).announced.state).toBe('left');
    expect((await pilotfish(['join', '--config', config])).code).toBe(0);
    await steady.stop();
  });

  it('say what a hook that fails has said, and leave things as they were', async () => {
    const config = await withLeaveHook('sh', '-c', 'echo "no such peer" >&2; exit 3');
    const left = await pilotfish(['leave', '--config', config]);
    expect(left.code).toBe(1);
    expect(left.stderr).toContain(
      'ended with exit code 3; it said: no such peer\n  fix: mend the hook and leave again, or',
    );
    await untilJoined();
    expect((await nextHops()).length).toBe(2);
  });
});
