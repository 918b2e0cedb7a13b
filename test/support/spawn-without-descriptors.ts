/**
 * A program of its own, since it uses up the descriptors of its process: runs a hook and follows what `ip` tells while
 * there is none left. Prints what became of them as JSON.
 */
import { closeSync, openSync } from 'node:fs';
import { pino } from 'pino';
import { runHook } from '../../src/announce/hook.ts';
import { messageOf } from '../../src/core/errors.ts';
import { IpMonitor } from '../../src/dataplane/ip-monitor.ts';
import { until } from './until.ts';

const logged: string[] = [];
const log = pino({}, { write: (line: string) => logged.push((JSON.parse(line) as { msg: string }).msg) });

const held: number[] = [];
try {
  for (;;) held.push(openSync('/dev/null', 'r'));
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error;
}
const hook = await runHook('join', { join: ['true'], leave: ['true'], timeoutMs: 5_000, onStop: 'stay' }).then(
  () => 'it ran',
  messageOf,
);
const monitor = new IpMonitor(() => {}, log);
await until('the monitor said why', 10_000, () => logged.length > 0);
monitor.close();
for (const descriptor of held) closeSync(descriptor);
console.log(JSON.stringify({ hook, logged }));
