import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CheckState } from '../../src/core/health-state.ts';
import { combine, heldState, MAX_JITTER, nextDelay, nextState } from '../../src/core/health-state.ts';
import type { Observation } from '../../src/core/model.ts';

const observations: readonly Observation[] = ['unknown', 'up', 'down'];
const anyObservation = fc.constantFrom(...observations);
const anyPolicy = fc.record({ rise: fc.integer({ min: 1, max: 6 }), fall: fc.integer({ min: 1, max: 6 }) });
const anyResults = fc.array(fc.boolean(), { maxLength: 60 });

/** The state after each result, the start among them. */
function run(start: CheckState, results: readonly boolean[], policy: { rise: number; fall: number }): CheckState[] {
  const states = [start];
  for (const ok of results) states.push(nextState(states.at(-1)!, ok, policy));
  return states;
}

describe('nextState', () => {
  it('turns up only on `rise` consecutive successes and down only on `fall` consecutive failures', () => {
    fc.assert(
      fc.property(anyObservation, anyPolicy, anyResults, (start, policy, results) => {
        const states = run(heldState(start), results, policy);
        for (let n = 1; n < states.length; n += 1) {
          const { observation } = states[n]!;
          if (observation === states[n - 1]!.observation) continue;
          const [needed, ok] = observation === 'up' ? [policy.rise, true] : [policy.fall, false];
          const last = results.slice(0, n).slice(-needed);
          expect(last).toEqual(Array(needed).fill(ok));
        }
      }),
    );
  });

  it('turns as soon as the results suffice', () => {
    fc.assert(
      fc.property(anyObservation, anyPolicy, anyResults, (start, policy, before) => {
        const { rise, fall } = policy;
        const risen = run(heldState(start), [...before, ...Array<boolean>(rise).fill(true)], policy);
        expect(risen.at(-1)!.observation).toBe('up');
        const fallen = run(heldState(start), [...before, ...Array<boolean>(fall).fill(false)], policy);
        expect(fallen.at(-1)!.observation).toBe('down');
      }),
    );
  });

  it('never becomes unknown again, and never counts both ways', () => {
    fc.assert(
      fc.property(anyObservation, anyPolicy, anyResults, (start, policy, results) => {
        const states = run(heldState(start), results, policy);
        const known = states.findIndex((state) => state.observation !== 'unknown');
        if (known >= 0) expect(states.slice(known).map((state) => state.observation)).not.toContain('unknown');
        for (const { successes, failures } of states) expect(Math.min(successes, failures)).toBe(0);
      }),
    );
  });

  it('does not flip on alternating results', () => {
    const policy = { rise: 2, fall: 2 };
    const alternating = Array.from({ length: 50 }, (_, n) => n % 2 === 0);
    for (const start of observations)
      for (const state of run(heldState(start), alternating, policy)) expect(state.observation).toBe(start);
  });

  it('follows every result with rise 1 and fall 1', () => {
    const states = run(heldState('unknown'), [true, false, true, true, false], { rise: 1, fall: 1 });
    expect(states.map((state) => state.observation)).toEqual(['unknown', 'up', 'down', 'up', 'up', 'down']);
  });

  it('holds an earlier observation through fewer deviating results than it takes', () => {
    const policy = { rise: 3, fall: 3 };
    expect(run(heldState('up'), [false, false], policy).at(-1)!.observation).toBe('up');
    expect(run(heldState('down'), [true, true], policy).at(-1)!.observation).toBe('down');
    expect(run(heldState('unknown'), [true, true], policy).at(-1)!.observation).toBe('unknown');
  });
});

describe('combine', () => {
  it('is up only when all are up, down when any is down, unknown otherwise', () => {
    fc.assert(
      fc.property(fc.array(anyObservation, { maxLength: 5 }), (all) => {
        const down = all.some((one) => one === 'down');
        const up = all.length > 0 && all.every((one) => one === 'up');
        expect(combine(all)).toBe(down ? 'down' : up ? 'up' : 'unknown');
      }),
    );
    expect(combine([])).toBe('unknown');
    expect(combine(['up', 'unknown'])).toBe('unknown');
    expect(combine(['unknown', 'down', 'up'])).toBe('down');
  });
});

describe('nextDelay', () => {
  const check = { intervalMs: 2_000, fastIntervalMs: 500, downIntervalMs: 10_000 };

  it.each<[string, CheckState, number]>([
    ['unknown without results', heldState('unknown'), 500],
    ['unknown and rising', { observation: 'unknown', successes: 1, failures: 0 }, 500],
    ['unknown and falling', { observation: 'unknown', successes: 0, failures: 2 }, 500],
    ['held up', heldState('up'), 2_000],
    ['up', { observation: 'up', successes: 9, failures: 0 }, 2_000],
    ['up with a failure', { observation: 'up', successes: 0, failures: 1 }, 500],
    ['held down', heldState('down'), 10_000],
    ['down', { observation: 'down', successes: 0, failures: 9 }, 10_000],
    ['down with a success', { observation: 'down', successes: 1, failures: 0 }, 500],
  ])('of a real that is %s', (_, state, delay) => {
    expect(nextDelay(state, check, 0)).toBe(delay);
    const steady = delay !== check.fastIntervalMs;
    expect(nextDelay(state, check, MAX_JITTER)).toBeCloseTo(steady ? delay * 1.1 : delay, 6);
  });
});
