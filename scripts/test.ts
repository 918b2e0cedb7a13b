/**
 * Runs the levels named, one after the other, and ends with one line over all of them:
 *
 *   node scripts/test.ts unit kernel e2e
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[] | null;
    }[];
  }[];
}

const firstLine = (text: string | undefined): string => text?.split('\n').find((line) => line.trim() !== '') ?? '';

/** One line for each test that failed, and for each file that did not load: the rest of the output is long. */
function failuresOf({ testResults }: Report): string[] {
  return testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = relative('.', name);
    const failed = assertionResults.filter((one) => one.status === 'failed');
    if (failed.length === 0) return status === 'failed' ? [`${file}: ${firstLine(message)}`] : [];
    return failed.map(({ fullName, failureMessages }) => `${file}: ${fullName}: ${firstLine(failureMessages?.[0])}`);
  });
}

const needsRoot = new Set(['kernel', 'e2e']);
const levels = process.argv.slice(2);
const total = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const root = process.getuid?.() === 0;

if (!root && levels.some((level) => needsRoot.has(level))) {
  console.error('The levels kernel and e2e load programs and make network namespaces: run `sudo npm test`.');
  console.error('As any user: npm run test:unit');
  process.exit(1);
}

mkdirSync('build/reports', { recursive: true });
for (const level of levels) {
  console.log(`\n== ${level} ==`);
  const report = `build/reports/${level}.json`;
  rmSync(report, { force: true });
  const { status } = spawnSync(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--project',
      level,
      '--passWithNoTests',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ],
    { stdio: 'inherit' },
  );
  if (!existsSync(report)) {
    total.failed++;
    failures.push(`${level}: there is no report`);
    continue;
  }
  const results = JSON.parse(readFileSync(report, 'utf8')) as Report;
  const { numPassedTests, numFailedTests, numPendingTests } = results;
  const named = failuresOf(results);
  failures.push(...named);
  total.passed += numPassedTests;
  total.skipped += numPendingTests;
  // A file that does not even load, or an error outside of a test, fails the run without a failed test.
  total.failed += numFailedTests === 0 && status !== 0 ? 1 : numFailedTests;
  if (status !== 0 && named.length === 0) failures.push(`${level}: an error outside of any test, see above`);
}

if ((process.env.PILOTFISH_REQUIRE ?? '').split(',').includes('all') && total.skipped > 0) {
  failures.push(`PILOTFISH_REQUIRE=all, but ${total.skipped} tests were skipped`);
  total.failed++;
}

if (failures.length > 0) console.log(['', 'Failed:', ...failures.map((failure) => `  ${failure}`)].join('\n'));
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);
