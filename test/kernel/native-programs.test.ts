import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type BpfObject,
  type BpfProgram,
  interfaceIndex,
  isBpffs,
  openObject,
  openPinnedLink,
  openPinnedMap,
  openPinnedProgram,
} from '../../src/dataplane/native.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';
import { thrownBy } from '../support/thrown-by.ts';
import { until } from '../support/until.ts';

const compiler = new BpfCompiler();
const directory = mkdtempSync(join(tmpdir(), 'pilotfish-native-'));
const bpffs = join(directory, 'bpffs');
const left = `pfn${process.pid}a`;
const right = `pfn${process.pid}b`;
let object: BpfObject;
let ifindex: number;

beforeAll(async () => {
  mkdirSync(bpffs);
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
  execFileSync('ip', ['link', 'add', left, 'type', 'veth', 'peer', 'name', right]);
  execFileSync('ip', ['link', 'set', left, 'up']);
  execFileSync('ip', ['link', 'set', right, 'up']);
  ifindex = interfaceIndex(left) ?? 0;
  object = openObject(compiler.compileProbe('native'));
  await object.load();
});

afterAll(() => {
  object?.close();
  if (interfaceIndex(left) !== null) execFileSync('ip', ['link', 'del', left]);
  if (isBpffs(bpffs)) execFileSync('umount', [bpffs]);
  rmSync(directory, { recursive: true });
  compiler[Symbol.dispose]();
});

const frame = new Uint8Array(64);
const attachedTo = (name: string): number =>
  JSON.parse(execFileSync('ip', ['-j', 'link', 'show', 'dev', name], { encoding: 'utf8' }))[0].xdp?.prog?.id ?? 0;

function using<T>(name: string, body: (program: BpfProgram) => T): T {
  const program = object.program(name);
  try {
    return body(program);
  } finally {
    program.close();
  }
}

describe('test runs', () => {
  it('return verdict, frame and time', () => {
    const data = Uint8Array.from({ length: 60 }, (_, i) => i);
    const result = using('grow', (program) => program.testRun({ data }));
    expect(result.retval).toBe(3);
    expect(result.data.length).toBe(80);
    expect(result.data.subarray(20)).toEqual(data);
    expect(using('pass', (program) => program.testRun({ data, repeat: 1000 }).durationNs)).toBeLessThan(1_000_000);
  });

  it('name the program when the frame is too short or its room too small', () => {
    using('grow', (program) => {
      expect(thrownBy(() => program.testRun({ data: frame.subarray(0, 13) }))).toMatchObject({
        code: 'PF_PROGRAM',
        message: 'program grow: invalid argument (bpf_prog_test_run_opts: EINVAL)',
      });
      expect(thrownBy(() => program.testRun({ data: frame, dataOutSize: 70 })).message).toContain('ENOSPC');
    });
  });

  it('refuse options that are no numbers of that kind', () => {
    using('pass', (program) => {
      expect(() => program.testRun({ data: frame, repeat: -1 })).toThrow(TypeError);
      expect(() => program.testRun({ data: frame, repeat: 1.5 })).toThrow(TypeError);
      expect(() => program.testRun({ data: new Uint16Array(32) as unknown as Uint8Array })).toThrow(TypeError);
    });
  });

  it('run on the CPU asked for, here or on the pool, and move back', async () => {
    const allowed = () => /Cpus_allowed:\s*(\S+)/.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1];
    const before = allowed();
    const program = object.program('give_cpu');
    for (const cpu of [1, 0, 1]) {
      expect(program.testRun({ data: frame, cpu }).retval).toBe(cpu);
      expect((await program.testRunAsync({ data: frame, cpu })).retval).toBe(cpu);
    }
    expect(allowed()).toBe(before);
    expect(thrownBy(() => program.testRun({ data: frame, cpu: 1023 })).message).toContain('sched_setaffinity');
    await expect(program.testRunAsync({ data: frame, cpu: 4096 })).rejects.toMatchObject({ code: 'PF_PROGRAM' });
    program.close();
  });

  it('are not cut short by signals', () => {
    const signals = `setInterval(() => process.kill(${process.pid}, 'SIGUSR2'), 1)`;
    const sender = spawn(process.execPath, ['--eval', signals], { stdio: 'ignore' });
    let received = 0;
    const receive = () => received++;
    process.on('SIGUSR2', receive);
    return until('signals have arrived during test runs', 10_000, () => {
      using('pass', (program) => program.testRun({ data: frame, repeat: 1_000_000 }));
      return received > 50;
    }).finally(async () => {
      sender.kill();
      await once(sender, 'exit');
      process.off('SIGUSR2', receive);
    });
  });

  it('may outlive the handle', async () => {
    const program = object.program('give_answer');
    const run = program.testRunAsync({ data: frame, repeat: 1_000_000 });
    program.close();
    expect((await run).retval).toBe(7);
    expect(thrownBy(() => program.testRun({ data: frame })).message).toMatch(
      /^program give_answer: it has been closed/,
    );
  });
});

describe('attaching', () => {
  it('in driver mode, then changing the program, then detaching', () => {
    using('pass', (pass) =>
      using('count_and_drop', (drop) => {
        const link = pass.attachXdp(ifindex, 'driver');
        expect(link.info).toMatchObject({ ifindex, progId: pass.id });
        expect(attachedTo(left)).toBe(pass.id);
        link.update(drop);
        expect(link.info.progId).toBe(drop.id);
        expect(attachedTo(left)).toBe(drop.id);
        expect(thrownBy(() => pass.attachXdp(ifindex, 'driver'))).toMatchObject({
          code: 'PF_ATTACH',
          fix: expect.stringContaining('detach it first'),
        });
        link.detach();
        expect(link.info.ifindex).toBe(0);
        expect(attachedTo(left)).toBe(0);
        link.close();
        link.close();
        expect(thrownBy(() => link.info)).toMatchObject({ code: 'PF_ATTACH' });
        expect(thrownBy(() => link.update(pass)).message).toContain('it has been closed');
      }),
    );
  });

  it('in generic mode, for as long as the link is open', () => {
    using('pass', (pass) => {
      const link = pass.attachXdp(ifindex, 'generic');
      expect(attachedTo(left)).toBe(pass.id);
      link.close();
      expect(attachedTo(left)).toBe(0);
    });
  });

  it('names an interface that is not there', () => {
    expect(thrownBy(() => using('pass', (pass) => pass.attachXdp(2 ** 30, 'driver')))).toMatchObject({
      code: 'PF_ATTACH',
      message: expect.stringContaining('attaching program pass to interface 1073741824 in driver mode'),
    });
    expect(interfaceIndex('pf-no-such-if')).toBeNull();
    expect(interfaceIndex('lo')).toBe(1);
  });

  it('lets live frames come in from the interface', async () => {
    const pass = object.program('pass');
    const drop = object.program('count_and_drop');
    const counters = object.map('counters');
    const total = () => {
      const lanes = counters.get(new Uint8Array(4)) ?? new Uint8Array();
      return new Uint32Array(lanes.buffer).reduce((sum, lane) => sum + lane, 0);
    };
    const link = pass.attachXdp(ifindex, 'driver');
    const before = total();
    const options = { data: frame, repeat: 10_000, liveFrames: true, ingressIfindex: ifindex };
    const result = await drop.testRunAsync({ ...options, batchSize: 100, cpu: 0 });
    expect(result.data.length).toBe(0);
    expect(total() - before).toBe(10_000);
    expect(using('give_ifindex', (program) => program.testRun({ data: frame, ingressIfindex: ifindex }).retval)).toBe(
      ifindex,
    );
    await expect(drop.testRunAsync({ ...options, batchSize: 257 })).rejects.toMatchObject({ cause: { code: 'E2BIG' } });
    for (const handle of [link, pass, drop, counters]) handle.close();
  });
});

describe('pins', () => {
  it('keep maps, programs and links, and open them again', async () => {
    const at = (name: string) => join(bpffs, name);
    const map = object.map('small_hash');
    const program = object.program('pass');
    const link = program.attachXdp(ifindex, 'driver');
    map.pin(at('map'));
    program.pin(at('program'));
    link.pin(at('link'));
    map.put(new Uint8Array(8), Uint8Array.of(1, 2, 3, 4));
    for (const handle of [map, program, link]) handle.close();
    expect(attachedTo(left)).toBe(program.id);

    const mapAgain = openPinnedMap(at('map'));
    expect(mapAgain?.info).toEqual(map.info);
    expect(mapAgain?.id).toBe(map.id);
    expect(mapAgain?.get(new Uint8Array(8))).toEqual(Uint8Array.of(1, 2, 3, 4));
    const programAgain = openPinnedProgram(at('program'));
    expect(programAgain?.info).toEqual(program.info);
    const linkAgain = openPinnedLink(at('link'));
    expect(linkAgain?.info).toMatchObject({ ifindex, progId: program.id });
    linkAgain?.close();
    expect(attachedTo(left)).toBe(program.id);

    expect(thrownBy(() => programAgain?.pin(at('map')))).toMatchObject({
      code: 'PF_PIN',
      fix: 'Remove the old pin first.',
    });
    expect(thrownBy(() => openPinnedMap(at('program'))).message).toContain('this pin is a bpf-prog, not a bpf-map');
    expect(thrownBy(() => openPinnedProgram(at('link'))).message).toContain('this pin is a bpf-link, not a bpf-prog');
    expect(thrownBy(() => openPinnedLink(at('map')))).toMatchObject({ code: 'PF_PIN' });

    for (const name of ['map', 'program', 'link']) unlinkSync(at(name));
    await until('the kernel has detached the unpinned link', 5_000, () => attachedTo(left) === 0);
    mapAgain?.close();
    programAgain?.close();
    expect(openPinnedMap(at('map'))).toBeNull();
    expect(openPinnedProgram(at('program'))).toBeNull();
    expect(openPinnedLink(at('link'))).toBeNull();
  });

  it('belong on a bpf file system, in a directory that is there', () => {
    expect(isBpffs(bpffs)).toBe(true);
    expect(isBpffs(directory)).toBe(false);
    expect(isBpffs(join(directory, 'none'))).toBe(false);
    using('pass', (program) => {
      expect(thrownBy(() => program.pin(join(directory, 'pin')))).toMatchObject({
        code: 'PF_BPFFS',
        message: `program pass cannot be pinned at ${directory}/pin: ${directory} is not on a bpf file system`,
      });
      expect(thrownBy(() => program.pin(join(bpffs, 'none', 'pin')))).toMatchObject({
        code: 'PF_PIN',
        fix: `Make the directory ${join(bpffs, 'none')} first.`,
      });
    });
  });
});
