import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../src/core/errors.ts';
import { eventNames, readTraffic, reasonNames } from '../../src/dataplane/counters.ts';

/** By the first cell of its head: first cells of the rows of a table whose first cells are code. */
function listed(file: string): Record<string, string[]> {
  const text = readFileSync(new URL(`../../docs/reference/${file}`, import.meta.url), 'utf8');
  const tables: Record<string, string[]> = {};
  for (const [, head = '', rows = ''] of text.matchAll(/^\| (\w+) \|.*\n\| ---.*\n((?:\|.*\n)*)/gm))
    tables[head] = [...rows.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name ?? '');
  return tables;
}

describe('the reference', () => {
  it('has a sentence on every counter, and on no other', () => {
    expect(listed('counters.md')).toEqual({
      reason: reasonNames,
      event: eventNames,
      counter: Object.keys(readTraffic({ get: () => null }, 'vip', 0)),
    });
  });

  it('explains every error code, and no other', () => {
    const codes = Object.values(listed('errors.md')).flat();
    expect(codes.toSorted()).toEqual(Object.keys(errorCodes).toSorted());
  });
});
