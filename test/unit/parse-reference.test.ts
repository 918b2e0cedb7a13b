import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config.ts';
import { parseState } from '../../src/core/parse-state.ts';
import { keysFromTree } from '../../src/core/tree.ts';
import { revision } from '../support/desired.ts';

function example(file: string): unknown {
  const text = readFileSync(new URL(`../../docs/reference/${file}`, import.meta.url), 'utf8');
  return parse(/```yaml\n(.*?)```/s.exec(text)?.[1] ?? '');
}

describe('the examples of the reference', () => {
  it('have a good state', () => {
    const tree = keysFromTree(example('keys.md'));
    expect(tree.problems).toEqual([]);
    const { snapshot } = parseState(tree.keys, revision, null);
    expect(snapshot.rejected).toEqual([]);
    expect([...snapshot.vips.keys()]).toEqual(['dns', 'web-443']);
  });

  it('have a good configuration', () => {
    expect(parseConfig(example('config.md'), 'config.md').name).toBe('lb1');
  });
});
