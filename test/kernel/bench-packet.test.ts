import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { objectPath } from '../../src/dataplane/program.ts';

/** That the benchmark measures what it says, or gives no figure. How fast anything is, is not asked here. */

interface Output {
  readonly figures: readonly { readonly subject: string; readonly scenario: string; readonly refused?: string }[];
}

function bench(...args: string[]): { status: number | null; output: Output } {
  const script = fileURLToPath(new URL('../../bench/packet.ts', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [script, '--rounds', '1', '--json', ...args], {
    encoding: 'utf8',
  });
  return { status, output: JSON.parse(stdout) };
}

const support = (name: string): string => fileURLToPath(new URL(`../support/bench/${name}.ts`, import.meta.url));

describe('bench/packet.ts', () => {
  it('has a figure for each path that a packet can take', () => {
    const names = ['hit-4096-vips', 'miss', 'not-vip', 'not-ip'];
    const { status, output } = bench(...names.flatMap((name) => ['--scenario', name]));
    expect(output.figures.map(({ scenario }) => scenario)).toEqual(names);
    expect(output.figures.filter(({ refused }) => refused !== undefined)).toEqual([]);
    expect(status).toBe(0);
  });

  it.each([
    { populate: 'empty-maps', reason: /^the last verdict is 2, not 3/ },
    { populate: 'wrong-path', reason: /^of 1048576 packets 0 went the way "ring"/ },
  ])('refuses a figure where packets go another way: $populate', ({ populate, reason }) => {
    const { status, output } = bench('--scenario', 'hit-1', '--object', objectPath, '--populate', support(populate));
    const [own, other] = output.figures;
    expect(own?.refused).toBeUndefined();
    expect(other?.refused).toMatch(reason);
    expect(status).toBe(1);
  });
});
