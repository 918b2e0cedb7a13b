/**
 * Applies every fault of test/mutations/ to a copy of the tree, one at a time, and runs the test that has to
 * notice. Ends with 1 when one goes unnoticed.
 *
 *   npm run mutate [-- <name>...]
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatTable } from '../src/cli/output.ts';
import type { Mutation } from '../test/mutations/mutation.ts';
import { mutations } from '../test/mutations/table.ts';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
}

const root = fileURLToPath(new URL('..', import.meta.url));

/** @returns how the test went; null when it did not run, as when the patch is no program any more */
function run(tree: string, { file, test }: Mutation['caughtBy']): 'passed' | 'failed' | null {
  const report = join(tree, 'report.json');
  rmSync(report, { force: true });
  const name = test.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  spawnSync(
    process.execPath,
    [
      join(tree, 'node_modules/vitest/vitest.mjs'),
      ...['run', '--project', 'unit', `test/unit/${file}.test.ts`, '-t', `${name}$`],
      ...['--reporter=json', `--outputFile=${report}`],
    ],
    { cwd: tree, stdio: 'ignore', timeout: 120_000 },
  );
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    if (numFailedTests > 0) return 'failed';
    return numPassedTests > 0 ? 'passed' : null;
  } catch {
    return null;
  }
}

function outcome(tree: string, { file, find, replace, caughtBy }: Mutation): string {
  const path = join(tree, 'src/core', file);
  const source = readFileSync(path, 'utf8');
  if (source.split(find).length !== 2) return 'DOES NOT APPLY';
  writeFileSync(
    path,
    source.replace(find, () => replace),
  );
  try {
    const result = run(tree, caughtBy);
    if (result === null) return 'DOES NOT RUN';
    return result === 'failed' ? 'caught' : 'UNNOTICED';
  } finally {
    writeFileSync(path, source);
  }
}

const names = process.argv.slice(2);
const chosen = mutations.filter(({ name }) => names.length === 0 || names.includes(name));
const tree = mkdtempSync(join(tmpdir(), 'pilotfish-mutate-'));
try {
  for (const part of ['src', 'test', 'docs', 'package.json', 'tsconfig.json', 'vitest.config.ts'])
    cpSync(join(root, part), join(tree, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  // Without a fault all of them have to pass: else they would notice anything.
  const tests = new Map(chosen.map(({ caughtBy }) => [`${caughtBy.file}: ${caughtBy.test}`, caughtBy]));
  const broken = [...tests].filter(([, test]) => run(tree, test) !== 'passed').map(([name]) => name);
  if (broken.length > 0) throw new Error(`these fail without any fault:\n${broken.join('\n')}`);
  const rows = chosen.map((mutation) => {
    const result = outcome(tree, mutation);
    console.log(`${mutation.name}: ${result}`);
    return [mutation.name, mutation.file, result, `${mutation.caughtBy.file}: ${mutation.caughtBy.test}`];
  });
  console.log(`\n${formatTable(['FAULT', 'IN', 'RESULT', 'BY'], rows)}\n`);
  const missed = rows.filter(([, , result]) => result !== 'caught').length;
  console.log(`${rows.length - missed} of ${rows.length} faults caught`);
  process.exitCode = missed === 0 && rows.length > 0 ? 0 : 1;
} finally {
  rmSync(tree, { recursive: true, force: true });
}
