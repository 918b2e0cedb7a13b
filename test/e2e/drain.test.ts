import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Download, Downloads } from '../../lab/client.ts';
import { Lab } from '../../lab/lab.ts';
import { until } from '../../lab/until.ts';
import type { AgentState } from '../../src/agent-state.ts';
import { pilotfish } from '../support/command.ts';
import { needs } from '../support/require.ts';

const desired = '/pilotfish/v1/desired';
const vip = '192.0.2.10';
const check = { type: 'tcp', interval: '500ms', timeout: '300ms', rise: 2, fall: 3 };

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool'))('taking a real out', () => {
  let lab: Lab;
  let downloads: Downloads | undefined;

  beforeAll(async () => {
    lab = await Lab.up();
  });

  afterAll(() => lab?.down());

  const put = (key: string, value: unknown) => lab.etcd.put(`${desired}/${key}`, value);
  const putReal = (name: string, fields: object = {}) =>
    put(`pools/web/reals/${name}`, { address: lab.real(name).address, ...fields });
  const drain = (...args: string[]) => pilotfish([...args, '--config', lab.lb('lb1').configFile]);

  async function reals(): Promise<AgentState['pools'][number]['reals']> {
    const state = JSON.parse((await lab.lb('lb1').admin('/v1/state')).body) as AgentState;
    return state.pools.find((pool) => pool.name === 'web')?.reals ?? [];
  }

  async function allTaking(): Promise<boolean> {
    const all = await reals();
    return all.length === 3 && all.every((real) => real.slots > 0);
  }

  const slotsOf = async (id: string): Promise<number> => (await reals()).find((real) => real.id === id)?.slots ?? 0;

  beforeEach(async () => {
    await lab.etcd.delete(desired, { prefix: true });
    await put('pools/web', { checks: [check], removeAfter: '4s' });
    await Promise.all(['r1', 'r2', 'r3'].map((name) => putReal(name)));
    await put('vips/web-80', { address: vip, port: 80, protocol: 'tcp', pool: 'web' });
    await until(allTaking, { what: 'all reals take flows', timeoutMs: 10_000 });
  });

  afterEach(async () => {
    await downloads?.stop();
    downloads = undefined;
  });

  /** Downloads that last longer than the test, some of them from r2. */
  async function open(): Promise<Downloads> {
    downloads = await lab.client.downloads(40, 40_000, { vip });
    await sleep(500);
    expect(of(await downloads.flows(), 'r2').length).toBeGreaterThan(3);
    return downloads;
  }

  const of = (flows: readonly Download[], real: string): Download[] => flows.filter((flow) => flow.real === real);
  const broken = (flows: readonly Download[]): Download[] => flows.filter((flow) => flow.state === 'broken');

  it('drains: no new connection, no broken one, and --wait ends when the old ones have', async () => {
    const running = await open();
    const steady = await lab.client.steady(100, { vip });
    await sleep(500);
    expect(await drain('drain', 'web/r2')).toMatchObject({ code: 0, stderr: '' });
    await until(async () => (await slotsOf('r2')) === 0, { what: 'the drain is in force', timeoutMs: 2_000 });
    const at = Date.now();
    let waited = false;
    const waiting = drain('drain', 'web/r2', '--wait', '--quiet-for', '1', '--timeout', '15').then((result) => {
      waited = true;
      return result;
    });
    await sleep(3_000);
    const connections = await steady.stop();
    expect(connections.filter((c) => c.error !== undefined)).toEqual([]);
    expect(connections.some((c) => c.start < at - 500 && c.real === 'r2')).toBe(true);
    expect(connections.filter((c) => c.start > at && c.real === 'r2')).toEqual([]);
    expect(waited).toBe(false);
    expect(broken(await running.stop())).toEqual([]);
    downloads = undefined;
    expect(await waiting).toMatchObject({ code: 0, stdout: expect.stringContaining('got no packet from lb1 for 1 s') });

    expect((await drain('undrain', 'web/r2')).code).toBe(0);
    await until(allTaking, { what: 'r2 takes flows again', timeoutMs: 2_000 });
    expect((await lab.client.connections(60, { vip })).some((c) => c.real === 'r2')).toBe(true);
  });

  it('maintenance cuts the flows of that real and of no other', async () => {
    const running = await open();
    expect((await drain('drain', 'web/r2', '--maintenance')).code).toBe(0);
    await until(async () => broken(of(await running.flows(), 'r2')).length > 0, {
      what: 'flows of r2 break',
      timeoutMs: 10_000,
    });
    const flows = await running.flows();
    expect(broken(flows.filter((flow) => flow.real !== 'r2'))).toEqual([]);
    const after = await lab.client.connections(60, { vip });
    expect(after.filter((c) => c.real === undefined || c.real === 'r2')).toEqual([]);
  });

  it('a removed real keeps its flows for removeAfter, and for good when it comes back in time', async () => {
    const running = await open();
    await lab.etcd.delete(`${desired}/pools/web/reals/r2`);
    await sleep(2_000);
    expect((await lab.client.connections(60, { vip })).filter((c) => c.real === 'r2')).toEqual([]);
    expect(broken(await running.flows())).toEqual([]);
    await putReal('r2');
    await sleep(4_000);
    expect(broken(await running.flows())).toEqual([]);
    await lab.etcd.delete(`${desired}/pools/web/reals/r2`);
    await until(async () => broken(of(await running.flows(), 'r2')).length > 0, {
      what: 'flows of r2 break',
      timeoutMs: 15_000,
    });
    expect(broken((await running.flows()).filter((flow) => flow.real !== 'r2'))).toEqual([]);
  });

  it('a pool that is replaced under its VIP keeps the flows that it has, also when it is removed', async () => {
    const running = await open();
    await put('pools/green', { checks: [check], reals: { g1: { address: lab.real('r1').address } } });
    await put('vips/web-80', { address: vip, port: 80, protocol: 'tcp', pool: 'green' });
    await until(async () => (await lab.client.connections(20, { vip })).every((c) => c.real === 'r1'), {
      what: 'new connections go to the new pool',
      timeoutMs: 10_000,
    });
    await lab.etcd.delete(`${desired}/pools/web`, { prefix: true });
    await sleep(2_000);
    expect(broken(await running.flows())).toEqual([]);
  });
});
