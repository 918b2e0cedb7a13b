import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { drainDeadline, FIRST_PORT, firstAnswer, lastFailure, shares, worstShare } from '../../lab/measure.ts';
import { until } from '../../lab/until.ts';
import type { AgentState } from '../../src/agent-state.ts';
import { pilotfish } from '../support/command.ts';
import { needs } from '../support/require.ts';

const desired = '/pilotfish/v1/desired';
const vip = '192.0.2.10';
const check = { type: 'tcp', interval: '500ms', timeout: '300ms', rise: 2, fall: 3 };
const drainLimitMs = drainDeadline({ intervalMs: 500, timeoutMs: 300, fall: 3 });

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool'))('traffic through one LB', () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.up();
  });

  afterAll(() => lab?.down());

  const put = (key: string, value: unknown) => lab.etcd.put(`${desired}/${key}`, value);
  const putReal = (name: string, fields: object = {}) =>
    put(`pools/web/reals/${name}`, { address: lab.real(name).address, ...fields });
  const putVip = (name: string, fields: object = {}) =>
    put(`vips/${name}`, { address: vip, port: 80, protocol: 'tcp', pool: 'web', ...fields });

  async function state(): Promise<AgentState> {
    return JSON.parse((await lab.lb('lb1').admin('/v1/state')).body) as AgentState;
  }

  async function allUp(): Promise<boolean> {
    const reals = (await state()).pools.find((pool) => pool.name === 'web')?.reals ?? [];
    return reals.length === 3 && reals.every((real) => real.health === 'up' && real.slots > 0);
  }

  beforeEach(async () => {
    await lab.etcd.delete(desired, { prefix: true });
    await put('pools/web', { checks: [check] });
    await Promise.all(['r1', 'r2', 'r3'].map((name) => putReal(name)));
    await putVip('web-80');
    await until(allUp, { what: 'all reals are up', timeoutMs: 10_000 });
  });

  it('spreads 2,000 connections within 3 points of the weights', async () => {
    const weights = { r1: 100, r2: 200, r3: 100 };
    await putReal('r2', { weight: 200 });
    await until(async () => (await state()).pools[0]?.reals.find((r) => r.id === 'r2')?.weight === 200, {
      what: 'the weight is in force',
      timeoutMs: 2_000,
    });
    const connections = await lab.client.connections(2_000, { vip, firstPort: FIRST_PORT });
    expect(connections.filter((c) => c.error !== undefined)).toEqual([]);
    expect(worstShare(shares(connections, weights))).toBeLessThan(3);
  });

  it('drains a killed real in time, leaves the flows of others alone, and takes it back', async () => {
    const downloads = await lab.client.downloads(40, 40_000, { vip });
    const steady = await lab.client.steady(100, { vip });
    await sleep(1_000);
    const killed = Date.now();
    await lab.real('r2').kill();
    await sleep(drainLimitMs + 1_500);
    const during = await steady.connections();
    const failures = during.filter((c) => c.error !== undefined);
    expect(failures.length, 'some connections must have met the dead real').toBeGreaterThan(0);
    expect(failures.every((c) => c.start >= killed - 50)).toBe(true);
    expect((lastFailure(during) ?? Number.POSITIVE_INFINITY) - killed).toBeLessThanOrEqual(drainLimitMs);
    const others = (await downloads.flows()).filter((f) => f.real !== 'r2');
    expect(others.length).toBeGreaterThan(10);
    expect(others.filter((f) => f.state === 'broken')).toEqual([]);
    await downloads.stop();

    const started = Date.now();
    await lab.real('r2').start();
    await until(async () => firstAnswer(await steady.connections(), 'r2', started) !== null, {
      what: 'r2 takes connections again',
      timeoutMs: 10_000,
    });
    const all = await steady.stop();
    expect(all.filter((c) => c.start > started && c.error !== undefined)).toEqual([]);
  });

  it('has a weight in force within 200 ms of the put', async () => {
    const steady = await lab.client.steady(200, { vip });
    await sleep(500);
    await putReal('r1', { weight: 0 });
    const at = Date.now();
    await sleep(1_000);
    const all = await steady.stop();
    expect(all.filter((c) => c.error !== undefined)).toEqual([]);
    expect(all.some((c) => c.start < at && c.real === 'r1')).toBe(true);
    expect(all.filter((c) => c.start > at + 200).length).toBeGreaterThan(50);
    expect(all.filter((c) => c.start > at + 200 && c.real === 'r1')).toEqual([]);
  });

  it('has a VIP of a pool that is up in force within 200 ms of the put', async () => {
    await putVip('web-8080', { port: 8080 });
    // A check without a port would take the VIP's, which two VIPs of one pool do not share.
    const rejected = async () => (await state()).rejected.map((r) => r.path).join();
    await until(async () => (await rejected()).includes('web'), {
      what: 'the second VIP is rejected',
      timeoutMs: 2_000,
    });
    await put('pools/web', { checks: [{ ...check, port: 80 }] });
    await lab.etcd.delete(`${desired}/vips/web-8080`);
    await sleep(300);
    const steady = await lab.client.steady(100, { vip, port: 8080, timeoutMs: 300 });
    await sleep(500);
    await putVip('web-8080', { port: 8080 });
    const at = Date.now();
    await sleep(1_000);
    const all = await steady.stop();
    expect(all.filter((c) => c.start < at - 400 && c.real !== undefined)).toEqual([]);
    const after = all.filter((c) => c.start > at + 200);
    expect(after.length).toBeGreaterThan(20);
    expect(after.filter((c) => c.error !== undefined)).toEqual([]);
  });

  it('stops serving a removed VIP', async () => {
    expect((await lab.client.connections(5, { vip })).every((c) => c.real !== undefined)).toBe(true);
    await lab.etcd.delete(`${desired}/vips/web-80`);
    await sleep(200);
    const after = await lab.client.connections(10, { vip, timeoutMs: 300 });
    expect(after.filter((c) => c.real !== undefined)).toEqual([]);
  });

  it('takes a malformed key for itself alone and shows it in `get rejected`', async () => {
    await putVip('broken', { port: 70_000 });
    await put('pools/web/reals/r9', '{"address":');
    await until(async () => (await state()).rejected.length === 2, { what: 'both are rejected', timeoutMs: 2_000 });
    const connections = await lab.client.connections(200, { vip });
    expect(connections.filter((c) => c.error !== undefined)).toEqual([]);
    const { stdout, code } = await pilotfish(['get', 'rejected', '--config', lab.lb('lb1').configFile]);
    expect(code).toBe(0);
    expect(stdout).toContain('desired/vips/broken');
    expect(stdout).toContain('70000');
    expect(stdout).toContain('desired/pools/web/reals/r9');
    expect(stdout).toContain('lb1');
  });

  it('keeps the last good value of a key that is broken by an edit', async () => {
    await put('vips/web-80', { address: vip, port: 'eighty', protocol: 'tcp', pool: 'web' });
    await until(async () => (await state()).rejected.length === 1, { what: 'it is rejected', timeoutMs: 2_000 });
    expect((await state()).rejected[0]).toMatchObject({ keptLastGood: true });
    expect((await lab.client.connections(20, { vip })).every((c) => c.real !== undefined)).toBe(true);
  });

  it('forwards on when the agent is killed, and a new one takes over without losing a connection', async () => {
    const steady = await lab.client.steady(100, { vip });
    await sleep(500);
    await lab.lb('lb1').kill();
    await sleep(1_500);
    await lab.lb('lb1').start();
    await until(allUp, { what: 'all reals are up again', timeoutMs: 10_000 });
    await sleep(500);
    const all = await steady.stop();
    expect(all.length).toBeGreaterThan(200);
    expect(all.filter((c) => c.error !== undefined)).toEqual([]);
  });

  it('leaves an earlier program in place when it starts on a store without any VIP', async () => {
    await lab.lb('lb1').kill();
    await lab.etcd.delete(desired, { prefix: true });
    const started = lab.lb('lb1').start();
    // Longer than first checks may take.
    await sleep(6_500);
    expect(await lab.lb('lb1').isReady()).toBe(false);
    expect((await state()).problems.join()).toContain('onEmpty: keep');
    expect((await lab.client.connections(50, { vip })).every((c) => c.real !== undefined)).toBe(true);
    await put('pools/web', { checks: [check] });
    await Promise.all(['r1', 'r2', 'r3'].map((name) => putReal(name)));
    await putVip('web-80');
    await started;
    expect((await lab.client.connections(50, { vip })).every((c) => c.real !== undefined)).toBe(true);
  });

  it('keeps the last state while etcd is away, and takes up changes when it is back', async () => {
    await lab.etcd.kill();
    await sleep(1_000);
    expect((await lab.client.connections(50, { vip })).every((c) => c.real !== undefined)).toBe(true);
    await until(async () => (await state()).source.state === 'lost', { what: 'the loss is told', timeoutMs: 15_000 });
    await lab.etcd.start();
    await putReal('r1', { weight: 0 });
    await until(async () => (await state()).pools[0]?.reals[0]?.slots === 0, {
      what: 'the change is in force',
      timeoutMs: 10_000,
    });
  });
});
