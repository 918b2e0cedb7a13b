import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { objectPath } from '../../src/dataplane/program.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';

/** That the benchmark measures what it says, or gives no figure. How fast anything is, is not asked here. */

interface Figure {
  readonly ns?: number;
  readonly refused?: string;
  readonly absent?: true;
}

interface Figures {
  readonly row: string;
  readonly ours: Figure;
  readonly peer: Figure | null;
  readonly times: number | null;
  readonly toSmallest: number | null;
  readonly wanted: { readonly words: string; readonly met: boolean } | null;
}

function run(...args: string[]) {
  const script = fileURLToPath(new URL('../../bench/packet.ts', import.meta.url));
  return spawnSync(process.execPath, [script, '--rounds', '1', '--runs', '65536', '--json', ...args], {
    encoding: 'utf8',
  });
}

function bench(...args: string[]): { status: number | null; figures: readonly Figures[] } {
  const { status, stdout } = run(...args);
  return { status, figures: (JSON.parse(stdout) as { figures: readonly Figures[] }).figures };
}

const support = (name: string): string => fileURLToPath(new URL(`../support/bench/${name}.ts`, import.meta.url));

describe('bench/packet.ts', () => {
  it('has a figure for each path that a packet can take', () => {
    const names = ['hit-v4-to-v6-1', 'no-cache-1', 'miss', 'quic-1', 'not-vip-1', 'echo', 'echo-v6', 'not-ip'];
    const { status, figures } = bench('--encap', 'gue', '--rows', names.join(','));
    expect(figures.map(({ row }) => row)).toEqual(names.map((name) => `${name}/gue`));
    expect(figures.map(({ ours }) => ours)).toEqual(
      names.map(() => expect.objectContaining({ ns: expect.any(Number) })),
    );
    expect(status).toBe(0);
  });

  it('compares what grows with the smallest, which it measures unasked', () => {
    const { status, figures } = bench('--rows', 'growth-hit-4k-4096-vips-64-pools');
    const [smallest, largest] = figures;
    expect(smallest).toMatchObject({ row: 'growth-hit-4k-1-vips-1-pools/ipip', toSmallest: null, wanted: null });
    expect(largest).toMatchObject({ row: 'growth-hit-4k-4096-vips-64-pools/ipip', toSmallest: expect.any(Number) });
    expect(largest?.wanted?.words).toBe('at most 1.15');
    expect(status).toBe(0);
  });

  it.each([
    { populate: 'empty-maps', reason: /^the last verdict is 2, not 3/ },
    { populate: 'wrong-path', reason: /^of 131072 packets 0 went the way "ring"/ },
    { populate: 'wrong-encap', reason: /^the last frame grew by 40 bytes, not by 20/ },
  ])('refuses a figure where packets end another way: $populate', ({ populate, reason }) => {
    const { status, figures } = bench(
      ...['--rows', 'hit-1', '--encap', 'ipip', '--object', objectPath, '--populate', support(populate)],
    );
    expect(figures[0]?.ours.refused).toBeUndefined();
    expect(figures[0]?.peer?.refused).toMatch(reason);
    expect(figures[0]?.times).toBeNull();
    expect(status).toBe(1);
  });

  it('measures a program that takes frames in several pieces', () => {
    using compiler = new BpfCompiler();
    const object = compiler.compileChanged('pilotfish.bpf.c', 'SEC("xdp")', 'SEC("xdp.frags")');
    const { status, figures } = bench('--rows', 'hit-1', '--encap', 'ipip', '--object', object);
    expect(figures[0]?.peer?.refused).toBeUndefined();
    expect(figures[0]?.times).toEqual(expect.any(Number));
    expect(status).toBe(0);
  });

  it('says whether what was wanted is so, and leaves out what a peer cannot do', () => {
    const { status, figures } = bench(
      ...[
        '--rows',
        'steps-1,not-vip-1,not-ip',
        '--encap',
        'ipip',
        '--object',
        objectPath,
        '--populate',
        support('hopeful'),
      ],
    );
    expect(figures.map(({ row, wanted }) => [row, wanted])).toEqual([
      ['steps-1/ipip', { words: '1000000x, at most 1000000 ns', met: false }],
      ['not-vip-1/ipip', { words: 'at most 1000000 ns', met: true }],
      ['not-ip/ipip', null],
    ]);
    expect(figures[2]?.peer).toEqual({ absent: true });
    expect(status).toBe(0);
  });

  it('names the rows that there are when one is not', () => {
    const { status, stderr } = run('--rows', 'hit-2');
    expect(stderr).toMatch(/there is no row hit-2\n.*hit-1, /s);
    expect(status).toBe(2);
  });
});
