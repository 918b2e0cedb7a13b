import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FileSource } from '../../src/sync/file-source.ts';
import type { SourceStatus } from '../../src/sync/source.ts';
import { recordingLogger, type SourceRecorder } from '../support/source-recorder.ts';
import { portOf, StateFile, stateOf } from '../support/state-file.ts';
import { until } from '../support/until.ts';

const current = (recorder: SourceRecorder) => until('current', 3_000, () => recorder.state === 'current');
const lost = (recorder: SourceRecorder) => until('lost', 3_000, () => recorder.state === 'lost');

function reasonOf(recorder: SourceRecorder): string {
  const status = recorder.statuses.at(-1);
  if (status?.state !== 'lost') throw new Error(`the source is ${status?.state}`);
  return status.reason;
}

/** A source that has a state, of port 80. */
async function serving(file: StateFile): Promise<ReturnType<StateFile['watch']>> {
  await file.write(stateOf(80));
  const watching = file.watch();
  await current(watching.recorder);
  return watching;
}

describe('a file that cannot be used changes nothing', () => {
  it.each([
    ['a syntax error', 'vips:\n  web: {port: 81\npools: {}\n', /state\.yaml is not YAML: line 3, column \d+: .+/],
    ['a JSON file cut off', '{"vips": {"web": {"port": 81}', /is not YAML: line 1, column 30: .+/],
    [
      'a key that stands twice',
      'vips:\n  web: {port: 81}\n  web: {port: 82}\n',
      /is not YAML: line 3, column 3: Map keys/,
    ],
    ['a misspelt section', 'vip: {}\npools: {}\n', /is not a desired state: vip is not a known section \(found {}\)$/],
    ['a section cut off', 'pools: {}\nvips:\n  we', /is not a desired state: vips must be an object \(found "we"\)$/],
    ['a text', 'no such page', /is not a desired state: it must be an object \(found "no such page"\)$/],
    ['nothing', '', /state\.yaml is empty$/],
    ['only remarks', '# written by hand\n', /state\.yaml is empty$/],
    ['a section without a list', 'pools: {}\nvips:\n', /: vips has nothing under it \(found null\)$/],
    ['an alias inside of itself', 'vips: &a {x: *a}\n', /cannot be unfolded: Converting circular structure to JSON$/],
    [
      'something far too large',
      `# ${'x'.repeat(9 * 2 ** 20)}`,
      /has 9437186 bytes, and a state file has at most 8 MiB$/,
    ],
  ])('%s', async (_what, content, reason) => {
    await using file = await StateFile.make();
    const { recorder, lines } = await serving(file);
    const before = Date.now();
    await file.write(content);
    await lost(recorder);
    expect(reasonOf(recorder)).toMatch(reason);
    expect(recorder.statuses.at(-1)).toMatchObject({ since: expect.closeTo(before, -4) });
    expect(lines).toEqual([
      expect.objectContaining({ level: 40, source: 'file', path: file.path, fix: expect.any(String) }),
    ]);
    expect(recorder.deliveries).toHaveLength(1);
    await file.write(stateOf(81));
    await current(recorder);
    expect(recorder.events).toEqual(['connecting', 'keys', 'current', 'lost', 'keys', 'current']);
    expect(portOf(recorder)).toBe(81);
    expect(lines.at(-1)).toMatchObject({ level: 30, msg: 'the state file can be used now' });
  });

  it('and says since when, whatever else becomes of it', async () => {
    await using file = await StateFile.make();
    const { recorder } = await serving(file);
    await file.write('vips: {');
    await lost(recorder);
    await rm(file.path);
    await until('the next reason', 3_000, () => reasonOf(recorder).endsWith('is not there'));
    const [first, second] = recorder.statuses.filter(({ state }) => state === 'lost');
    expect(second).toEqual({ ...first, reason: `${file.path} is not there` });
    await file.write(stateOf(80));
    await current(recorder);
    expect(recorder.deliveries).toHaveLength(1);
  });

  it('says how many mistakes there are, and does not list thousands', async () => {
    await using file = await StateFile.make();
    const { recorder } = await serving(file);
    await file.write('['.repeat(5_000));
    await lost(recorder);
    expect(reasonOf(recorder)).toMatch(/is not YAML: line 1, column .* \(and \d+ more\)$/);
    expect(reasonOf(recorder).length).toBeLessThan(400);
  });

  it('a half-written one comes into force when it is whole', async () => {
    await using file = await StateFile.make();
    const { recorder } = await serving(file);
    const text = JSON.stringify({ vips: { web: { port: 81 } }, pools: { web: {} } });
    await truncate(file.path, 0);
    for (let at = 0; at < text.length; at += 10) {
      await appendFile(file.path, text.slice(at, at + 10));
      await sleep(20);
    }
    await until('the whole file', 3_000, () => portOf(recorder) === 81);
    expect(recorder.deliveries).toHaveLength(2);
    await current(recorder);
  });

  it('is reported when it never stands still', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder } = file.watch({ settleMs: 200, restlessMs: 1_000 });
    let writing = true;
    const writer = (async () => {
      for (let port = 1; writing; port++) {
        await file.replace(stateOf(port));
        await sleep(10);
      }
      await file.replace(stateOf(80));
    })();
    try {
      await lost(recorder);
      expect(reasonOf(recorder)).toBe(`${file.path} has been changing for 1000 ms without a pause`);
      expect(recorder.deliveries).toEqual([]);
    } finally {
      writing = false;
      await writer;
    }
    await current(recorder);
    expect(portOf(recorder)).toBe(80);
  });
});

describe('what is no file', () => {
  it.each([
    ['nothing', async () => {}, 'is not there'],
    ['a directory', (path: string) => mkdir(path), 'is a directory and not a file'],
    ['a named pipe', async (path: string) => execFileSync('mkfifo', [path]), 'is a named pipe and not a file'],
    ['a device', async (path: string) => execFileSync('ln', ['-s', '/dev/null', path]), 'is a device and not a file'],
    [
      'a link to itself',
      async (path: string) => execFileSync('ln', ['-s', 'state.yaml', path]),
      'cannot be read: too many symbolic links encountered (ELOOP)',
    ],
  ])('%s at the start is waited out', async (_what, make, reason) => {
    await using file = await StateFile.make();
    await make(file.path);
    const { recorder } = file.watch();
    await lost(recorder);
    expect(reasonOf(recorder)).toBe(`${file.path} ${reason}`);
    expect(recorder.events).toEqual(['connecting', 'lost']);
    await rm(file.path, { recursive: true, force: true });
    await file.write(stateOf(80));
    await current(recorder);
    expect(portOf(recorder)).toBe(80);
  });

  it('a pipe that takes the place of the file stops nothing', async () => {
    await using file = await StateFile.make();
    const { recorder, source } = await serving(file);
    execFileSync('mkfifo', [`${file.path}.pipe`]);
    await rename(`${file.path}.pipe`, file.path);
    await lost(recorder);
    expect(reasonOf(recorder)).toBe(`${file.path} is a named pipe and not a file`);
    await source.close();
  });

  it('a folder that is a file is waited out', async () => {
    await using file = await StateFile.make();
    await file.write('x');
    const folder = file.path;
    file.path = join(folder, 'state.yaml');
    const { recorder } = file.watch();
    await lost(recorder);
    expect(reasonOf(recorder)).toBe(`${file.path} cannot be read: not a directory (ENOTDIR)`);
    await rm(folder);
    await mkdir(folder);
    await file.write(stateOf(80));
    await current(recorder);
  });
});

/** Root may read everything: these rights have to be taken from a process of its own. */
const unprivileged =
  process.getuid?.() === 0
    ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all', process.execPath]
    : [process.execPath];

/** A program that prints each status of a source, and how many keys there are with `current`; ends on standard input’s end. */
function watcherProgram(path: string): { lines: AsyncIterator<string>; end: () => Promise<unknown> } {
  const program = `
    import { pino } from 'pino';
    import { FileSource } from './src/sync/file-source.ts';
    const source = new FileSource({ path: ${JSON.stringify(path)}, log: pino({ level: 'silent' }) }, { pollMs: 200 });
    source.start({ keys() {}, status: (status) => console.log(JSON.stringify(status)) });
    process.stdin.resume().once('end', () => source.close());`;
  const [command = '', ...args] = [...unprivileged, '--input-type=module', '-e', program];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const end = async () => {
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    const [code] = await exited;
    clearTimeout(timer);
    return code;
  };
  return { lines: createInterface(child.stdout)[Symbol.asyncIterator](), end };
}

describe('rights', () => {
  it.each([
    ['the file', (file: StateFile) => file.path, 0o000, 0o600],
    ['the folder', (file: StateFile) => file.folder, 0o000, 0o700],
  ])('that are missing on %s are said, and are noticed when they are given', async (_what, of, denied, granted) => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    await chmod(of(file), denied);
    const { lines, end } = watcherProgram(file.path);
    const next = async () => JSON.parse((await lines.next()).value ?? 'null') as SourceStatus | null;
    try {
      expect(await next()).toEqual({ state: 'connecting' });
      expect(await next()).toMatchObject({
        state: 'lost',
        reason: `${file.path} cannot be read: permission denied (EACCES)`,
      });
      await chmod(of(file), granted);
      expect(await next()).toEqual({ state: 'current', endpoint: file.path });
    } finally {
      await chmod(of(file), granted);
      expect(await end()).toBe(0);
    }
  });

  it('to watch the folder are not needed', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    await chmod(file.folder, 0o300);
    const { lines, end } = watcherProgram(file.path);
    const next = async () => JSON.parse((await lines.next()).value ?? 'null') as SourceStatus | null;
    try {
      expect([(await next())?.state, (await next())?.state]).toEqual(['connecting', 'current']);
      await rm(file.path);
      expect((await next())?.state).toBe('lost');
      await file.write(stateOf(81));
      expect((await next())?.state).toBe('current');
    } finally {
      await chmod(file.folder, 0o700);
      expect(await end()).toBe(0);
    }
  });
});

describe('the file source', () => {
  it('loses nothing to a listener that throws', async () => {
    await using file = await StateFile.make();
    const { recorder, lines } = await serving(file);
    recorder.failures = 1;
    await file.write(stateOf(81));
    await until('the state, though the listener failed', 3_000, () => portOf(recorder) === 81);
    expect(lines).toEqual([expect.objectContaining({ level: 50 })]);
    recorder.failures = 2;
    await file.write(stateOf(82));
    await until('the first failure', 3_000, () => recorder.failures === 1);
    await file.write(stateOf(83));
    await until('the newest state', 3_000, () => portOf(recorder) === 83);
    expect(recorder.deliveries).toHaveLength(3);
  });

  it('says nothing after it was closed', async () => {
    await using file = await StateFile.make();
    const { recorder, source } = await serving(file);
    await file.write(stateOf(81));
    await source.close();
    await source.close();
    const { length } = recorder.events;
    await file.write(stateOf(82));
    await sleep(300);
    expect(recorder.events).toHaveLength(length);
  });

  it('is closed before it was started, and while it waits for a file', async () => {
    await using file = await StateFile.make();
    await new FileSource({ path: file.path, log: recordingLogger().log }).close();
    const { recorder, source } = file.watch();
    await source.close();
    expect(recorder.events).toEqual(['connecting']);
  });

  it('leaves nothing behind that keeps a process alive', async () => {
    await using file = await StateFile.make();
    await writeFile(file.path, stateOf(80));
    const { lines, end } = watcherProgram(file.path);
    expect(JSON.parse((await lines.next()).value ?? '')).toEqual({ state: 'connecting' });
    expect(JSON.parse((await lines.next()).value ?? '')).toEqual({ state: 'current', endpoint: file.path });
    expect(await end()).toBe(0);
  });
});
