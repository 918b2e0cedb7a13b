import { describe, expect, it } from 'vitest';
import { MAX_JITTER } from '../../src/core/health-state.ts';
import { checkTarget } from '../support/health.ts';
import { SchedulerBench } from '../support/scheduler-bench.ts';

describe('the cap on checks at once', () => {
  const addresses = Array.from({ length: 40 }, (_, n) => `10.0.0.${n + 1}`);

  it('holds, serves in the order of arrival, and everyone gets a turn', async () => {
    const bench = new SchedulerBench({ maxRunning: 16 });
    bench.answerMs = 100;
    bench.scheduler.update(addresses.map((address) => checkTarget(address)));
    await bench.clock.advance(499);
    expect(bench.runs.map((run) => run.address)).toEqual(addresses);
    await bench.clock.advance(5_000);
    expect(bench.mostRunning).toBe(8);
    expect(bench.observed()).toEqual(addresses.map((address) => `${address} up`));
  });

  it('does not judge a real by the time its check waits', async () => {
    const bench = new SchedulerBench({ maxRunning: 1 });
    bench.behaviour.set('10.0.0.1', 'hang');
    bench.scheduler.update([checkTarget('10.0.0.1', { timeoutMs: 5_000 }), checkTarget('10.0.0.2')]);
    await bench.clock.advance(60_000);
    expect(bench.changes()).toEqual([
      '10.0.0.2 unknown>up tcp port 80: passed',
      '10.0.0.1 unknown>down tcp port 80: timeout after 5000 ms',
    ]);
  });

  it('passes over a target that vanished while its check waited', async () => {
    const bench = new SchedulerBench({ maxRunning: 1 });
    bench.behaviour.set('10.0.0.1', 'hang');
    const targets = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((address) => checkTarget(address));
    bench.scheduler.update(targets);
    await bench.clock.advance(100);
    bench.scheduler.update([targets[0]!, targets[2]!]);
    await bench.clock.advance(1_000);
    expect(bench.runs.map((run) => run.address).slice(0, 2)).toEqual(['10.0.0.1', '10.0.0.3']);
  });

  it('has the reals of one pool, whatever becomes of them, delay no check of another', async () => {
    const bench = new SchedulerBench({ maxRunning: 16 });
    const good = checkTarget('10.1.0.1', { timeoutMs: 500 }, 'good');
    bench.scheduler.update([good]);
    await bench.clock.advance(10_000);
    for (const address of addresses) bench.behaviour.set(address, 'hang');
    const slow = addresses.map((address, n) => checkTarget(address, { timeoutMs: 30_000 }, n % 2 ? 'odd' : 'even'));
    bench.scheduler.update([good, ...slow]);
    await bench.clock.advance(10_000);
    bench.changes();
    bench.behaviour.set('10.1.0.1', 'hang');
    const { intervalMs, fall } = good.checks[0]!;
    await bench.clock.advance(fall * intervalMs + 500 + MAX_JITTER * intervalMs);
    expect(bench.changes()).toEqual(['10.1.0.1 up>down tcp port 80: timeout after 500 ms']);
    expect(bench.mostRunning).toBeLessThanOrEqual(16);
  });

  it('has pools take turns', async () => {
    const bench = new SchedulerBench({ maxRunning: 1 });
    bench.answerMs = 10;
    const many = addresses.slice(0, 5).map((address) => checkTarget(address, {}, 'many'));
    const few = ['10.1.0.1', '10.1.0.2'].map((address) => checkTarget(address, {}, 'few'));
    bench.scheduler.update([...many, ...few]);
    await bench.clock.advance(69);
    // The first began when nobody else was there.
    const turns = ['many', 'many', 'few', 'many', 'few', 'many', 'many'];
    const poolOf = new Map([...many, ...few].map(({ address, pool }) => [address, pool]));
    expect(bench.runs.map((run) => poolOf.get(run.address))).toEqual(turns);
  });

  it('shows how long checks have waited, and not only once they begin', async () => {
    const bench = new SchedulerBench({ maxRunning: 1 });
    bench.behaviour.set('10.0.0.1', 'hang');
    bench.scheduler.update([checkTarget('10.0.0.1', { timeoutMs: 30_000 }), checkTarget('10.0.0.2')]);
    await bench.clock.advance(5_000);
    expect(bench.scheduler.takeReport().maxLatenessMs).toBe(5_000);
    bench.scheduler.update([checkTarget('10.0.0.1', { timeoutMs: 30_000 })]);
    expect(bench.scheduler.takeReport().maxLatenessMs).toBe(0);
  });
});
