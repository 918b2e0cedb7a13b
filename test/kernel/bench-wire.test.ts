import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BpfCompiler } from '../support/compile-bpf.ts';
import { needs } from '../support/require.ts';
import { until } from '../support/until.ts';

/** That the benchmarks measure what they say, or give no figure. How fast or small anything is, is not asked here. */

interface RowFigures {
  readonly row: string;
  readonly wanted: number;
  readonly figures: Readonly<Record<string, { readonly median: number }>> | null;
  readonly refused: string | null;
}

const script = (name: string): string => fileURLToPath(new URL(`../../bench/${name}.ts`, import.meta.url));
const TINY = ['--rounds', '1', '--packets', '65536', '--json'];

function bench(...args: string[]): { status: number | null; figures: readonly RowFigures[] } {
  const { status, stdout } = spawnSync(process.execPath, [script('wire'), ...TINY, ...args], { encoding: 'utf8' });
  return { status, figures: (JSON.parse(stdout) as { figures: readonly RowFigures[] }).figures };
}

/** The process ids of its children, `unshare` having become the worker. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').map(Number).filter(Boolean);
}

/** Kernel threads that receive the packets of a worker’s interfaces: they live as long as these. */
function receivers(worker: number): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith(`napi/pw${worker}`);
    } catch (error) {
      // It has ended since it was listed.
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  });
}

/** Whatever of a process group is left. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

describe.skipIf(needs('chrt', 'taskset', 'unshare'))('bench/wire.ts', () => {
  it('has a figure for each row', () => {
    const { status, figures } = bench();
    expect(figures.map(({ row, wanted, refused }) => [row, wanted, refused])).toEqual([
      ['1k/ipip', 0.95, null],
      ['1k/gue', 0.95, null],
      ['1m/ipip', 0.65, null],
      ['1m/gue', 0.65, null],
    ]);
    for (const { figures: found } of figures)
      for (const name of ['ours', 'bare', 'drop', 'ratio', 'ratioOfReceiver'])
        expect(found?.[name]?.median).toBeGreaterThan(0);
    expect(status).toBe(0);
  });

  it.each([
    {
      what: 'that drops what it should send',
      header: 'count.h',
      from: 'if (likely(reason >= PF_FORWARDED))\n\t\treturn XDP_TX;',
      to: 'if (likely(reason >= PF_FORWARDED))\n\t\treturn XDP_DROP;',
      reason: /^ours: of 65536 frames 0 of 0 bytes came back, not 65536 of 5505024$/,
    },
    {
      what: 'that remembers no flow',
      header: 'flow.h',
      from: 'if (is_too_old(p, entry, now))',
      to: 'if (now <= PF_TICKS)',
      reason: /^ours: of 65536 packets 0 went the way "flow cache" /,
    },
  ])('refuses a figure of a program $what', ({ header, from, to, reason }) => {
    using compiler = new BpfCompiler();
    const { status, figures } = bench('--rows', '1k/ipip', '--object', compiler.compileChanged(header, from, to));
    expect(figures).toEqual([{ row: '1k/ipip', wanted: 0.95, figures: null, refused: expect.stringMatching(reason) }]);
    expect(status).toBe(1);
  });

  it.each([
    ['Ctrl-C', 'SIGINT', 'group'],
    ['a signal to it alone', 'SIGTERM', 'one'],
    ['kill -9', 'SIGKILL', 'one'],
  ] as const)('leaves nothing behind after %s', async (_, signal, to) => {
    const run = spawn(process.execPath, [script('wire'), '--rows', '1k/ipip', '--rounds', '100000'], {
      detached: true,
      stdio: 'ignore',
    });
    const ended = once(run, 'exit');
    const pid = run.pid ?? 0;
    onTestFinished(() => killGroup(pid));
    let worker = 0;
    await until('frames are sent', 30_000, () => {
      worker = childrenOf(pid)[0] ?? 0;
      // Source and sink of three programs.
      return worker !== 0 && receivers(worker).length === 6;
    });
    process.kill(to === 'group' ? -pid : pid, signal);
    await ended;
    await until('its interfaces are gone', 30_000, () => receivers(worker).length === 0);
  });

  it('names the rows that there are when one is not', () => {
    const { status, stderr } = spawnSync(process.execPath, [script('wire'), '--rows', '1k'], { encoding: 'utf8' });
    expect(stderr).toMatch(/there is no row 1k\n.*1k\/ipip, /s);
    expect(status).toBe(2);
  });
});

describe.skipIf(needs('bpftool'))('bench/memory.ts', () => {
  it('has the bytes of every map, and their sum', () => {
    const { status, stdout } = spawnSync(process.execPath, [script('memory'), '--json'], { encoding: 'utf8' });
    const { maps, totalBytes } = JSON.parse(stdout) as {
      maps: { map: string; count: number; bytes: number }[];
      totalBytes: number;
    };
    const found = new Map(maps.map(({ map, count, bytes }) => [map, { count, bytes }]));
    // 64 rings of 65,537 slots, and 2^20 flows of 8 bytes on each CPU: these are known.
    expect(found.get('rings: the rings')).toMatchObject({ count: 64 });
    expect(found.get('rings: the rings')?.bytes).toBeGreaterThan(64 * 65_537 * 2);
    expect(found.get('flows')?.bytes).toBeGreaterThan(2 ** 20 * 8);
    expect([...found.keys()]).toEqual(expect.arrayContaining(['directory: the table', 'reals', 'vip_traffic']));
    expect(totalBytes).toBe(maps.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(status).toBe(0);
  });
});
