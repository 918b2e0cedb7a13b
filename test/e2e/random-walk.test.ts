import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LabLb, statePrefix } from '../../lab/agent.ts';
import { Lab } from '../../lab/lab.ts';
import { until } from '../../lab/until.ts';
import { checkTargets } from '../../src/core/check-targets.ts';
import { type Revision, realKey } from '../../src/core/model.ts';
import { type ParsedState, parseState } from '../../src/core/parse-state.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { digestState } from '../../src/core/state-digest.ts';
import { buildTarget } from '../../src/core/target.ts';
import { EtcdStore } from '../../src/sync/etcd-store.ts';
import { pilotfish } from '../support/command.ts';
import { needs } from '../support/require.ts';
import { StateWalk, type WalkStep } from '../support/state-walk.ts';

const steps = 500;
/** When an LB goes, and how many steps it misses. */
const restarts = [
  { at: 150, lb: 'lb2', missed: 20 },
  { at: 330, lb: 'lb1', missed: 5 },
];
const host = {
  mtu: 1_500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  tunnels: [],
  own: new Set<string>(),
  local: new Set<string>(),
  neighbours: new Map<string, string>(),
};

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool'))('a random walk over the state', () => {
  let lab: Lab;
  let store: EtcdStore;

  beforeAll(async () => {
    lab = await Lab.up({ lbs: 2, reals: 6 });
    store = new EtcdStore({ endpoints: [lab.etcd.endpoint], prefix: statePrefix });
  });

  afterAll(async () => {
    store?.close();
    await lab?.down();
  });

  it(`leaves two LBs with equal digests after each of ${steps} steps, also after restarts`, async () => {
    const walk = new StateWalk(
      20_261,
      lab.reals.map(({ address }) => address),
    );
    const rings = new RingBuilder();
    const running = new Set<LabLb>(lab.lbs);
    const digests = new Set<string>();
    let parsed: ParsedState | null = null;
    let refused = 0;

    /** What every LB has to come to, by the same functions, with every real up. */
    const expectedAt = (revision: Revision): string => {
      parsed = parseState(walk.keys, revision, parsed);
      const { snapshot } = parsed;
      const up = new Map(checkTargets(snapshot).map(({ pool, address }) => [realKey(pool, address), 'up'] as const));
      if (snapshot.rejected.length > 0) refused += 1;
      return digestState(snapshot, buildTarget(snapshot, host, up, new Map()), rings).state ?? '';
    };

    const has = async (lb: LabLb, digest: string, number: number): Promise<boolean> => {
      const state = await lb.state();
      return (state.revision?.number ?? 0) >= number && state.digest === digest;
    };

    const take = async (step: WalkStep, name: string): Promise<void> => {
      const revision = await store.apply(step);
      if (revision === null) return;
      const digest = expectedAt(revision);
      digests.add(digest);
      for (const lb of running)
        await until(() => has(lb, digest, revision.number), {
          what: `${lb.name} has digest ${digest.slice(0, 12)} after ${name}: ${step.what}`,
          timeoutMs: 5_000,
        });
    };

    /** What one LB remembers of a key that is bad now an LB that starts anew cannot know. */
    const mend = async (): Promise<void> => {
      for (let bad = badKeys(parsed); bad.length > 0; bad = badKeys(parsed)) await take(walk.remove(bad), 'mending');
    };

    await take(walk.begin(), 'the first step');
    for (let i = 1; i <= steps; i++) {
      for (const { at, lb, missed } of restarts) {
        if (i === at) {
          await lab.lb(lb).kill();
          running.delete(lab.lb(lb));
        }
        if (i === at + missed) {
          await mend();
          await lab.lb(lb).start();
          running.add(lab.lb(lb));
        }
      }
      await take(walk.next(), `step ${i}`);
    }

    // The walk has to have gone somewhere for all this to mean anything.
    expect(digests.size).toBeGreaterThan(steps / 2);
    expect(refused).toBeGreaterThan(steps / 5);
    // An agent that was killed publishes only when the lease of its earlier life has run out.
    const agree = async () => (await pilotfish(['fleet', '--config', lab.lb('lb1').configFile])).code === 0;
    await until(agree, { what: 'the fleet is seen to agree', timeoutMs: 20_000 });
  });
});

function badKeys(parsed: ParsedState | null): string[] {
  return [...new Set((parsed?.snapshot.rejected ?? []).map(({ path }) => path.split(': ', 1)[0] ?? path))];
}
