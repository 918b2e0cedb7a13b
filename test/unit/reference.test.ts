import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../src/core/errors.ts';
import { reasonNames } from '../../src/dataplane/counters.ts';

/** First cells of the rows of a table whose first cell is code. */
function listed(file: string): string[] {
  const text = readFileSync(new URL(`../../docs/reference/${file}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name ?? '');
}

describe('the reference', () => {
  it('has a sentence on every reason, and on no other', () => {
    expect(listed('counters.md')).toEqual(reasonNames);
  });

  it('explains every error code, and no other', () => {
    expect(listed('errors.md').toSorted()).toEqual(Object.keys(errorCodes).toSorted());
  });
});
