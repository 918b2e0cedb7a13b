import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { appendFile, chmod, mkdir, open, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { SourceRecorder } from '../support/source-recorder.ts';
import { portOf, StateFile, stateOf } from '../support/state-file.ts';
import { until } from '../support/until.ts';

const current = (recorder: SourceRecorder) => until('current', 3_000, () => recorder.state === 'current');
/** Faster than the poll, so that only a watch can have told. */
const follows = (recorder: SourceRecorder, port: number) =>
  until(`port ${port} in force`, 1_000, () => portOf(recorder) === port);

/** So that a poll cannot be what noticed. */
const noPoll = { pollMs: 60_000 };

describe('the file source reads', () => {
  it('the whole key set first, and then says that it is current', async () => {
    await using file = await StateFile.make();
    await file.write(
      [
        'vips: {web: {address: 192.0.2.10, port: 80, protocol: tcp, pool: web}}',
        'pools: {web: {minHealthy: 30%, reals: {r1: {address: 10.0.0.11}}}}',
        'overrides: {web: {r1: {state: drain}}}',
      ].join('\n'),
    );
    const { recorder } = file.watch();
    await current(recorder);
    expect(recorder.events).toEqual(['connecting', 'keys', 'current']);
    expect(recorder.statuses.at(-1)).toEqual({ state: 'current', endpoint: file.path });
    expect(Object.fromEntries([...recorder.last!.keys].map(([key, raw]) => [key, JSON.parse(raw)]))).toEqual({
      'desired/vips/web': { address: '192.0.2.10', port: 80, protocol: 'tcp', pool: 'web' },
      'desired/pools/web': { minHealthy: '30%' },
      'desired/pools/web/reals/r1': { address: '10.0.0.11' },
      'desired/overrides/web/r1': { state: 'drain' },
    });
  });

  it('JSON', async () => {
    await using file = await StateFile.make('state.json');
    await file.write('{"vips": {"web": {"port": 443}}, "pools": {}}');
    const { recorder } = file.watch();
    await current(recorder);
    expect(portOf(recorder)).toBe(443);
    expect(recorder.last?.keys.size).toBe(1);
  });

  it.each(['{}', 'vips: {}\npools: {}\n', '{"vips": {}}'])('%j as the wish for nothing at all', async (content) => {
    await using file = await StateFile.make();
    await file.write(content);
    const { recorder } = file.watch();
    await current(recorder);
    expect(recorder.last?.keys.size).toBe(0);
  });

  it('an entry with a bad name as a key that is refused, and all others', async () => {
    await using file = await StateFile.make();
    await file.write('vips: {"a/b": {port: 1}, web: {port: 80}}\npools: {"a/reals/b": {}}\nprefilter: {}');
    const { recorder } = file.watch();
    await current(recorder);
    expect([...recorder.last!.keys.keys()]).toEqual([
      'desired/vips/web',
      'desired/vips/a%2Fb',
      'desired/pools/a%2Freals%2Fb',
      'desired/prefilter',
    ]);
  });

  it('16,000 reals of one pool', async () => {
    await using file = await StateFile.make();
    const reals = Array.from({ length: 16_000 }, (_, i) => `      r${i}: {address: 10.0.${i >> 8}.${i & 255}}`);
    await file.write(['pools:', '  web:', '    reals:', ...reals].join('\n'));
    const { recorder } = file.watch();
    await until('current', 10_000, () => recorder.state === 'current');
    expect(recorder.last?.keys.size).toBe(16_001);
  });
});

describe('the file source follows', () => {
  it('edits in place, within 200 ms', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await file.write(stateOf(81));
    await until('the edit', 200, () => portOf(recorder) === 81);
    expect(recorder.deliveries).toHaveLength(2);
  });

  it('renames onto it, within 200 ms', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await file.replace(stateOf(81));
    await until('the rename', 200, () => portOf(recorder) === 81);
    await file.replace(stateOf(82));
    await follows(recorder, 82);
    expect(recorder.deliveries).toHaveLength(3);
    expect(recorder.statuses).toHaveLength(2);
  });

  it('an older file that is put back, under a higher number', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await writeFile(`${file.path}.old`, stateOf(79));
    await utimes(`${file.path}.old`, 1_000, 1_000);
    await rename(`${file.path}.old`, file.path);
    await follows(recorder, 79);
    const [first, second] = recorder.deliveries.map(({ revision }) => revision);
    expect(first?.generation).toBe(`file:${file.path}`);
    expect(second?.generation).toBe(first?.generation);
    expect(second?.number).toBeGreaterThan(first!.number);
  });

  it('a write that takes its time, and takes nothing before its end', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder } = file.watch({ ...noPoll, settleMs: 400 });
    await current(recorder);
    // Every piece of it is a complete state by itself.
    await file.write('pools:\n');
    for (let i = 0; i < 30; i++) {
      await sleep(20);
      await appendFile(file.path, `  p${i}: {}\n`);
    }
    await until('the end of the file', 2_000, () => recorder.last?.keys.has('desired/pools/p29') === true);
    expect(recorder.deliveries).toHaveLength(2);
    expect(recorder.last?.keys.size).toBe(30);
  });

  it('another file behind a symbolic link', async () => {
    await using file = await StateFile.make();
    await mkdir(join(file.folder, 'a'));
    await mkdir(join(file.folder, 'b'));
    await writeFile(join(file.folder, 'a/state'), stateOf(80));
    await writeFile(join(file.folder, 'b/state'), stateOf(81));
    await symlink('a/state', file.path);
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await symlink(join(file.folder, 'b/state'), `${file.path}.new`);
    await rename(`${file.path}.new`, file.path);
    await follows(recorder, 81);
    await writeFile(join(file.folder, 'b/state'), stateOf(82));
    await follows(recorder, 82);
  });

  it('a volume that is swapped as a whole, as Kubernetes does with a ConfigMap', async () => {
    await using file = await StateFile.make();
    const publish = async (version: string, port: number) => {
      await mkdir(join(file.folder, `..${version}`));
      await writeFile(join(file.folder, `..${version}/state.yaml`), stateOf(port));
      await symlink(`..${version}`, join(file.folder, '..data_tmp'));
      await rename(join(file.folder, '..data_tmp'), join(file.folder, '..data'));
    };
    await publish('v1', 80);
    await symlink('..data/state.yaml', file.path);
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await publish('v2', 81);
    await rm(join(file.folder, '..v1'), { recursive: true });
    await follows(recorder, 81);
    await publish('v3', 82);
    await follows(recorder, 82);
  });

  it('a link to a folder on the way', async () => {
    await using file = await StateFile.make();
    for (const [name, port] of [
      ['one', 80],
      ['two', 81],
    ] as const) {
      await mkdir(join(file.folder, name));
      await writeFile(join(file.folder, name, 'state.yaml'), stateOf(port));
    }
    await symlink('one', join(file.folder, 'release'));
    file.path = join(file.folder, 'release/state.yaml');
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await symlink('two', join(file.folder, 'next'));
    await rename(join(file.folder, 'next'), join(file.folder, 'release'));
    await follows(recorder, 81);
  });

  it('a file that is removed and written anew', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await unlink(file.path);
    await until('lost', 1_000, () => recorder.state === 'lost');
    expect(portOf(recorder)).toBe(80);
    await file.write(stateOf(81));
    await follows(recorder, 81);
    await current(recorder);
    expect(recorder.deliveries).toHaveLength(2);
  });

  it('an editor that moves the old file away and writes a new one, without a word about it', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder, lines } = file.watch({ ...noPoll, settleMs: 300 });
    await current(recorder);
    await rename(file.path, `${file.path}~`);
    await sleep(20);
    await file.write(stateOf(81));
    await unlink(`${file.path}~`);
    await follows(recorder, 81);
    expect(recorder.statuses).toHaveLength(2);
    expect(lines).toEqual([]);
  });

  it('folders that are removed and made again', async () => {
    await using file = await StateFile.make();
    const outer = join(file.folder, 'outer');
    file.path = join(outer, 'inner/state.yaml');
    await mkdir(join(outer, 'inner'), { recursive: true });
    await file.write(stateOf(80));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    for (const port of [81, 82]) {
      await rm(outer, { recursive: true });
      await until('lost', 1_000, () => recorder.state === 'lost');
      await mkdir(outer);
      await sleep(100);
      await mkdir(join(outer, 'inner'));
      await file.write(stateOf(port));
      await follows(recorder, port);
    }
  });

  it('another folder in place of its own', async () => {
    await using file = await StateFile.make();
    const place = join(file.folder, 'place');
    file.path = join(place, 'state.yaml');
    await mkdir(place);
    await file.write(stateOf(80));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await rename(place, join(file.folder, 'aside'));
    await mkdir(place);
    await file.write(stateOf(81));
    await follows(recorder, 81);
    for (let port = 82; port < 86; port++) {
      // Without a turn of the event loop: the source sees the new one only, and often under the inode number of the old.
      rmSync(place, { recursive: true });
      mkdirSync(place);
      writeFileSync(file.path, stateOf(port));
      await follows(recorder, port);
    }
  });

  it('changes that nothing tells about, by looking from time to time', async () => {
    await using file = await StateFile.make();
    const outer = join(file.folder, 'outer');
    file.path = join(outer, 'inner/state.yaml');
    await mkdir(join(outer, 'inner'), { recursive: true });
    await file.write(stateOf(80));
    const { recorder } = file.watch({ pollMs: 1_000 });
    await current(recorder);
    await mkdir(join(file.folder, 'other/inner'), { recursive: true });
    await writeFile(join(file.folder, 'other/inner/state.yaml'), stateOf(81));
    // Two levels up, where nothing is watched.
    await rename(outer, join(file.folder, 'gone'));
    await rename(join(file.folder, 'other'), outer);
    await until('the next look', 3_000, () => portOf(recorder) === 81);
    // What was found by looking is watched from then on.
    await file.write(stateOf(82));
    await until('the edit, before another look', 500, () => portOf(recorder) === 82);
  });

  it('100 quick edits to the last one', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(1));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    for (let port = 2; port <= 101; port++) await (port % 2 ? file.write(stateOf(port)) : file.replace(stateOf(port)));
    await follows(recorder, 101);
    const numbers = recorder.deliveries.map(({ revision }) => revision.number);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    await sleep(200);
    expect(portOf(recorder)).toBe(101);
  });

  it('no change of anything but the state', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    const { recorder, lines } = file.watch(noPoll);
    await current(recorder);
    await chmod(file.path, 0o600);
    await utimes(file.path, new Date(), new Date());
    await appendFile(file.path, '# a remark\n');
    await writeFile(join(file.folder, 'another.yaml'), stateOf(81));
    await sleep(300);
    expect(recorder.deliveries).toHaveLength(1);
    expect(recorder.statuses).toHaveLength(2);
    expect(lines).toEqual([]);
    await file.write(stateOf(82));
    await follows(recorder, 82);
  });

  it('a file that is still open for writing', async () => {
    await using file = await StateFile.make();
    await using writer = await open(file.path, 'w');
    await writer.writeFile(stateOf(80));
    const { recorder } = file.watch(noPoll);
    await current(recorder);
    await writer.write(stateOf(81), 0);
    await follows(recorder, 81);
  });
});
