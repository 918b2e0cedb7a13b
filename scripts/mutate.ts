/**
 * Applies every fault of test/mutations/ to a copy of the tree, one at a time, and runs the test that has to
 * notice. Ends with 1 when one goes unnoticed.
 *
 *   npm run mutate [-- <name>...]       faults of the core
 *   npm run mutate:bpf [-- <name>...]   of the program: has to be root; says of each whether the fuzz run notices, too
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '../src/cli/output.ts';
import { loadProgram, objectPath, tracingObjectPath } from '../src/dataplane/program.ts';
import type { Mutation } from '../test/mutations/mutation.ts';
import { mutations as coreMutations, programMutations } from '../test/mutations/table.ts';

/** What is broken, and where. */
interface Ground {
  readonly mutations: readonly Mutation[];
  /** That files of the mutations are in. */
  readonly directory: string;
  readonly tests: 'unit' | 'kernel';
  /** What a copy needs beside what all need. */
  readonly parts: readonly string[];
  /** Makes a copy ready after a change of its source. @returns what is wrong with it; null: nothing */
  ready(tree: string): Promise<string | null>;
  /** A test that looks at everything, and need not notice. */
  readonly broad: Mutation['caughtBy'] | null;
}

const sizes = { vips: 16, pools: 4, reals: 16, flowsPerCpu: 1024 };

/** A program that the kernel refuses would fail every test, and prove none. */
async function compiled(tree: string): Promise<string | null> {
  const objects = [objectPath, tracingObjectPath].map((path) => relative(root, path));
  // An older one would hide that there is no new one.
  for (const object of objects) rmSync(join(tree, object), { force: true });
  const { status } = spawnSync('make', ['-s', ...objects], { cwd: tree, stdio: 'ignore', timeout: 120_000 });
  if (status !== 0) return 'DOES NOT COMPILE';
  try {
    for (const object of objects) {
      const loaded = await loadProgram(sizes, join(tree, object));
      loaded.program.close();
      loaded.object.close();
    }
    return null;
  } catch {
    return 'DOES NOT LOAD';
  }
}

const core: Ground = {
  mutations: coreMutations,
  directory: 'src/core',
  tests: 'unit',
  parts: [],
  ready: async () => null,
  broad: null,
};
const program: Ground = {
  mutations: programMutations,
  directory: 'bpf',
  tests: 'kernel',
  parts: ['bpf', 'build', 'lab', 'bench', 'scripts', 'Makefile'],
  ready: compiled,
  broad: { file: 'fuzz', test: 'over %i frames of seed %i' },
};

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
}

const root = fileURLToPath(new URL('..', import.meta.url));

/** A pattern for a name as it stands in a file, with places for values. */
function patternOf(test: string): string {
  const literals = test.split(/%[a-z]|\$\w+/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return `${literals.join('.*')}$`;
}

/** @returns how the test went; null when it did not run, as when the patch is no program any more */
function run(tree: string, { tests }: Ground, { file, test }: Mutation['caughtBy']): 'passed' | 'failed' | null {
  const report = join(tree, 'report.json');
  rmSync(report, { force: true });
  spawnSync(
    process.execPath,
    [
      join(tree, 'node_modules/vitest/vitest.mjs'),
      ...['run', '--project', tests, `test/${tests}/${file}.test.ts`, '-t', patternOf(test)],
      ...['--reporter=json', `--outputFile=${report}`],
    ],
    { cwd: tree, stdio: 'ignore', timeout: 120_000, env: { ...process.env, PILOTFISH_FUZZ_FRAMES: '4000' } },
  );
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    if (numFailedTests > 0) return 'failed';
    return numPassedTests > 0 ? 'passed' : null;
  } catch {
    return null;
  }
}

const results = { passed: 'UNNOTICED', failed: 'caught', none: 'DOES NOT RUN' } as const;

interface Outcome {
  readonly result: string;
  /** The broad test notices. */
  readonly broadly: boolean;
}

async function outcome(tree: string, ground: Ground, mutation: Mutation): Promise<Outcome> {
  const { file, find, replace, caughtBy } = mutation;
  const path = join(tree, ground.directory, file);
  const source = readFileSync(path, 'utf8');
  if (source.split(find).length !== 2) return { result: 'DOES NOT APPLY', broadly: false };
  writeFileSync(
    path,
    source.replace(find, () => replace),
  );
  try {
    const wrong = await ground.ready(tree);
    if (wrong !== null) return { result: wrong, broadly: false };
    const broadly = ground.broad !== null && run(tree, ground, ground.broad) === 'failed';
    return { result: results[run(tree, ground, caughtBy) ?? 'none'], broadly };
  } finally {
    writeFileSync(path, source);
  }
}

const { values, positionals: names } = parseArgs({ options: { bpf: { type: 'boolean' } }, allowPositionals: true });
const ground = values.bpf === true ? program : core;
const chosen = ground.mutations.filter(({ name }) => names.length === 0 || names.includes(name));
const tree = mkdtempSync(join(tmpdir(), 'pilotfish-mutate-'));
try {
  for (const part of ['src', 'test', 'docs', 'package.json', 'tsconfig.json', 'vitest.config.ts', ...ground.parts])
    cpSync(join(root, part), join(tree, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  // Without a fault all of them have to pass: else they would notice anything.
  const wrong = await ground.ready(tree);
  if (wrong !== null) throw new Error(`the source as it is: ${wrong}`);
  const all = [...chosen.map(({ caughtBy }) => caughtBy), ...(ground.broad === null ? [] : [ground.broad])];
  const tests = new Map(all.map((test) => [`${test.file}: ${test.test}`, test]));
  const broken = [...tests].filter(([, test]) => run(tree, ground, test) !== 'passed').map(([name]) => name);
  if (broken.length > 0) throw new Error(`these fail without any fault:\n${broken.join('\n')}`);
  const rows: string[][] = [];
  for (const mutation of chosen) {
    const { result, broadly } = await outcome(tree, ground, mutation);
    console.log(`${mutation.name}: ${result}${broadly ? '; the fuzz run notices, too' : ''}`);
    rows.push([mutation.name, mutation.file, result, `${mutation.caughtBy.file}: ${mutation.caughtBy.test}`]);
  }
  console.log(`\n${formatTable(['FAULT', 'IN', 'RESULT', 'BY'], rows)}\n`);
  const missed = rows.filter(([, , result]) => result !== 'caught').length;
  console.log(`${rows.length - missed} of ${rows.length} faults caught`);
  process.exitCode = missed === 0 && rows.length > 0 ? 0 : 1;
} finally {
  rmSync(tree, { recursive: true, force: true });
}
