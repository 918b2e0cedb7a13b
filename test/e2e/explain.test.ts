import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LabLb } from '../../lab/agent.ts';
import { Lab } from '../../lab/lab.ts';
import { until } from '../../lab/until.ts';
import type { AgentExplanation } from '../../src/agent-explain.ts';
import { pilotfish } from '../support/command.ts';
import { needs } from '../support/require.ts';
import { deploy, STALL_MS, untilServing, vip } from '../support/two-lbs.ts';

/** What the agent of an LB says about flows that really run. */
describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'flock'))('pilotfish explain', () => {
  let lab: Lab;
  let lb: LabLb;

  beforeAll(async () => {
    lab = await Lab.up();
    lb = lab.lb('lb1');
  });

  afterAll(() => lab?.down());

  beforeEach(async () => {
    await deploy(lab);
    await lab.etcd.delete('/pilotfish/v1/desired/overrides', { prefix: true });
    await untilServing(lab);
  });

  const flowFrom = (port: number): string => `tcp ${lab.client.host.address}:${port} > ${vip}:80`;

  async function explain(flow: string): Promise<AgentExplanation> {
    const { code, stdout, stderr } = await pilotfish(['explain', flow, '--config', lb.configFile, '-o', 'json']);
    expect([code, stderr]).toEqual([0, '']);
    return JSON.parse(stdout) as AgentExplanation;
  }

  const nameOf = (address: string | null): string | undefined =>
    lab.reals.find((real) => real.address === address)?.name;

  async function takes(id: string, wanted: boolean): Promise<void> {
    const slots = async () => (await lb.state()).pools[0]?.reals.find((real) => real.id === id)?.slots ?? 0;
    await until(async () => (await slots()) > 0 === wanted, {
      what: `${id} ${wanted ? 'takes' : 'takes no'} new flows`,
      timeoutMs: 10_000,
    });
  }

  it('knows where running downloads are, before and after their real is drained', async () => {
    const downloads = await lab.client.downloads(20, 20_000, { vip, stallMs: STALL_MS });
    try {
      const events = (await downloads.events()).filter(({ event, port }) => event === 'open' && port !== undefined);
      expect(events.length).toBe(20);
      for (const { port = 0, real } of events) {
        const { newConnection, nextPacket, cache, problems } = await explain(flowFrom(port));
        expect(problems).toEqual([]);
        expect(nameOf(newConnection.real)).toBe(real);
        expect(cache?.length).toBeGreaterThan(0);
        expect(new Set(nextPacket.map((outcome) => nameOf(outcome.real)))).toEqual(new Set([real]));
      }

      const drained = events[0]?.real ?? '';
      expect((await pilotfish(['drain', `web/${drained}`, '--config', lb.configFile])).code).toBe(0);
      await takes(drained, false);
      for (const { port = 0, real } of events.filter((event) => event.real === drained)) {
        const { newConnection, nextPacket, reals } = await explain(flowFrom(port));
        expect(nextPacket[0]).toMatchObject({ path: 'cache', reason: 'forwarded' });
        expect(nameOf(nextPacket[0]?.real ?? null)).toBe(real);
        expect(nameOf(newConnection.real)).not.toBe(real);
        expect(reals.find(({ id }) => id === drained)?.why).toBe('drained by people: keeps the flows it has');
      }
      expect((await downloads.flows()).filter(({ state }) => state !== 'open')).toEqual([]);
    } finally {
      await downloads.stop();
    }
  });

  it('says since when and why a real that died takes no flows', async () => {
    const dead = lab.real('r2');
    await dead.stop();
    try {
      await takes('r2', false);
      const { stdout } = await pilotfish(['explain', flowFrom(4_000), '--config', lb.configFile]);
      expect(stdout).toMatch(
        /^r2 .* active +down +0\.0 % +no +down since 20\d\d-.*Z: .+; its flows stay \(onDown: keep\)$/m,
      );
      expect(stdout).toMatch(/^Pool +web: 3 reals, new flows go to 2$/m);
    } finally {
      await dead.start();
    }
  });

  it('explains a flow that is for no VIP', async () => {
    const explained = await explain(`tcp ${lab.client.host.address}:4000 > ${vip}:81`);
    expect(explained).toMatchObject({ lb: 'lb1', vip: null, nearest: { name: 'web', port: 80 } });
  });
});
