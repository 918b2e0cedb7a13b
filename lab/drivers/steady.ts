/**
 * `node steady.ts <JSON of SteadyJob>`: makes connections at a steady rate until SIGTERM, prints each as a line of JSON
 * when it is over, and ends when the last is. The rate does not fall when answers are late.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectOnce, type Target } from './connect.ts';

export interface SteadyJob {
  readonly target: Target;
  /** Connections a second. */
  readonly rate: number;
}

const job = JSON.parse(process.argv[2] ?? '') as SteadyJob;
const stopped = new AbortController();
process.once('SIGTERM', () => stopped.abort());

const open = new Set<Promise<void>>();
const begun = performance.now();
for (let count = 0; !stopped.signal.aborted; count++) {
  const one = connectOnce(job.target).then((connection) => {
    process.stdout.write(`${JSON.stringify(connection)}\n`);
    open.delete(one);
  });
  open.add(one);
  const next = begun + ((count + 1) * 1000) / job.rate;
  // The only error is that the sleep was cut short, which ends the loop.
  await sleep(Math.max(0, next - performance.now()), null, { signal: stopped.signal }).catch(() => {});
}
await Promise.all(open);
