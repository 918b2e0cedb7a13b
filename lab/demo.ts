/**
 * `npm run demo`: the main job of the project on real traffic, told step by step. Every step makes a claim; one that
 * fails makes the demo exit 1.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PilotfishError } from '../src/core/errors.ts';
import { clientPortsTo } from './capture.ts';
import { Story } from './demo-story.ts';
import { Lab } from './lab.ts';
import { drainDeadline, FIRST_PORT, firstAnswer, lastAnswer, lastFailure, shares, worstShare } from './measure.ts';
import { removeLab } from './remove.ts';
import { until } from './until.ts';

const vip = '192.0.2.10';
const check = { type: 'tcp', interval: '1s', timeout: '500ms', rise: 2, fall: 3 } as const;
const drainLimitMs = drainDeadline({ intervalMs: 1_000, timeoutMs: 500, fall: 3 });
const weights: Record<string, number> = { r1: 100, r2: 200, r3: 100 };
const desired = '/pilotfish/v1/desired';
/** A download without a byte for this long is broken. */
const STALL_MS = 5_000;

const story = new Story();

/** Writes a key the way a person does it, and shows the command. */
async function put(lab: Lab, key: string, value: unknown): Promise<number> {
  story.command(`etcdctl put ${desired}/${key} '${JSON.stringify(value)}'`);
  await lab.etcd.put(`${desired}/${key}`, value);
  return Date.now();
}

/** Both LBs at the same revision have the same rings, slot by slot. */
async function agree(lab: Lab): Promise<void> {
  const states = () => Promise.all(lab.lbs.map((lb) => lb.state()));
  const settled = async (): Promise<boolean> => {
    const [first, ...others] = await states();
    return others.every((other) => other.digest === first?.digest && other.digest !== null);
  };
  const equal = await until(settled, { what: 'both LBs have the same digest', timeoutMs: 5_000 }).then(
    () => true,
    () => false,
  );
  const digests = (await states()).map((state) => `${state.lb} ${state.digest?.slice(0, 12)}`);
  story.claim(`the LBs have the same rings: ${digests.join(', ')}`, equal);
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
  await agree(lab);
}

async function balance(lab: Lab): Promise<void> {
  story.step('2,000 connections through the VIP');
  const connections = await lab.client.connections(2_000, { vip, firstPort: FIRST_PORT });
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
  const packets = (await Promise.all(lab.lbs.map((lb) => lb.state()))).map((s) => `${s.lb} ${s.reasons.forwarded}`);
  story.say(`packets forwarded by each LB: ${packets.join(', ')}`);
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
  const late = failures.filter((c) => c.start > killed + drainLimitMs).length;
  const meanwhile = failures.length - early - late;
  story.say(`failed connections: ${early} before the kill, ${meanwhile} until r2 had to be drained, ${late} later`);
  story.claim(
    `the last connection met the dead r2 ${drained} ms after the kill (promised: ${drainLimitMs} ms)`,
    meanwhile > 0 && late === 0,
  );
  story.claim('no connection failed before the kill', early === 0);
  const flows = await downloads.flows();
  const others = flows.filter((f) => f.real !== 'r2');
  const broken = others.filter((f) => f.state === 'broken').length;
  story.claim(`none of the ${others.length} downloads on other reals broke (${broken})`, broken === 0);
  await downloads.stop();
  await agree(lab);

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
  await agree(lab);
}

async function changeWeight(lab: Lab): Promise<void> {
  story.step('Change a weight: r1 from 100 to 0, under 200 connections a second');
  const steady = await lab.client.steady(200, { vip });
  await sleep(1_000);
  const at = await put(lab, 'pools/web/reals/r1', { address: lab.real('r1').address, weight: 0 });
  await sleep(1_500);
  const all = await steady.stop();
  const last = lastAnswer(all, 'r1') ?? at;
  const failed = all.filter((c) => c.error !== undefined).length;
  const inForce = Math.max(0, last - at);
  story.claim(`the last connection to r1 began ${inForce} ms after the put (promised: 200 ms)`, inForce < 200);
  story.claim(`no connection failed (${failed} of ${all.length})`, failed === 0);
}

async function loseAnLb(lab: Lab): Promise<void> {
  const count = 200;
  story.step(
    `Lose an LB: ${count} slow downloads are open, then the cable of lb1 is pulled and the router withdraws its route`,
  );
  const [first] = lab.lbs;
  if (first === undefined) throw new PilotfishError('PF_LAB', 'the lab has no LB');
  const downloads = await lab.client.downloads(count, 20_000, { vip, stallMs: STALL_MS });
  const through = (await clientPortsTo(first.host, 2_000)).size;
  story.say(`${through} of them cross lb1`);
  await first.isolate();
  await sleep(STALL_MS + 2_000);
  const broken = (await downloads.flows()).filter((flow) => flow.state !== 'open').length;
  await downloads.stop();
  story.claim(`none of the ${count} downloads broke (${broken})`, broken === 0 && through >= 60);
  const connections = await lab.client.connections(200, { vip });
  const failed = connections.filter((c) => c.error !== undefined).length;
  story.claim(`new connections go through the other LB (${failed} of ${connections.length} failed)`, failed === 0);
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
  story.step(
    'Build the lab: client, ECMP router, two LBs, three reals with nginx, etcd; all real, in network namespaces',
  );
  await using lab = await Lab.up({ lbs: 2 });
  story.say('an agent runs on each LB, its program is attached, and it knows no VIP yet');
  await deploy(lab);
  await balance(lab);
  await killAndRevive(lab);
  await changeWeight(lab);
  await agree(lab);
  await loseAnLb(lab);
  await removeVip(lab);
}

let interrupted = false;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, async () => {
    interrupted = true;
    console.log(`\n${signal}: removing the lab`);
    await removeLab();
    process.exit(code);
  });

try {
  await tell();
} catch (error) {
  // Whatever broke off because the lab went away: the handler of the signal ends the process.
  if (interrupted) await new Promise(() => {});
  story.broken(error instanceof PilotfishError ? error.describe() : error);
}
process.exit(story.end());
