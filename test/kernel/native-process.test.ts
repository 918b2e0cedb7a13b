import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { openObject, versions } from '../../src/dataplane/native.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';

const run = promisify(execFile);
const compiler = new BpfCompiler();
const directory = mkdtempSync(join(tmpdir(), 'pilotfish-native-'));
const source = new URL('../../src/', import.meta.url);
const native = new URL('dataplane/native.ts', source).href;
const path = compiler.compileProbe('native');

afterAll(() => {
  compiler[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const openFiles = () => readdirSync('/proc/self/fd').length;

/** A worker with `native` (the module) and `object` (loaded) at hand. */
function worker(body: string): Worker {
  const prelude = `
    const { parentPort } = require('node:worker_threads');
    (async () => {
      const native = await import(${JSON.stringify(native)});
      const object = native.openObject(${JSON.stringify(path)});
      await object.load();
      ${body}
    })();`;
  return new Worker(prelude, { eval: true, execArgv: [] });
}

const message = (from: Worker) =>
  new Promise<unknown>((resolve, reject) => {
    from.once('message', resolve);
    from.once('error', reject);
  });

describe('descriptors', () => {
  it('do not leak over 200 rounds of open, load and close', async () => {
    const round = async () => {
      const object = openObject(path);
      await object.load();
      const handles = [object.map('numbers'), object.program('pass')];
      for (const handle of handles) handle.close();
      object.close();
    };
    await round();
    const before = openFiles();
    for (let i = 0; i < 200; i++) await round();
    expect(openFiles()).toBe(before);
  });

  it('do not leak when opening or loading fails', async () => {
    const refused = compiler.compileProbe('refused');
    const before = openFiles();
    for (let i = 0; i < 20; i++) {
      expect(() => openObject(join(directory, 'none'))).toThrow('none');
      const object = openObject(refused);
      await expect(object.load()).rejects.toMatchObject({ code: 'PF_VERIFIER' });
      object.close();
    }
    expect(openFiles()).toBe(before);
  });
});

describe('memory that the kernel does not give', () => {
  it('is asked for again later, and the error says what to raise', async () => {
    // In a process of its own, whose address space may grow by less than the map has, for as long as it takes.
    const script = `
      const { execFileSync } = await import('node:child_process');
      const { readFileSync } = await import('node:fs');
      const { createMap } = await import(${JSON.stringify(native)});
      const limit = (as) => execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + as + ':']);
      const map = createMap({ type: 'array', name: 'ring', keySize: 4, valueSize: 2 ** 26, maxEntries: 1, flags: 1 << 10 });
      limit(Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[0]) * 4_096 + 2 ** 25);
      let failure = {};
      try { map.mmap(); } catch (error) { failure = error; }
      limit('unlimited');
      const { code, retryable, fix, message } = failure;
      console.log(JSON.stringify({ code, retryable, fix, message, later: map.mmap().length }));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script]);
    expect(JSON.parse(stdout)).toMatchObject({
      code: 'PF_MAP',
      retryable: true,
      message: expect.stringContaining('map ring'),
      fix: expect.stringContaining('vm.max_map_count'),
      later: 2 ** 26,
    });
  });
});

describe('worker threads', () => {
  it('load the addon beside the main thread', async () => {
    expect(versions().libbpf).toMatch(/^1\.\d+/);
    const threads = [1, 2].map(() =>
      worker(`parentPort.postMessage(object.program('give_answer').testRun({ data: new Uint8Array(64) }).retval);`),
    );
    expect(await Promise.all(threads.map(message))).toEqual([7, 7]);
    await Promise.all(threads.map((thread) => thread.terminate()));
  });

  it('may end with handles, mapped memory and a call still open', async () => {
    const before = openFiles();
    for (let i = 0; i < 5; i++) {
      const thread = worker(`
        globalThis.kept = [object, object.map('numbers'), object.map('numbers').mmap(), object.program('pass')];
        void object.program('churn').testRunAsync({ data: new Uint8Array(64), repeat: 500000 });
        parentPort.postMessage('running');`);
      expect(await message(thread)).toBe('running');
      await thread.terminate();
    }
    expect(openFiles()).toBe(before);
  });
});

describe('a process of its own', () => {
  const node = (script: string) => ['--input-type=module', '--eval', script];

  it('says which capabilities it lacks', async () => {
    const script = `
      import { openObject } from ${JSON.stringify(native)};
      await openObject(${JSON.stringify(path)}).load().catch((error) => console.log(error.describe()));`;
    const without = ['--bounding-set', '-sys_admin,-bpf,-net_admin,-perfmon'];
    const { stdout, stderr } = await run('setpriv', [...without, process.execPath, ...node(script)]);
    expect(stdout).toMatch(/^PF_CAPABILITY: BPF object .*EPERM/);
    expect(stdout).toMatch(/fix: .*CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON/);
    expect(stderr).toBe('');
  });

  it('says how to build the addon where it is missing', async () => {
    const copy = join(directory, 'copy', 'src');
    for (const part of ['core', 'dataplane']) {
      mkdirSync(join(copy, part), { recursive: true });
      cpSync(fileURLToPath(new URL(part, source)), join(copy, part), { recursive: true });
    }
    const script = `
      import { versions } from ${JSON.stringify(join(copy, 'dataplane', 'native.ts'))};
      try { versions(); } catch (error) { console.log(error.describe()); }`;
    const { stdout } = await run(process.execPath, node(script));
    expect(stdout).toMatch(
      /^PF_ADDON: the native addon .*copy\/build\/pilotfish\.node is not there\n {2}fix: .*npm run build/,
    );
  });
});
