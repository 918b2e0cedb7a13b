/**
 * `npm run demo`: the main job of the project on real traffic, told step by step. Every step makes a claim; one that
 * fails makes the demo exit 1.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PilotfishError } from '../src/core/errors.ts';
import { Story } from './demo-story.ts';
import { Lab } from './lab.ts';
import { drainDeadline, firstAnswer, lastFailure, shares, worstShare } from './measure.ts';
import { removeLab } from './remove.ts';
import { until } from './until.ts';

const vip = '192.0.2.10';
const check = { type: 'tcp', interval: '1s', timeout: '500ms', rise: 2, fall: 3 } as const;
const drainLimitMs = drainDeadline({ intervalMs: 1_000, timeoutMs: 500, fall: 3 });
const weights: Record<string, number> = { r1: 100, r2: 200, r3: 100 };
const desired = '/pilotfish/v1/desired';

const story = new Story();

/** Writes a key the way a person does it, and shows the command. */
async function put(lab: Lab, key: string, value: unknown): Promise<number> {
  story.command(`etcdctl put ${desired}/${key} '${JSON.stringify(value)}'`);
  await lab.etcd.put(`${desired}/${key}`, value);
  return Date.now();
}

async function deploy(lab: Lab): Promise<void> {
  story.step('Deploy by writing to etcd: a pool, three reals (r2 with twice the weight), a VIP');
  await put(lab, 'pools/web', { checks: [check] });
  for (const real of lab.reals)
    await put(lab, `pools/web/reals/${real.name}`, { address: real.address, weight: weights[real.name] });
  const at = await put(lab, 'vips/web-80', { address: vip, port: 80, protocol: 'tcp', pool: 'web' });
  const answers = async (): Promise<boolean> =>
    (await lab.client.connections(1, { vip, timeoutMs: 500 }))[0]?.real !== undefined;
  await until(answers, { what: `${vip} answers`, timeoutMs: 10_000 });
  story.say(
    `first answer through the VIP ${Date.now() - at} ms after the last put (the reals had to be checked first)`,
  );
  // All three have to be up before shares mean anything.
  await sleep(2_000);
}

async function balance(lab: Lab): Promise<void> {
  story.step('2,000 connections through the VIP');
  const connections = await lab.client.connections(2_000, { vip });
  const spread = shares(connections, weights);
  story.table(
    ['real', 'weight', 'expected', 'measured'],
    spread.map((s) => [s.real, String(weights[s.real]), `${s.expected.toFixed(1)} %`, `${s.measured.toFixed(1)} %`]),
  );
  story.claim(
    `every share is within 3 points of its weight (worst: ${worstShare(spread).toFixed(2)})`,
    worstShare(spread) < 3,
  );
  const failed = connections.filter((c) => c.error !== undefined).length;
  story.claim(`no connection failed (${failed} of ${connections.length})`, failed === 0);
}

async function killAndRevive(lab: Lab): Promise<void> {
  story.step(
    'Kill a real: nginx of r2 gets SIGKILL while 100 connections a second arrive and 30 downloads are under way',
  );
  const downloads = await lab.client.downloads(30, 40_000, { vip });
  const steady = await lab.client.steady(100, { vip });
  await sleep(2_000);
  const killed = Date.now();
  await lab.real('r2').kill();
  await sleep(drainLimitMs + 1_000);
  const during = await steady.connections();
  const failures = during.filter((c) => c.error !== undefined);
  const drained = (lastFailure(during) ?? killed) - killed;
  const early = failures.filter((c) => c.start < killed - 50).length;
  story.say(`failed before the kill: ${early}; until r2 was drained: ${failures.length - early}; after that: 0`);
  story.claim(
    `r2 was drained after ${drained} ms (promised: ${drainLimitMs} ms)`,
    drained <= drainLimitMs && early === 0,
  );
  const flows = await downloads.flows();
  const others = flows.filter((f) => f.real !== 'r2');
  const broken = others.filter((f) => f.state === 'broken').length;
  story.claim(`none of the ${others.length} downloads on other reals broke (${broken})`, broken === 0);
  await downloads.stop();

  story.step('Bring r2 back');
  const started = Date.now();
  await lab.real('r2').start();
  const answered = async (): Promise<boolean> => firstAnswer(await steady.connections(), 'r2', started) !== null;
  await until(answered, { what: 'r2 takes connections again', timeoutMs: 10_000 });
  await sleep(1_000);
  const all = await steady.stop();
  const back = (firstAnswer(all, 'r2', started) ?? 0) - started;
  const failedSince = all.filter((c) => c.start > started && c.error !== undefined).length;
  story.claim(`r2 takes new connections again after ${back} ms; failed meanwhile: ${failedSince}`, failedSince === 0);
}

async function changeWeight(lab: Lab): Promise<void> {
  story.step('Change a weight: r1 from 100 to 0, under 200 connections a second');
  const steady = await lab.client.steady(200, { vip });
  await sleep(1_000);
  const at = await put(lab, 'pools/web/reals/r1', { address: lab.real('r1').address, weight: 0 });
  await sleep(1_500);
  const all = await steady.stop();
  const last = all.findLast((c) => c.real === 'r1')?.start ?? at;
  const failed = all.filter((c) => c.error !== undefined).length;
  const inForce = Math.max(0, last - at);
  story.claim(`the last connection to r1 began ${inForce} ms after the put (promised: 200 ms)`, inForce < 200);
  story.claim(`no connection failed (${failed} of ${all.length})`, failed === 0);
}

async function removeVip(lab: Lab): Promise<void> {
  story.step('Remove the VIP');
  story.command(`etcdctl del ${desired}/vips/web-80`);
  await lab.etcd.delete(`${desired}/vips/web-80`);
  await sleep(200);
  const connections = await lab.client.connections(20, { vip, timeoutMs: 500 });
  const answered = connections.filter((c) => c.real !== undefined).length;
  story.claim(`nothing answers there any more (${answered} of ${connections.length} did)`, answered === 0);
}

async function tell(): Promise<void> {
  story.step('Build the lab: client, router, one LB, three reals with nginx, etcd; all real, in network namespaces');
  await using lab = await Lab.up();
  story.say(`the agent on lb1 is ready; its program is attached to ${lab.lb('lb1').host.device} and knows no VIP yet`);
  await deploy(lab);
  await balance(lab);
  await killAndRevive(lab);
  await changeWeight(lab);
  await removeVip(lab);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, async () => {
    console.log(`\n${signal}: removing the lab`);
    await removeLab();
    process.exit(code);
  });

try {
  await tell();
} catch (error) {
  story.broken(error instanceof PilotfishError ? error.describe() : error);
}
process.exit(story.end());
