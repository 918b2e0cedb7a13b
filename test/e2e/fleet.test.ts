import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { statePrefix } from '../../lab/agent.ts';
import { Lab } from '../../lab/lab.ts';
import { runIn } from '../../lab/netns.ts';
import { until } from '../../lab/until.ts';
import type { FleetComparison } from '../../src/cli/fleet-compare.ts';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { needs } from '../support/require.ts';
import { deploy, untilServing } from '../support/two-lbs.ts';

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool'))('pilotfish fleet', () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.up({ lbs: 2 });
    await deploy(lab);
  });

  afterAll(() => lab?.down());

  beforeEach(() => untilServing(lab));

  const fleet = (...options: string[]): Promise<CommandResult> =>
    pilotfish(['fleet', '--config', lab.lb('lb1').configFile, ...options]);

  async function compared(...options: string[]): Promise<FleetComparison> {
    return JSON.parse((await fleet('-o', 'json', ...options)).stdout) as FleetComparison;
  }

  /** Publishing goes by the store, so that it is a moment behind the LBs themselves. */
  async function untilFleet(what: string, holds: (fleet: FleetComparison) => boolean): Promise<FleetComparison> {
    let last = await compared();
    await until(
      async () => {
        last = await compared();
        return holds(last);
      },
      { what, timeoutMs: 20_000 },
    );
    return last;
  }

  it('shows that LBs agree', async () => {
    const { lbs, pools, observations } = await untilFleet('all agree', ({ agree }) => agree);
    expect(lbs.map(({ name, standing }) => [name, standing])).toEqual([
      ['lb1', 'agrees'],
      ['lb2', 'agrees'],
    ]);
    expect(lbs[0]?.info?.digests).toEqual(lbs[1]?.info?.digests);
    expect(pools).toEqual([{ pool: 'web', equal: true, digests: expect.any(Object) }]);
    expect(Object.values(pools[0]?.digests ?? {})).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}$/),
      expect.stringMatching(/^[0-9a-f]{64}$/),
    ]);
    expect(observations).toEqual([]);

    const { code, stdout, stderr } = await fleet();
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^lb1 +\S+ +\S+ +\d+ +[0-9a-f]{12} +0 +agrees$/m);
    expect(stdout).toMatch(/^web +equal +([0-9a-f]{12}) +\1$/m);
    expect(stdout).toMatch(/\nall 2 LBs agree\n$/);
  });

  it('shows who says what when LBs see different things, and ends with 1', async () => {
    // Only the checks go by the routing table of the LB: the program’s packets to r3 are not stopped by it.
    const blocked = ['route', 'add', 'blackhole', `${lab.real('r3').address}/32`];
    await runIn('pf-lb2', 'ip', blocked);
    try {
      const found = await untilFleet('lb2 finds r3 down', ({ observations }) => observations.length === 1);
      expect(found.observations).toEqual([
        { pool: 'web', real: 'r3', address: '10.77.13.2', observations: { lb1: 'up', lb2: 'down' } },
      ]);
      const differing = await untilFleet('both say so', ({ lbs }) => lbs[1]?.standing === 'differs');
      expect(differing).toMatchObject({ agree: false, pools: [{ pool: 'web', equal: false }] });
      expect(differing.lbs[0]?.standing).toBe('differs');

      const { code, stdout } = await fleet();
      expect(code).toBe(1);
      expect(stdout).toMatch(/^lb2 .* DIFFERS at the same revision$/m);
      expect(stdout).toMatch(/^web +DIFFER +([0-9a-f]{12}) +(?!\1)[0-9a-f]{12}$/m);
      expect(stdout).toMatch(/^web +r3 +10\.77\.13\.2 +up +down$/m);
      expect(stdout).toContain('lb1, lb2 send some packets to different reals: they differ about reals, see above');
    } finally {
      await runIn('pf-lb2', 'ip', ['route', 'del', 'blackhole', `${lab.real('r3').address}/32`]);
    }
    await untilFleet('all agree again', ({ agree }) => agree);
  });

  it('shows an LB that died as missing once its lease has run out, when it is expected', async () => {
    await lab.lb('lb2').kill();
    try {
      const gone = await untilFleet('lb2 is not published any more', ({ lbs }) => lbs.length === 1);
      expect(gone).toMatchObject({ agree: true, lbs: [{ name: 'lb1', standing: 'agrees' }] });
      const { code, stdout } = await fleet('--expect', 'lb1,lb2');
      expect(code).toBe(1);
      expect(stdout).toMatch(/^lb2 .* MISSING: died, or its lease ran out$/m);
      expect(stdout).toContain('\nlb2: MISSING');
    } finally {
      await lab.lb('lb2').start();
    }
  });

  it('has no LB join whose name another one has, until the name is free', async () => {
    const key = `${statePrefix}fleet/lb2/info`;
    const lb2 = lab.lb('lb2');
    await lb2.stop();
    await lab.etcd.put(key, { host: 'elsewhere', instance: 'i', since: '2030-01-01T00:00:00.000Z' });
    const started = lb2.start();
    const attached = async () => ((await lb2.state().catch(() => null))?.attached ?? null) !== null;
    await until(attached, { what: 'lb2 is attached', timeoutMs: 10_000 });
    const { ready, problems, announced } = await lb2.state();
    expect({ ready, problems, announced }).toEqual({
      ready: false,
      problems: [expect.stringMatching(/^the name lb2 is held by another LB \(host elsewhere, /)],
      announced: { state: 'waiting' },
    });
    await lab.etcd.delete(key);
    await started;
  });

  it('takes LBs at other revisions for agreeing as long as their digests are equal', async () => {
    // A state that an agent lists at its start has the revision of the listing, not of the last change.
    await lab.lb('lb2').stop();
    await lab.lb('lb2').start();
    const { lbs } = await untilFleet('both agree', ({ agree, lbs }) => agree && lbs.length === 2);
    expect(lbs[1]?.info?.revision?.number).toBeGreaterThan(lbs[0]?.info?.revision?.number ?? Number.NaN);
    expect((await fleet()).code).toBe(0);
  });
});
