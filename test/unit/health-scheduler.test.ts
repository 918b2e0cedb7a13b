import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CheckTarget, ResolvedCheck } from '../../src/core/check-targets.ts';
import { MAX_JITTER } from '../../src/core/health-state.ts';
import { checkTarget, httpCheck, tcpCheck } from '../support/health.ts';
import { SchedulerBench } from '../support/scheduler-bench.ts';

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((time, n) => time - times[n]!);
}

describe('a new real', () => {
  it('is judged at the fast interval, and tells only when it turns', async () => {
    const bench = new SchedulerBench();
    bench.scheduler.update([checkTarget('10.0.0.1', { rise: 3 })]);
    await bench.clock.advance(999);
    expect(bench.observed()).toEqual(['10.0.0.1 unknown']);
    expect(bench.changes()).toEqual([]);
    await bench.clock.advance(60_000);
    expect(bench.changes()).toEqual(['10.0.0.1 unknown>up tcp port 80: passed']);
    expect(bench.starts('10.0.0.1').slice(0, 3)).toEqual([0, 500, 1000]);
  });

  it('is down after `fall` failures, with the reason of the last', async () => {
    const bench = new SchedulerBench();
    bench.behaviour.set('10.0.0.1', 'refuse');
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    await bench.clock.advance(60_000);
    expect(bench.transitions[0]).toEqual({
      pool: 'web',
      address: '10.0.0.1',
      from: 'unknown',
      to: 'down',
      reason: 'tcp port 80: connection refused',
      at: 1_700_000_001_000,
    });
    expect(bench.transitions).toHaveLength(1);
    expect(bench.scheduler.snapshot()).toEqual([
      {
        pool: 'web',
        address: '10.0.0.1',
        observation: 'down',
        reason: 'tcp port 80: connection refused',
        since: 1_700_000_001_000,
      },
    ]);
  });

  it('gets its first check at a random moment within the fast interval', async () => {
    const bench = new SchedulerBench({ random: () => 0.75 });
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    await bench.clock.advance(374);
    expect(bench.starts('10.0.0.1')).toEqual([]);
    await bench.clock.advance(1);
    expect(bench.starts('10.0.0.1')).toEqual([375]);
  });
});

describe('the rhythm', () => {
  it('stretches steady intervals by a fixed share that differs by real and by LB', async () => {
    const rhythm = async (lb: string, address: string): Promise<number> => {
      const bench = new SchedulerBench({ lb });
      bench.scheduler.update([checkTarget(address)]);
      await bench.clock.advance(10_000);
      const steady = gaps(bench.starts(address)).slice(1);
      for (const gap of steady) {
        expect(gap).toBeCloseTo(steady[0]!, 6);
        expect(gap).toBeGreaterThanOrEqual(2_000);
        expect(gap).toBeLessThan(2_000 * (1 + MAX_JITTER));
      }
      return steady[0]!;
    };
    const first = await rhythm('lb1', '10.0.0.1');
    expect(await rhythm('lb1', '10.0.0.1')).toBe(first);
    expect(await rhythm('lb2', '10.0.0.1')).not.toBe(first);
    expect(await rhythm('lb1', '10.0.0.2')).not.toBe(first);
  });

  it('spreads the checks of reals that came together over the whole interval', async () => {
    const bench = new SchedulerBench({ random: Math.random });
    const addresses = Array.from({ length: 400 }, (_, n) => `10.0.${n >> 8}.${n & 255}`);
    bench.scheduler.update(addresses.map((address) => checkTarget(address)));
    await bench.clock.advance(4_000);
    bench.runs.length = 0;
    await bench.clock.advance(2_000);
    const quarters = [0, 0, 0, 0];
    for (const { at } of bench.runs) quarters[Math.floor((at - 4_000) / 500)]! += 1;
    expect(Math.min(...quarters)).toBeGreaterThan(50);
  });

  it('is fast from the first deviating result to the transition and slow while down', async () => {
    const bench = new SchedulerBench();
    bench.scheduler.update([checkTarget('10.0.0.1', { downIntervalMs: 30_000 })]);
    await bench.clock.advance(10_000);
    bench.starts('10.0.0.1');
    bench.behaviour.set('10.0.0.1', 'refuse');
    await bench.clock.advance(33_000);
    const [first, second, third, ...later] = bench.starts('10.0.0.1');
    expect([second! - first!, third! - second!]).toEqual([500, 500]);
    expect(later).toEqual([]);
    expect(bench.observed()).toEqual(['10.0.0.1 down']);
    bench.behaviour.set('10.0.0.1', 'answer');
    await bench.clock.advance(3_000);
    expect(gaps(bench.starts('10.0.0.1'))[0]).toBe(500);
    expect(bench.observed()).toEqual(['10.0.0.1 up']);
  });

  it('counts intervals from start to start, and never overlaps a check with itself', async () => {
    const bench = new SchedulerBench();
    bench.behaviour.set('10.0.0.1', 'hang');
    bench.scheduler.update([checkTarget('10.0.0.1', { timeoutMs: 400, fall: 5 })]);
    await bench.clock.advance(1_900);
    expect(bench.starts('10.0.0.1')).toEqual([0, 500, 1000, 1500]);
    bench.scheduler.update([checkTarget('10.0.0.2', { timeoutMs: 800, fall: 5 })]);
    bench.behaviour.set('10.0.0.2', 'hang');
    bench.mostRunning = 0;
    await bench.clock.advance(2_500);
    expect(gaps(bench.starts('10.0.0.2'))).toEqual([800, 800, 800]);
    expect(bench.mostRunning).toBe(1);
  });

  it('calls a killed real down within fall x interval + timeout + jitter, whenever and however it fails', async () => {
    const settings = fc
      .record({
        intervalMs: fc.integer({ min: 100, max: 5_000 }),
        fall: fc.integer({ min: 1, max: 5 }),
        rise: fc.integer({ min: 1, max: 3 }),
        fast: fc.double({ min: 0.02, max: 1, noNaN: true }),
        timeout: fc.double({ min: 0.02, max: 1, noNaN: true }),
      })
      .map(({ intervalMs, fall, rise, fast, timeout }) =>
        tcpCheck({
          intervalMs,
          fall,
          rise,
          fastIntervalMs: Math.ceil(intervalMs * fast),
          timeoutMs: Math.ceil(intervalMs * timeout),
        }),
      );
    const kill = fc.record({ share: fc.double({ min: 0, max: 1, noNaN: true }), hang: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(settings, kill, fc.ipV4(), async (check, { share, hang }, address) => {
        const bench = new SchedulerBench();
        bench.scheduler.update([{ pool: 'web', address, checks: [check] }]);
        const { intervalMs, timeoutMs, fall, rise } = check;
        await bench.clock.advance(intervalMs * (rise + 1) + share * 2 * intervalMs);
        expect(bench.observed()).toEqual([`${address} up`]);
        bench.behaviour.set(address, hang ? 'hang' : 'refuse');
        await bench.clock.advance(fall * intervalMs + timeoutMs + MAX_JITTER * intervalMs);
        expect(bench.observed()).toEqual([`${address} down`]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('update', () => {
  it('leaves unchanged targets alone: state, counters and rhythm', async () => {
    const targets = (): CheckTarget[] => [checkTarget('10.0.0.1')];
    const [disturbed, calm] = [new SchedulerBench(), new SchedulerBench()];
    for (const bench of [disturbed, calm]) {
      bench.scheduler.update(targets());
      for (let n = 0; n < 100; n += 1) {
        if (n === 50) bench.behaviour.set('10.0.0.1', 'refuse');
        if (bench === disturbed) bench.scheduler.update(targets());
        await bench.clock.advance(137);
      }
    }
    expect(calm.transitions).toHaveLength(2);
    expect(disturbed.transitions).toEqual(calm.transitions);
    expect(disturbed.runs).toEqual(calm.runs);
  });

  it('stops a vanished target, drops its result under way and forgets it', async () => {
    const bench = new SchedulerBench();
    bench.behaviour.set('10.0.0.1', 'hang');
    bench.scheduler.update([checkTarget('10.0.0.1', { fall: 1 }), checkTarget('10.0.0.2')]);
    await bench.clock.advance(500);
    bench.starts('10.0.0.1');
    bench.scheduler.update([checkTarget('10.0.0.2')]);
    expect(bench.aborted).toBe(1);
    await bench.clock.advance(10_000);
    expect(bench.starts('10.0.0.1')).toEqual([]);
    expect(bench.changes()).toEqual(['10.0.0.2 unknown>up tcp port 80: passed']);
    expect(bench.observed()).toEqual(['10.0.0.2 up']);

    bench.scheduler.update([]);
    bench.scheduler.update([checkTarget('10.0.0.2')]);
    expect(bench.observed()).toEqual(['10.0.0.2 unknown']);
  });

  it('begins new targets beside old ones', async () => {
    const bench = new SchedulerBench();
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    await bench.clock.advance(3_000);
    bench.scheduler.update([checkTarget('10.0.0.2'), checkTarget('10.0.0.1')]);
    expect(bench.observed()).toEqual(['10.0.0.2 unknown', '10.0.0.1 up']);
    await bench.clock.advance(1_000);
    expect(bench.observed()).toEqual(['10.0.0.2 up', '10.0.0.1 up']);
  });

  it('keeps the observation when settings change, and uses the new ones at once', async () => {
    const bench = new SchedulerBench();
    bench.scheduler.update([checkTarget('10.0.0.1', { intervalMs: 60_000 })]);
    await bench.clock.advance(5_000);
    bench.starts('10.0.0.1');
    bench.behaviour.set('10.0.0.1', 'refuse');
    bench.scheduler.update([checkTarget('10.0.0.1', { intervalMs: 1_000, fall: 1 })]);
    expect(bench.observed()).toEqual(['10.0.0.1 up']);
    await bench.clock.advance(1);
    expect(bench.changes()).toEqual([
      '10.0.0.1 unknown>up tcp port 80: passed',
      '10.0.0.1 up>down tcp port 80: connection refused',
    ]);
  });

  it('judges nothing by the answer to a check that changed meanwhile', async () => {
    const bench = new SchedulerBench();
    bench.scheduler.update([checkTarget('10.0.0.1', { fall: 1 })]);
    await bench.clock.advance(5_000);
    bench.changes();
    bench.behaviour.set('10.0.0.1', 'hang');
    bench.scheduler.update([checkTarget('10.0.0.1', { fall: 1, timeoutMs: 60_000, intervalMs: 60_000 })]);
    await bench.clock.advance(75_000);
    bench.starts('10.0.0.1');
    bench.scheduler.update([checkTarget('10.0.0.1', { fall: 1, timeoutMs: 100, intervalMs: 60_000 })]);
    expect(bench.aborted).toBe(1);
    expect(bench.changes()).toEqual([]);
    await bench.clock.advance(100);
    expect(bench.starts('10.0.0.1')).toEqual([80_000]);
    expect(bench.changes()).toEqual(['10.0.0.1 up>down tcp port 80: timeout after 100 ms']);
  });

  it('keeps the observation when the port changes, until the new check has its own results', async () => {
    const bench = new SchedulerBench();
    bench.behaviour.set('10.0.0.1:81', 'refuse');
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    await bench.clock.advance(3_000);
    bench.starts('10.0.0.1');
    bench.scheduler.update([checkTarget('10.0.0.1', { port: 81 })]);
    await bench.clock.advance(999);
    expect(bench.observed()).toEqual(['10.0.0.1 up']);
    await bench.clock.advance(1);
    expect(bench.observed()).toEqual(['10.0.0.1 down']);
    expect(new Set(bench.runs.map((run) => run.port))).toEqual(new Set([81]));
  });

  it('does not take a real out because its pool gets another check', async () => {
    const bench = new SchedulerBench();
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    await bench.clock.advance(3_000);
    bench.changes();
    bench.scheduler.update([{ pool: 'web', address: '10.0.0.1', checks: [tcpCheck(), tcpCheck({ port: 81 })] }]);
    await bench.clock.advance(10_000);
    expect(bench.changes()).toEqual([]);
    expect(bench.runs.map((run) => run.port)).toContain(81);
  });

  it('frees a real from a check that is gone', async () => {
    const bench = new SchedulerBench();
    bench.behaviour.set('10.0.0.1:81', 'refuse');
    bench.scheduler.update([{ pool: 'web', address: '10.0.0.1', checks: [tcpCheck(), tcpCheck({ port: 81 })] }]);
    await bench.clock.advance(3_000);
    expect(bench.changes()).toEqual(['10.0.0.1 unknown>down tcp port 81: connection refused']);
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    expect(bench.changes()).toEqual(['10.0.0.1 down>up the checks of the pool changed']);
  });

  describe('of checks that differ in their host alone', () => {
    const web = (host: string, changes: Parameters<typeof httpCheck>[0] = {}) => httpCheck({ host, ...changes });
    const real = (...checks: ResolvedCheck[]): CheckTarget[] => [{ pool: 'web', address: '10.0.0.1', checks }];
    const refused = 'http port 80 /: connection refused';

    /** A real that two checks have judged, of which that for `b` fails. */
    async function judged(): Promise<SchedulerBench> {
      const bench = new SchedulerBench();
      bench.behaviour.set('b', 'refuse');
      bench.scheduler.update(real(web('a'), web('b')));
      await bench.clock.advance(10_000);
      expect(bench.changes()).toEqual([`10.0.0.1 unknown>down ${refused}`]);
      return bench;
    }

    it('hands what is known of the one that goes to no other', async () => {
      const bench = await judged();
      bench.scheduler.update(real(web('b')));
      await bench.clock.advance(10_000);
      expect(bench.changes()).toEqual([]);
      bench.scheduler.update(real(web('b'), web('a')));
      await bench.clock.advance(10_000);
      expect(bench.changes()).toEqual([]);
      bench.scheduler.update(real(web('a')));
      expect(bench.changes()).toEqual(['10.0.0.1 down>up the checks of the pool changed']);
    });

    it('has each begin from what the real is where they cannot be told apart', async () => {
      const bench = await judged();
      bench.scheduler.update(real(web('b', { intervalMs: 1_000 })));
      await bench.clock.advance(10_000);
      expect(bench.changes()).toEqual([]);
      bench.scheduler.update(real(web('a'), web('c')));
      expect(bench.observed()).toEqual(['10.0.0.1 down']);
      await bench.clock.advance(10_000);
      expect(bench.changes()).toEqual(['10.0.0.1 down>up http port 80 /: passed']);
    });

    it('goes on with the one that changes where all others stay', async () => {
      const bench = new SchedulerBench();
      bench.scheduler.update(real(web('a'), web('b')));
      await bench.clock.advance(10_000);
      bench.starts('10.0.0.1');
      bench.scheduler.update(real(web('b', { intervalMs: 60_000 }), web('a')));
      await bench.clock.advance(40_000);
      expect(new Set(bench.runs.map((run) => run.host))).toEqual(new Set(['a']));
    });
  });

  it('leaves no timer and no check after close', async () => {
    const bench = new SchedulerBench({ maxRunning: 1 });
    bench.behaviour.set('10.0.0.1', 'hang');
    bench.scheduler.update([checkTarget('10.0.0.1'), checkTarget('10.0.0.2')]);
    await bench.clock.advance(100);
    bench.runs.length = 0;
    bench.scheduler.close();
    await bench.clock.advance(60_000);
    expect([bench.runs, bench.transitions, bench.clock.pending]).toEqual([[], [], 0]);
  });
});

describe('several checks', () => {
  const both = (): CheckTarget => ({ pool: 'web', address: '10.0.0.1', checks: [tcpCheck(), tcpCheck({ port: 81 })] });

  it('make a real up together and down each alone', async () => {
    const bench = new SchedulerBench();
    bench.scheduler.update([both()]);
    await bench.clock.advance(3_000);
    bench.behaviour.set('10.0.0.1:81', 'refuse');
    await bench.clock.advance(10_000);
    bench.behaviour.set('10.0.0.1:81', 'answer');
    await bench.clock.advance(10_000);
    expect(bench.changes()).toEqual([
      '10.0.0.1 unknown>up tcp port 81: passed',
      '10.0.0.1 up>down tcp port 81: connection refused',
      '10.0.0.1 down>up tcp port 81: passed',
    ]);
  });

  it('run each on its own, also two of one type and port', async () => {
    const bench = new SchedulerBench();
    const checks = [tcpCheck({ rise: 5 }), tcpCheck({ rise: 5 })];
    bench.scheduler.update([{ pool: 'web', address: '10.0.0.1', checks }]);
    await bench.clock.advance(1_100);
    expect(bench.starts('10.0.0.1')).toEqual([0, 0, 500, 500, 1000, 1000]);
  });
});

describe('the same real in two pools', () => {
  it('is two reals', async () => {
    const bench = new SchedulerBench();
    bench.behaviour.set('10.0.0.1:81', 'refuse');
    bench.scheduler.update([checkTarget('10.0.0.1'), checkTarget('10.0.0.1', { port: 81 }, 'admin')]);
    await bench.clock.advance(3_000);
    expect(bench.transitions.map(({ pool, to }) => [pool, to])).toEqual([
      ['web', 'up'],
      ['admin', 'down'],
    ]);
  });
});

describe('initial observations', () => {
  const held = (observation: 'up' | 'down') =>
    ({ pool: 'web', address: '10.0.0.1', observation, reason: 'earlier', since: 7 }) as const;

  it('hold until as many results as ever speak against them', async () => {
    const bench = new SchedulerBench({ initial: [held('up')] });
    bench.behaviour.set('10.0.0.1', 'refuse');
    bench.scheduler.update([checkTarget('10.0.0.1'), checkTarget('10.0.0.2')]);
    expect(bench.observed()).toEqual(['10.0.0.1 up', '10.0.0.2 unknown']);
    expect(bench.scheduler.snapshot()[0]).toEqual(held('up'));
    await bench.clock.advance(999);
    expect(bench.observed()[0]).toBe('10.0.0.1 up');
    await bench.clock.advance(1);
    expect(bench.observed()[0]).toBe('10.0.0.1 down');
  });

  it('are confirmed without a word', async () => {
    const bench = new SchedulerBench({ initial: [held('up')] });
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    await bench.clock.advance(10_000);
    expect(bench.transitions).toEqual([]);
    expect(bench.scheduler.snapshot()).toEqual([held('up')]);
  });

  it('are forgotten for reals that the first update does not name', () => {
    const bench = new SchedulerBench({ initial: [held('down')] });
    bench.scheduler.update([]);
    bench.scheduler.update([checkTarget('10.0.0.1')]);
    expect(bench.observed()).toEqual(['10.0.0.1 unknown']);
  });
});
