import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { CheckResult } from '../../src/health/checker.ts';
import { connectionFailure } from '../../src/health/reasons.ts';
import { Scheduler } from '../../src/health/scheduler.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { checkTarget } from '../support/health.ts';
import { listen } from '../support/listen.ts';

const run = promisify(execFile);

const passed: CheckResult = { ok: true, latencyMs: 1 };
const failed: CheckResult = { ok: false, reason: 'connection refused' };
const nothing: CheckResult = { ok: null, reason: 'too many open files' };

/** What a real turns to as these results come in one after the other, and what is reported at the end. */
async function follow(results: readonly CheckResult[]) {
  const clock = new FakeClock();
  const coming = [...results];
  const turns: string[] = [];
  const scheduler = new Scheduler({
    lb: 'lb1',
    clock,
    random: () => 0,
    runCheck: async () => {
      const result = coming.shift();
      if (result === undefined) scheduler.close();
      return result ?? passed;
    },
    onTransition: ({ to, reason }) => turns.push(`${to} ${reason}`),
  });
  scheduler.update([checkTarget('10.0.0.1', { rise: 2, fall: 3 })]);
  await clock.advance(60_000);
  return { turns, left: coming.length, report: scheduler.takeReport() };
}

describe('a check that this host could not carry out', () => {
  it('turns no real, however often it happens', async () => {
    const { turns, left } = await follow([passed, passed, ...Array.from({ length: 20 }, () => nothing)]);
    expect(turns).toEqual(['up tcp port 80: passed']);
    expect(left).toBe(0);
  });

  it('judges no new real', async () => {
    expect((await follow([nothing, nothing, nothing, nothing])).turns).toEqual([]);
  });

  it('neither counts in a row of results nor breaks it', async () => {
    const { turns } = await follow([passed, nothing, passed, failed, nothing, failed, nothing, nothing, failed]);
    expect(turns).toEqual(['up tcp port 80: passed', 'down tcp port 80: connection refused']);
  });

  it('is counted, with its reason', async () => {
    expect((await follow([nothing, passed, nothing])).report).toMatchObject({
      runs: 3,
      inconclusive: 2,
      lastInconclusive: 'web/10.0.0.1 tcp port 80: too many open files',
    });
  });
});

it.each([
  ['EMFILE', null],
  ['ENFILE', null],
  ['EADDRNOTAVAIL', null],
  ['ENOBUFS', null],
  ['ENOMEM', null],
  ['EPERM', null],
  ['ECONNREFUSED', false],
  ['EHOSTUNREACH', false],
  ['ENETUNREACH', false],
  ['ECONNRESET', false],
  ['EACCES', false],
])('%s: %s', (code, ok) => {
  expect(connectionFailure(Object.assign(new Error('x'), { code }))).toMatchObject({ ok });
});

it('drains nobody when this process is out of descriptors', async () => {
  const port = await listen(
    createServer((_request, response) => response.end()),
    '0.0.0.0',
  );
  const program = join(import.meta.dirname, '../support/out-of-descriptors.ts');
  const { stdout } = await run('sh', ['-c', 'ulimit -n 80 && exec "$@"', 'sh', process.execPath, program, `${port}`], {
    timeout: 25_000,
  });
  const { transitions, upWithout, after, last, ageMs, logged } = JSON.parse(stdout);
  expect(transitions.sort()).toEqual([
    `127.0.0.1 unknown>up tcp port ${port}: passed`,
    `127.0.0.2 unknown>up http port ${port} /: passed`,
  ]);
  expect(upWithout).toBe(true);
  expect(last).toMatch(/^web\/127\.0\.0\.[12] (tcp port \d+|http port \d+ \/): too many open files$/);
  // By the steady clock: an alarm that depends on it is not ended, or kept, by a time of day that is set.
  expect(ageMs).toBeGreaterThanOrEqual(0);
  expect(after).toBe(0);
  expect(logged).toHaveLength(1);
  expect(logged[0]).toMatchObject({
    msg: 'this host cannot carry out checks, their reals stay what they are',
    last: expect.stringContaining('too many open files'),
  });
});
