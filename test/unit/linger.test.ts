import { describe, expect, it } from 'vitest';
import type { Lingering } from '../../src/core/linger.ts';
import { nextLingerEnd, nextLingering } from '../../src/core/linger.ts';
import { pool, real, snapshot } from '../support/model.ts';

const none: Lingering = new Map();
const web = (...addresses: string[]) => snapshot([pool('web', addresses, { removeAfterMs: 1_000 })]);

describe('lingering reals', () => {
  it('has nobody at the first snapshot', () => {
    expect(nextLingering(none, null, web('10.0.0.1'), 0).size).toBe(0);
  });

  it('keeps a removed real for removeAfter', () => {
    const after = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.1'), 500);
    expect([...after.values()]).toEqual([{ pool: 'web', address: '10.0.0.2', until: 1_500 }]);
    expect(nextLingerEnd(after)).toBe(1_500);
  });

  it('ends when the time is over, and not before', () => {
    const now = web('10.0.0.1');
    const after = nextLingering(none, web('10.0.0.1', '10.0.0.2'), now, 0);
    expect(nextLingering(after, now, now, 999).size).toBe(1);
    expect(nextLingering(after, now, now, 1_000).size).toBe(0);
  });

  it('does not start again with every later snapshot', () => {
    const first = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.1'), 0);
    const later = nextLingering(first, web('10.0.0.1'), web('10.0.0.1', '10.0.0.3'), 900);
    expect([...later.values()]).toEqual([{ pool: 'web', address: '10.0.0.2', until: 1_000 }]);
  });

  it('forgets a real that came back', () => {
    const gone = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.1'), 0);
    expect(nextLingering(gone, web('10.0.0.1'), web('10.0.0.1', '10.0.0.2'), 10).size).toBe(0);
  });

  it('goes with its pool', () => {
    const gone = nextLingering(none, web('10.0.0.1', '10.0.0.2'), web('10.0.0.1'), 0);
    expect(nextLingering(gone, web('10.0.0.1'), snapshot([]), 10).size).toBe(0);
  });

  it('leaves out a real that was in maintenance, whose flows are void already', () => {
    const before = snapshot([pool('web', [real('10.0.0.1', { state: 'maintenance' })])]);
    expect(nextLingering(none, before, snapshot([pool('web', [])]), 0).size).toBe(0);
  });

  it('runs out at once with removeAfter 0', () => {
    const after = snapshot([pool('web', [], { removeAfterMs: 0 })]);
    expect(nextLingering(none, web('10.0.0.1'), after, 7).size).toBe(0);
  });
});
