import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mutations, programMutations } from '../mutations/table.ts';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const documented = read('../../docs/testing.md');

describe('the seeded faults of `npm run mutate`', () => {
  it('have names of their own', () => {
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length);
  });

  it.each(mutations)('$name applies to the source as it is', ({ file, find, replace }) => {
    const source = read(`../../src/core/${file}`);
    expect(source.split(find)).toHaveLength(2);
    expect(source.replace(find, () => replace)).not.toBe(source);
  });

  it.each(mutations)('$name names a test that there is', ({ caughtBy: { file, test } }) => {
    if (file === 'scenarios') expect(existsSync(new URL(`../scenario/${test}`, import.meta.url))).toBe(true);
    else expect(read(`./${file}.test.ts`)).toContain(`it('${test}'`);
  });

  it('are all listed in docs/testing.md with what catches them, and no others', () => {
    const rows = [...documented.matchAll(/^\| `([a-z0-9-]+)` \| `([\w-]+\.ts)` \| (.+) \| `([\w.-]+)`: (.+) \|$/gm)];
    expect(rows.map(([, name, file, breaks, suite, test]) => [name, file, breaks, suite, test])).toEqual(
      mutations.map(({ name, file, breaks, caughtBy }) => [name, file, breaks, caughtBy.file, caughtBy.test]),
    );
  });
});

describe('the seeded faults of `npm run mutate:bpf`', () => {
  it('have names of their own', () => {
    expect(programMutations.length).toBeGreaterThanOrEqual(20);
    expect(new Set(programMutations.map(({ name }) => name)).size).toBe(programMutations.length);
  });

  it.each(programMutations)('$name applies to the source as it is', ({ file, find, replace }) => {
    const source = read(`../../bpf/${file}`);
    expect(source.split(find)).toHaveLength(2);
    expect(source.replace(find, () => replace)).not.toBe(source);
  });

  it.each(programMutations)('$name names a test that there is', ({ caughtBy: { file, test } }) => {
    expect(read(`../kernel/${file}.test.ts`)).toContain(test);
  });
});
