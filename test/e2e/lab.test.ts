import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { summarise } from '../../lab/client.ts';
import { Lab } from '../../lab/lab.ts';
import { run, runIn } from '../../lab/netns.ts';
import { bpfObject, labPinDir } from '../../lab/paths.ts';
import { largeFileBytes } from '../../lab/real.ts';
import { removeLab } from '../../lab/remove.ts';
import { type Host, routerNamespace } from '../../lab/topology.ts';
import { labCommand } from '../support/lab-command.ts';

const vip = '192.0.2.10';
const clientAddress = '198.51.100.7';

let lab: Lab;

beforeAll(async () => {
  lab = await Lab.up({ agents: false });
});

afterAll(async () => {
  await removeLab();
});

/** Puts the stand-in for an LB on lb1: it sends every VIP to r1. */
async function attachStandIn(host: Host): Promise<void> {
  await run('bpftool', ['prog', 'load', bpfObject('encap-static'), labPinDir, 'type', 'xdp']);
  await runIn(host.namespace, 'ip', ['link', 'set', 'dev', host.device, 'xdpdrv', 'pinned', labPinDir]);
  await rm(labPinDir);
}

async function detachStandIn(host: Host): Promise<void> {
  await runIn(host.namespace, 'ip', ['link', 'set', 'dev', host.device, 'xdpdrv', 'off']);
}

/** Bytes that have crossed the router’s leg to a host, both directions together. */
async function bytesOnLegTo(host: Host): Promise<number> {
  const output = await runIn(routerNamespace, 'ip', ['-json', '-stats', 'link', 'show', 'dev', host.routerDevice]);
  const [link] = JSON.parse(output) as { stats64: { rx: { bytes: number }; tx: { bytes: number } } }[];
  return (link?.stats64.rx.bytes ?? Number.NaN) + (link?.stats64.tx.bytes ?? Number.NaN);
}

/** The CPUs that the threads which receive for a device may run on. */
async function receiveCpus(device: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const statuses = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')));
  const threads = statuses.filter((status) => status.startsWith(`Name:\tnapi/${device}-`));
  return threads.map((status) => /^Cpus_allowed_list:\t(.*)$/m.exec(status)?.[1] ?? '');
}

describe('the lab', () => {
  it('says what is up', async () => {
    const parts = await lab.state();
    expect(parts.map((part) => part.name)).toEqual(['etcd', 'client', 'lb1', 'r1', 'r2', 'r3']);
    expect(parts.every((part) => part.namespaceExists)).toBe(true);
    expect(parts.filter((part) => part.pid === null).map((part) => part.name)).toEqual(['client', 'lb1']);

    const status = await labCommand('status');
    expect(status).toMatchObject({ code: 0, stderr: '' });
    expect(status.stdout).toMatch(/^r2 +10\.77\.12\.2 +pf-r2 +process \d+$/m);
    expect(status.stdout).toMatch(/^lb1 +10\.77\.1\.2 +pf-lb1 +not running$/m);
  });

  it('can be opened by another process', async () => {
    const opened = await Lab.open();
    expect(await opened.real('r1').pid()).toBe(await lab.real('r1').pid());
    expect(() => opened.real('r4')).toThrow(/no real r4/);
  });

  it('lets the client reach each real at its own address', async () => {
    for (const real of lab.reals) {
      for (const port of [80, 8080]) {
        const answer = await lab.client.curl(['--include', `http://${real.address}:${port}/`]);
        expect(answer.stdout).toContain(`X-Real: ${real.name}\r\n`);
        expect(answer.stdout).toMatch(new RegExp(`${clientAddress}:\\d+ asked ${real.address}:${port}\n$`));
      }
      expect((await lab.client.curl([`http://${real.address}/healthz`])).stdout).toBe('ok\n');
    }
  });

  it('has an etcd that this machine writes and the LB reads, and that keeps its keys when it is killed', async () => {
    await lab.etcd.put('/lab-test/a', { b: 1 });
    const get = ['--endpoints', lab.etcd.endpoint, 'get', '/lab-test/a', '--print-value-only'];
    expect(await runIn('pf-lb1', 'etcdctl', get)).toBe('{"b":1}\n');

    await lab.etcd.kill();
    expect(await lab.etcd.pid()).toBeNull();
    await lab.etcd.start();
    expect(await lab.etcd.etcdctl(['get', '/lab-test/a', '--print-value-only'])).toBe('{"b":1}\n');
    await lab.etcd.delete('/lab-test/', { prefix: true });
    expect(await lab.etcd.etcdctl(['get', '/lab-test/', '--prefix'])).toBe('');
  });
});

describe('the way over an LB', () => {
  it('is closed while no program forwards', async () => {
    expect(await lab.client.curl(['--max-time', '1', `http://${vip}/`])).toMatchObject({ code: 28 });
  });

  describe('with a stand-in that encapsulates', () => {
    const upload = join(tmpdir(), `pilotfish-lab-upload-${process.pid}`);

    beforeAll(async () => {
      await attachStandIn(lab.lb('lb1').host);
      await writeFile(upload, '');
      await truncate(upload, 8_000_000);
    });

    afterAll(async () => {
      await detachStandIn(lab.lb('lb1').host);
      await rm(upload, { force: true });
    });

    it('brings the client’s own packet to the real, for every address of the VIP range', async () => {
      for (const [address, port] of [
        [vip, 80],
        ['192.0.2.200', 8080],
      ]) {
        const answer = await lab.client.curl(['--max-time', '5', `http://${address}:${port}/`]);
        expect(answer.stdout).toMatch(new RegExp(`^r1: ${clientAddress}:\\d+ asked ${address}:${port}\n$`));
      }
    });

    it('answers the client directly: a download hardly loads the LB', async () => {
      const before = await bytesOnLegTo(lab.lb('lb1').host);
      const format = ['--max-time', '20', '--output', '/dev/null', '--write-out', '%{size_download}'];
      expect((await lab.client.curl([...format, `http://${vip}/large`])).stdout).toBe(String(largeFileBytes));
      const crossed = (await bytesOnLegTo(lab.lb('lb1').host)) - before;
      expect(crossed).toBeGreaterThan(0);
      expect(crossed).toBeLessThan(largeFileBytes / 4);
    });

    it('takes uploads of full-sized packets', async () => {
      const put = ['--max-time', '20', '--upload-file', upload, '--write-out', '%{http_code} %{size_upload}'];
      expect((await lab.client.curl([...put, `http://${vip}/upload`])).stdout).toBe('201 8000000');
    });

    it('stays on one CPU of the LB', async () => {
      expect(await receiveCpus(lab.lb('lb1').host.device)).toEqual([expect.stringMatching(/^\d+$/)]);
    });

    it('serves many connections without a failure', async () => {
      const summary = summarise(await lab.client.connections(500, { vip, concurrency: 20 }));
      expect(summary).toMatchObject({ total: 500, perReal: { r1: 500 }, failed: 0 });
    });

    it('stalls when the real is isolated and goes on when it is back', async () => {
      const downloads = await lab.client.downloads(3, 65_536, { vip, stallMs: 1_000 });
      await lab.real('r1').isolate();
      try {
        await expect
          .poll(() => downloads.flows(), { timeout: 10_000 })
          .toEqual([0, 1, 2].map((flow) => ({ flow, state: 'broken', real: 'r1', error: 'STALL' })));
        expect(await lab.client.curl(['--max-time', '1', `http://${vip}/`])).toMatchObject({ code: 28 });
      } finally {
        await lab.real('r1').rejoin();
        await downloads.stop();
      }
      expect((await lab.client.curl(['--max-time', '5', `http://${vip}/`])).stdout).toMatch(/^r1: /);
    });
  });
});

describe('the drivers', () => {
  it('tell when a real died and when it was back', async () => {
    const real = lab.real('r2');
    const steady = await lab.client.steady(50, { vip: real.address });
    const downloads = await lab.client.downloads(5, 65_536, { vip: real.address });
    expect(await downloads.flows()).toEqual([0, 1, 2, 3, 4].map((flow) => ({ flow, state: 'open', real: 'r2' })));
    await sleep(300);

    await real.kill();
    const killed = Date.now();
    await sleep(300);
    const restarting = Date.now();
    await real.start();
    const restarted = Date.now();
    await sleep(300);

    const connections = await steady.stop();
    const startedIn = (from: number, to: number) =>
      summarise(connections.filter((c) => c.start > from && c.start < to));
    expect(startedIn(0, killed - 200)).toMatchObject({ failed: 0, perReal: { r2: expect.any(Number) } });
    expect(startedIn(killed, restarting)).toMatchObject({
      perReal: {},
      failures: { ECONNREFUSED: expect.any(Number) },
    });
    expect(startedIn(restarted, Date.now())).toMatchObject({ failed: 0, perReal: { r2: expect.any(Number) } });

    expect(await downloads.stop()).toEqual(
      [0, 1, 2, 3, 4].map((flow) => ({ flow, state: 'broken', real: 'r2', error: 'ECONNRESET' })),
    );
  });

  it('see a real that was stopped refuse', async () => {
    const real = lab.real('r3');
    await real.stop();
    const refused = await lab.client.connections(3, { vip: real.address });
    expect(summarise(refused)).toMatchObject({ total: 3, failed: 3, failures: { ECONNREFUSED: 3 } });
    await real.start();
    expect(summarise(await lab.client.connections(3, { vip: real.address }))).toMatchObject({ perReal: { r3: 3 } });
  });
});
