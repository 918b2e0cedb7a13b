/**
 * A program of its own, since it uses up the descriptors of its process: checks real servers, at `port` of two
 * addresses, by TCP and by HTTP, before, while and after there is no descriptor left. Prints what it saw as JSON.
 */
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { Health } from '../../src/health/health.ts';
import { httpCheck, tcpCheck } from './health.ts';
import { until } from './until.ts';

const port = Number(process.argv[2]);
const timing = { port, intervalMs: 100, timeoutMs: 100, fastIntervalMs: 100, downIntervalMs: 100, rise: 1, fall: 1 };
const logged: { msg: string; last?: string }[] = [];
const transitions: string[] = [];

const health = new Health({
  lb: 'lb1',
  log: pino({}, { write: (line: string) => logged.push(JSON.parse(line)) }),
  onTransition: ({ address, from, to, reason }) => transitions.push(`${address} ${from}>${to} ${reason}`),
});
health.update([
  { pool: 'web', address: '127.0.0.1', checks: [tcpCheck(timing)] },
  { pool: 'web', address: '127.0.0.2', checks: [httpCheck(timing)] },
]);

function allUp(): boolean {
  return [...health.observations().values()].every(({ observation }) => observation === 'up');
}

await until('both reals are up', 10_000, allUp);

const held: number[] = [];
function takeAll(): void {
  try {
    for (;;) held.push(openSync('/dev/null', 'r'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error;
  }
}
// Checks that were under way give theirs back.
const taking = setInterval(takeAll, 5);
takeAll();
await until('checks were not carried out', 10_000, () => health.stats.inconclusive >= 20);
const upWithout = allUp();
clearInterval(taking);
for (const descriptor of held) closeSync(descriptor);

await sleep(1_500);
const { inconclusive, runs } = health.stats;
await until('checks run again', 10_000, () => health.stats.runs >= runs + 20);
const after = health.stats.inconclusive - inconclusive;
await health.close();
const { lastInconclusive } = health.stats;
const last = lastInconclusive?.what;
const ageMs = performance.now() - (lastInconclusive?.at ?? Number.NaN);
console.log(JSON.stringify({ transitions, upWithout, after, last, ageMs, logged }));
