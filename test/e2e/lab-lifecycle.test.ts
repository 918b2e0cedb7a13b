import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { run, runIn, tryRun } from '../../lab/netns.ts';
import { bpffs, bpfObject, packageRoot } from '../../lab/paths.ts';
import { labNamespaces, labProcesses, removeLab } from '../../lab/remove.ts';
import { labArgv, labCommand, noTraces, tracesOfLab } from '../support/lab-command.ts';

afterEach(async () => {
  await removeLab();
});

describe('lab up and lab down', () => {
  it('leave a lab running, and nothing', async () => {
    const up = await labCommand('up', { agents: false, reals: 2 });
    expect(up).toMatchObject({ code: 0, stderr: '' });
    expect(up.stdout).toContain('nsenter --net=/run/netns/pf-client curl http://192.0.2.10/');
    const lab = await Lab.open();
    expect((await lab.client.curl([`http://${lab.real('r2').address}/`])).stdout).toMatch(/^r2: /);

    expect(await labCommand('down')).toMatchObject({ code: 0, stdout: 'The lab is removed.\n' });
    expect(await tracesOfLab()).toEqual(noTraces);
    expect(await labCommand('down')).toMatchObject({ code: 0, stdout: 'There was no lab.\n' });
    expect(await labCommand('status')).toMatchObject({ code: 1, stdout: 'No lab is up.\n' });
  });

  it('take away a lab whose processes were orphaned, with all that people put into it', async () => {
    const first = await Lab.up({ agents: false });
    await first.client.steady(10, { vip: first.real('r1').address });
    const shell = spawn('nsenter', ['--net=/run/netns/pf-r3', 'sleep', '600'], { stdio: 'ignore' });
    const shellEnded = once(shell, 'exit');
    const pins = join(bpffs, 'pilotfish-lb1');
    await run('mkdir', [pins]);
    await run('bpftool', ['prog', 'load', bpfObject('encap-static'), join(pins, 'program'), 'type', 'xdp']);
    await run('ip', ['netns', 'add', 'pf-lb7']);
    await expect.poll(() => labProcesses()).toContain(shell.pid);
    const stale = await labProcesses();
    expect(stale.length).toBe(6); // etcd, three nginx, the driver, the shell

    const second = await Lab.up({ agents: false, reals: 1 });
    await shellEnded;
    const now = await labProcesses();
    expect(now.filter((pid) => stale.includes(pid))).toEqual([]);
    expect(now.length).toBe(2);
    expect((await labNamespaces()).sort()).toEqual(['pf-client', 'pf-lb1', 'pf-r1', 'pf-router']);
    expect((await tracesOfLab()).pins).toEqual([]);
    expect((await second.client.curl([`http://${second.real('r1').address}/`])).stdout).toMatch(/^r1: /);

    await second.down();
    expect(await tracesOfLab()).toEqual(noTraces);
  });

  // The building takes a few hundred milliseconds: these cut it short before, in the midst of and after the network.
  it.each([120, 180, 240, 300])('take away a lab that was killed %i ms into its building', async (ms) => {
    const [command, args] = labArgv('up', { agents: false });
    const building = spawn(command, args, { stdio: 'ignore', detached: true });
    const ended = once(building, 'exit');
    await sleep(ms);
    // On a quick machine the last of them come too late; what stands then has to go all the same.
    if (building.exitCode === null) process.kill(-building.pid!, 'SIGKILL');
    await ended;

    const lab = await Lab.up({ agents: false });
    expect((await labProcesses()).length).toBe(4);
    expect((await lab.client.curl([`http://${lab.real('r3').address}/`])).stdout).toMatch(/^r3: /);
    await lab.down();
    expect(await tracesOfLab()).toEqual(noTraces);
  });

  it('leave nothing when the building fails', async () => {
    await run('ip', ['netns', 'add', 'pf-blocker']);
    await run('ip', ['link', 'add', 'pf-block', 'type', 'veth', 'peer', 'name', 'pf-block2', 'netns', 'pf-blocker']);
    try {
      await run('ip', ['link', 'set', 'pf-block', 'up']);
      await run('ip', ['route', 'add', '10.77.0.0/16', 'dev', 'pf-block']);
      await expect(Lab.up({ agents: false })).rejects.toMatchObject({ code: 'PF_LAB' });
      await run('ip', ['route', 'delete', '10.77.0.0/16', 'dev', 'pf-block']);
      expect(await tracesOfLab()).toEqual(noTraces);
    } finally {
      await run('ip', ['netns', 'delete', 'pf-blocker']);
    }
  });

  it('build as many LBs and reals as asked, with the VIPs spread over the LBs', async () => {
    const lab = await Lab.up({ agents: false, lbs: 2, reals: 4 });
    const route = await runIn('pf-router', 'ip', ['route', 'show', '192.0.2.0/24']);
    expect(route).toMatch(/nexthop via 10\.77\.1\.2 dev lb1.*\n.*nexthop via 10\.77\.2\.2 dev lb2/);
    expect((await lab.client.curl([`http://${lab.real('r4').address}/`])).stdout).toMatch(/^r4: /);
  });

  it('mount the BPF file system where it is not mounted, and unmount it then', async () => {
    const program = join(packageRoot, 'lab/main.ts');
    const script = `
      ! grep -q '${bpffs} bpf' /proc/mounts || umount ${bpffs}
      "$0" ${program} up '{"agents":false}' > /dev/null || exit 1
      grep -c '${bpffs} bpf' /proc/mounts
      "$0" ${program} down
      grep -c '${bpffs} bpf' /proc/mounts
      true`;
    // In a mount namespace of its own, so that nobody else misses the file system.
    const outcome = await tryRun('unshare', ['--mount', 'sh', '-c', script, process.execPath]);
    expect(outcome).toEqual({ code: 0, stdout: '1\nThe lab is removed.\n0\n', stderr: '' });
  });
});

describe('lab up refuses', () => {
  it('to run without root', async () => {
    const [node, args] = labArgv('up');
    const outcome = await tryRun('unshare', ['--user', node, ...args]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(
      /^PF_LAB: the lab makes network namespaces.*runs as user 65534\n {2}fix: Run it as root/,
    );
  });

  it('to run without its tools, and names all of them and the fix', async () => {
    const [node, args] = labArgv('up', { agents: false });
    const script = 'mount -t tmpfs tmpfs /usr/sbin && exec "$0" "$@"';
    const outcome = await tryRun('unshare', ['--mount', 'sh', '-c', script, node, ...args]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/^PF_LAB: the lab misses bpftool, .*ethtool, .*nginx/);
    expect(outcome.stderr).toContain('npm run setup');
  });

  it('a size that it has no addresses for', async () => {
    await expect(Lab.up({ lbs: 10 })).rejects.toMatchObject({ code: 'PF_USAGE' });
    await expect(Lab.up({ reals: 0 })).rejects.toMatchObject({ code: 'PF_USAGE' });
  });
});
