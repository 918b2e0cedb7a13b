import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Announcer } from '../../src/announce/announcer.ts';
import { runHook } from '../../src/announce/hook.ts';
import { LeftMark } from '../../src/announce/left-mark.ts';
import type { AnnounceConfig } from '../../src/announce/settings.ts';
import { until } from '../support/until.ts';

const log = pino({ level: 'silent' });

let directory: string;
let calls: string;
let mark: LeftMark;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pilotfish-announce-'));
  calls = join(directory, 'calls');
  await writeFile(calls, '');
  mark = new LeftMark(join(directory, 'state'), 'lb1');
});

afterEach(() => rm(directory, { recursive: true, force: true }));

/** Hooks that are real commands; each writes its name into a file before it does anything else. */
function hooks(join = 'true', leave = 'true', more: Partial<AnnounceConfig> = {}): AnnounceConfig {
  const command = (name: string, script: string) => ['sh', '-c', `echo ${name} >> "$1"; ${script}`, 'sh', calls];
  return { join: command('join', join), leave: command('leave', leave), timeoutMs: 5_000, onStop: 'stay', ...more };
}

async function called(): Promise<string[]> {
  return (await readFile(calls, 'utf8')).split('\n').filter((line) => line !== '');
}

function announcer(config: AnnounceConfig | undefined): Announcer {
  return new Announcer({ hooks: config, mark, log, retryFirstMs: 20 });
}

async function untilState(subject: Announcer, state: string): Promise<void> {
  await until(`the state is ${state}`, 5_000, () => subject.state.state === state);
}

describe('a hook', () => {
  it('is run without a shell of ours, with its arguments as they are', async () => {
    const argv = ['sh', '-c', 'printf "%s|" "$@" > "$0"', calls, 'a b', '$HOME', '*'];
    await runHook('join', { ...hooks(), join: argv });
    expect(await readFile(calls, 'utf8')).toBe('a b|$HOME|*|');
  });

  it('that fails is an error with what it said', async () => {
    await expect(runHook('leave', hooks('true', 'echo "no such peer" >&2; exit 3'))).rejects.toMatchObject({
      code: 'PF_ANNOUNCE',
      message: expect.stringMatching(/^the leave hook `sh .*` ended with exit code 3; it said: no such peer$/),
    });
  });

  it('that is not there is an error', async () => {
    await expect(runHook('join', { ...hooks(), join: ['/nonexistent/hook'] })).rejects.toMatchObject({
      code: 'PF_ANNOUNCE',
      message: expect.stringContaining('cannot be started: spawn /nonexistent/hook ENOENT'),
    });
  });

  it('that dies by a signal is an error', async () => {
    await expect(runHook('join', hooks('kill -TERM $$'))).rejects.toMatchObject({
      message: expect.stringContaining('was ended by SIGTERM'),
    });
  });

  it('that takes too long is killed with what it started', async () => {
    const config = hooks(`sleep 600 & echo $! >> "$1"; echo waiting >&2; wait`, 'true', { timeoutMs: 300 });
    await expect(runHook('join', config)).rejects.toMatchObject({
      message: expect.stringMatching(/took longer than 300 ms and was killed; it said: waiting$/),
    });
    const pid = Number((await called())[1]);
    expect(pid).toBeGreaterThan(1);
    await until('the child is gone', 2_000, async () => (await stateOf(pid)) === 'gone');
  });

  it('that takes too long and cannot be killed is an error all the same', async () => {
    const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });
    try {
      await expect(runHook('join', hooks('sleep 2', 'true', { timeoutMs: 100 }))).rejects.toMatchObject({
        code: 'PF_ANNOUNCE',
        message: expect.stringMatching(/took longer than 100 ms and cannot be killed: kill EPERM$/),
      });
    } finally {
      kill.mockRestore();
    }
  });

  it('that leaves a child behind on its standard error is over when it ends itself', async () => {
    const config = hooks('sleep 5 & exit 0', 'sleep 5 & echo oops >&2; exit 1');
    await runHook('join', config);
    await expect(runHook('leave', config)).rejects.toMatchObject({ message: expect.stringMatching(/oops$/) });
  }, 4_000);
});

describe('without a descriptor left', () => {
  const program = join(import.meta.dirname, '../support/spawn-without-descriptors.ts');

  it('a hook, or `ip` to follow, that cannot be started is an error and does not end the agent', async () => {
    const { stdout } = await promisify(execFile)('sh', [
      '-c',
      'ulimit -n 80 && exec "$@"',
      'sh',
      process.execPath,
      program,
    ]);
    expect(JSON.parse(stdout)).toEqual({
      hook: 'the join hook `true` cannot be started: spawn true EMFILE',
      logged: ['ip monitor cannot be started; its host is polled only'],
    });
  });
});

/** A zombie that nobody has waited for yet is gone for our purposes. */
async function stateOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return stat === null || stat.slice(stat.lastIndexOf(')')).startsWith(') Z') ? 'gone' : 'running';
}

describe('the mark of an LB that a person took out', () => {
  it('is there or not, and keeps its first time', async () => {
    expect(mark.since()).toBeNull();
    mark.set();
    const since = mark.since();
    expect(Math.abs((since ?? 0) - Date.now())).toBeLessThan(10_000);
    await sleep(20);
    mark.set();
    expect(mark.since()).toBe(since);
    expect(new LeftMark(join(directory, 'state'), 'lb2').since()).toBeNull();
    mark.clear();
    mark.clear();
    expect(mark.since()).toBeNull();
  });

  it('is an error where it cannot be', () => {
    const impossible = new LeftMark(join(calls, 'x'), 'lb1');
    expect(() => impossible.set()).toThrow(
      expect.objectContaining({ code: 'PF_CONFIG', fix: expect.stringContaining('stateDir') }),
    );
  });
});

describe('the announcer', () => {
  it('does nothing without hooks', async () => {
    const subject = announcer(undefined);
    subject.ready();
    expect(subject.state).toEqual({ state: 'no-hook' });
    await subject.stop({ leave: true });
  });

  it('joins once when it is ready for the first time, and not before', async () => {
    const subject = announcer(hooks());
    expect(subject.state).toEqual({ state: 'waiting' });
    subject.ready();
    subject.ready();
    expect(subject.state).toEqual({ state: 'joining' });
    await untilState(subject, 'joined');
    subject.ready();
    await subject.stop({ leave: false });
    expect(await called()).toEqual(['join']);
  });

  it('leaves at a stop only when told so and a person wants the stop', async () => {
    for (const [onStop, leave, expected] of [
      ['stay', true, ['join']],
      ['leave', false, ['join']],
      ['leave', true, ['join', 'leave']],
    ] as const) {
      await writeFile(calls, '');
      const subject = announcer(hooks('true', 'true', { onStop }));
      subject.ready();
      await untilState(subject, 'joined');
      await subject.stop({ leave });
      expect(await called()).toEqual(expected);
    }
    expect(mark.since()).toBeNull();
  });

  it('leaves at a stop also before it was ready, and while it cannot join: an earlier process may have joined', async () => {
    const early = announcer(hooks('true', 'true', { onStop: 'leave' }));
    await early.stop({ leave: true });
    expect(await called()).toEqual(['leave']);
    const failing = announcer(hooks('exit 1', 'true', { onStop: 'leave' }));
    failing.ready();
    await untilState(failing, 'failed');
    await failing.stop({ leave: true });
    expect((await called()).at(-1)).toBe('leave');
  });

  it('leaves at a stop, and ends well, where its directory cannot be read', async () => {
    const circle = join(directory, 'circle');
    await symlink(circle, circle);
    const config = hooks('true', 'true', { onStop: 'leave' });
    await new Announcer({ hooks: config, mark: new LeftMark(circle, 'lb1'), log }).stop({ leave: true });
    expect(await called()).toEqual(['leave']);
  });

  it('stays out when a person took the LB out before, and does not run anything', async () => {
    mark.set();
    const subject = announcer(hooks('true', 'true', { onStop: 'leave' }));
    subject.ready();
    await sleep(100);
    expect(subject.state).toEqual({ state: 'left', since: mark.since() });
    await subject.stop({ leave: true });
    expect(await called()).toEqual([]);
  });

  it('takes a person’s word that came later, and its end as well', async () => {
    const subject = announcer(hooks());
    subject.ready();
    await untilState(subject, 'joined');
    mark.set();
    expect(subject.state.state).toBe('left');
    await sleep(1_500);
    expect(await called()).toEqual(['join']);
    mark.clear();
    await untilState(subject, 'joined');
    await subject.stop({ leave: false });
  });

  it('joins when `pilotfish leave` has given up, and does not say so before', async () => {
    mark.set();
    const subject = announcer(hooks('sleep 0.2'));
    subject.ready();
    await sleep(100);
    mark.clear();
    expect(subject.state.state).toBe('joining');
    await untilState(subject, 'joined');
    expect(await called()).toEqual(['join']);
    await subject.stop({ leave: false });
  });

  it('joins again when a person’s word was taken back while it was leaving for it', async () => {
    const left = join(directory, 'left');
    const subject = announcer(hooks('sleep 0.3', `until test -e ${left}; do sleep 0.02; done`));
    subject.ready();
    await until('it joins', 5_000, async () => (await called()).length === 1);
    mark.set();
    await until('it leaves', 5_000, async () => (await called()).length === 2);
    mark.clear();
    expect(subject.state.state).toBe('joining');
    await writeFile(left, '');
    await untilState(subject, 'joined');
    expect(await called()).toEqual(['join', 'leave', 'join']);
    await subject.stop({ leave: false });
  });

  it('tries again while the hook fails, says why, and joins when it works', async () => {
    const works = join(directory, 'works');
    const subject = announcer(hooks(`test -e ${works} || { echo "not yet" >&2; exit 1; }`));
    subject.ready();
    await untilState(subject, 'failed');
    expect(subject.state).toMatchObject({ reason: expect.stringMatching(/it said: not yet$/) });
    await until('it has tried again', 5_000, async () => (await called()).length >= 3);
    await writeFile(works, '');
    await untilState(subject, 'joined');
    await subject.stop({ leave: false });
  });

  it('gives in when a person takes the LB out while the hook fails', async () => {
    const subject = announcer(hooks('exit 1'));
    subject.ready();
    await untilState(subject, 'failed');
    mark.set();
    await untilState(subject, 'left');
    const before = (await called()).length;
    await sleep(200);
    expect((await called()).length).toBe(before);
    await subject.stop({ leave: false });
  });

  it('leaves again when a person took the LB out while the hook was joining', async () => {
    const subject = announcer(hooks('sleep 0.5'));
    subject.ready();
    await until('the hook runs', 5_000, async () => (await called()).length === 1);
    mark.set();
    await until('it has left', 5_000, async () => (await called()).length === 2);
    await subject.stop({ leave: false });
    expect(await called()).toEqual(['join', 'leave']);
    expect(subject.state.state).toBe('left');
  });

  it('stops trying when it is stopped', async () => {
    const subject = announcer(hooks('exit 1'));
    subject.ready();
    await untilState(subject, 'failed');
    await subject.stop({ leave: true });
    const before = (await called()).length;
    await sleep(200);
    expect((await called()).length).toBe(before);
  });
});
