/**
 * Runs benchmarks one after the other, all of them or those named; options go to each of them:
 *
 *   npm run bench
 *   npm run bench -- packet --rows hit-1 --json
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const benchmarks = ['ring', 'packet', 'wire', 'put', 'memory'];

const args = process.argv.slice(2);
const firstOption = args.findIndex((arg) => arg.startsWith('-'));
const named = firstOption < 0 ? args : args.slice(0, firstOption);
const options = args.slice(named.length);
const unknown = named.filter((name) => !benchmarks.includes(name));

if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}; there are ${benchmarks.join(', ')}.`);
  process.exit(2);
}
if (named.length === 0 && options.length > 0) {
  console.error(`Name the benchmark that ${options.join(' ')} is for: ${benchmarks.join(', ')}.`);
  process.exit(2);
}

// Each in a process of its own, so that none starts with the other’s heap, threads or maps.
let failed = false;
for (const name of named.length > 0 ? named : benchmarks) {
  // Not on standard output, which may be read by a program.
  console.error(`\n== ${name} ==`);
  const script = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const { status } = spawnSync(process.execPath, [script, ...options], { stdio: 'inherit' });
  failed ||= status !== 0;
}
process.exit(failed ? 1 : 0);
