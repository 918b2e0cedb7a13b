import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { clientPortsTo } from '../../lab/capture.ts';
import type { Downloads } from '../../lab/client.ts';
import { Lab } from '../../lab/lab.ts';
import { inNamespace, runIn } from '../../lab/netns.ts';
import { until } from '../../lab/until.ts';
import { pilotfish } from '../support/command.ts';
import { needs } from '../support/require.ts';
import { broken, crossing, deploy, forwarded, STALL_MS, stateOf, untilServing, vip } from '../support/two-lbs.ts';

const flows = 200;
const bytesPerSecond = 20_000;
const otherPrefix = '/pilotfish/other/';
const otherSeed = 'c0ffee';

const tools = ['etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'tcpdump'];

describe.skipIf(needs(...tools))('two LBs behind ECMP', { timeout: 60_000 }, () => {
  let lab: Lab;
  let downloads: Downloads | undefined;

  beforeAll(async () => {
    lab = await Lab.up({ lbs: 2 });
    await deploy(lab);
    await deploy(lab, { prefix: otherPrefix, seed: otherSeed });
  });

  afterAll(() => lab?.down());

  beforeEach(() => untilServing(lab));

  afterEach(async () => {
    await downloads?.stop();
    downloads = undefined;
  });

  const lb1 = () => lab.lb('lb1');

  /** Starts the downloads and returns those that each LB carries. */
  async function download(): Promise<Record<'lb1' | 'lb2', readonly number[]>> {
    downloads = await lab.client.downloads(flows, bytesPerSecond, { vip, stallMs: STALL_MS });
    expect(broken(await downloads.flows())).toEqual([]);
    const { lb1 = [], lb2 = [] } = await crossing(lab.lbs, downloads);
    expect([...lb1, ...lb2].sort((a, b) => a - b)).toEqual(Array.from({ length: flows }, (_, flow) => flow));
    expect(lb1.length).toBeGreaterThanOrEqual(60);
    expect(lb2.length).toBeGreaterThanOrEqual(60);
    return { lb1, lb2 };
  }

  async function openFlows(): Promise<number> {
    return ((await downloads?.flows()) ?? []).filter(({ state }) => state === 'open').length;
  }

  it('serve from one store, each with an agent and pins of its own, and have the same digest', async () => {
    const [first, second] = await stateOf(lab);
    expect([first?.lb, second?.lb]).toEqual(['lb1', 'lb2']);
    expect(first?.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(second?.digest).toBe(first?.digest);
    expect(await lab.lb('lb1').pid()).not.toBe(await lab.lb('lb2').pid());

    const before = await forwarded(lab);
    const connections = await lab.client.connections(400, { vip });
    expect(connections.filter(({ error }) => error !== undefined)).toEqual([]);
    // Four packets of the client at least: SYN, ACK, request, FIN.
    for (const [i, packets] of (await forwarded(lab)).entries())
      expect(packets - (before[i] ?? 0)).toBeGreaterThan(400);
  });

  it('each receive on one CPU', async () => {
    const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
    const statuses = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')));
    for (const { host } of lab.lbs) {
      const threads = statuses.filter((status) => status.startsWith(`Name:\tnapi/${host.device}-`));
      const cpus = threads.map((status) => /^Cpus_allowed_list:\t(.*)$/m.exec(status)?.[1]);
      expect(cpus).toEqual([expect.stringMatching(/^\d+$/)]);
    }
  });

  it('get every connection of one 5-tuple at the same one of them', async () => {
    // No VIP answers there, so the port is free again at once.
    const connect = () => lab.client.curl(['--max-time', '0.1', '--local-port', '40001', 'http://192.0.2.99/']);
    const captures = Promise.all(lab.lbs.map(({ host }) => clientPortsTo(host, 3_000)));
    await sleep(500);
    for (let i = 0; i < 12; i++) await connect();
    const seen = (await captures).filter((ports) => ports.has(40_001));
    expect(seen.length).toBe(1);
  });

  it('lose none of 200 downloads when the cable of one is pulled', async () => {
    await download();
    try {
      await lb1().isolate();
      await sleep(STALL_MS + 2_000);
      expect(broken((await downloads?.flows()) ?? [])).toEqual([]);
      expect(await openFlows()).toBe(flows);
      expect((await crossing([lab.lb('lb2')], downloads!)).lb2?.length).toBe(flows);
    } finally {
      await lb1().rejoin();
    }
  });

  it('lose none of 200 downloads when one goes silent and its route is taken away a moment later', async () => {
    await download();
    await lb1().kill();
    const [command, args] = inNamespace(lb1().host.namespace, '', []);
    const prefix = [command, ...args.filter((arg) => arg !== '')];
    const detached = await pilotfish(['detach', '--config', lb1().configFile], { prefix });
    expect(detached.code).toBe(0);
    try {
      const meanwhile = await lab.client.connections(40, { vip, timeoutMs: 500 });
      const lost = meanwhile.filter(({ error }) => error === 'TIMEOUT').length;
      expect(lost, 'the silent LB must have swallowed some').toBeGreaterThan(5);
      expect(await runIn('pf-router', 'ip', ['route', 'show', '192.0.2.0/24'])).toContain('10.77.1.2');
      await sleep(500);
      await lb1().route('leave');
      await sleep(STALL_MS + 2_000);
      expect(broken((await downloads?.flows()) ?? [])).toEqual([]);
      expect(await openFlows()).toBe(flows);
    } finally {
      await lb1().start();
    }
  });

  it('would lose many if they had different seeds (this shows that the two tests above can fail)', async () => {
    await lab.lb('lb2').stop();
    await lab.lb('lb2').start({ prefix: otherPrefix });
    try {
      await untilServing(lab);
      const [first, second] = await stateOf(lab);
      expect(second?.digest).not.toBe(first?.digest);
      const { lb1: moved, lb2: stayed } = await download();
      await lb1().isolate();
      await sleep(STALL_MS + 2_000);
      const gone = new Set(broken((await downloads?.flows()) ?? []).map(({ flow }) => flow));
      expect(moved.filter((flow) => gone.has(flow)).length).toBeGreaterThan(moved.length / 3);
      expect(stayed.filter((flow) => gone.has(flow))).toEqual([]);
    } finally {
      await lb1().rejoin();
      await lab.lb('lb2').stop();
      await lab.lb('lb2').start();
    }
  });

  it('keep all flows where they are when the weights send new ones elsewhere', async () => {
    await download();
    const before = (await downloads?.flows())?.map(({ real }) => real);
    const old = (await stateOf(lab)).map(({ digest }) => digest);
    try {
      await deploy(lab, { weights: { r1: 10, r2: 10, r3: 1_000 } });
      const changed = async () =>
        (await stateOf(lab)).every(
          ({ pools }) => (pools[0]?.reals.find(({ id }) => id === 'r3')?.slots ?? 0) > 0.95 * 65_537,
        );
      await until(changed, { what: 'nearly the whole ring is of r3', timeoutMs: 5_000 });
      expect((await stateOf(lab)).map(({ digest }) => digest)).not.toEqual(old);
      const fresh = await lab.client.connections(200, { vip });
      expect(fresh.filter(({ real }) => real === 'r3').length).toBeGreaterThan(180);
      await sleep(STALL_MS + 2_000);
      expect(broken((await downloads?.flows()) ?? [])).toEqual([]);
      expect((await downloads?.flows())?.map(({ real }) => real)).toEqual(before);
      // Most of them would be elsewhere now: nothing but the flow cache keeps them.
      expect(before?.filter((real) => real !== 'r3').length).toBeGreaterThan(80);
    } finally {
      await deploy(lab);
    }
  });
});
