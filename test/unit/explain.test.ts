import { beforeEach, describe, expect, it } from 'vitest';
import { explainInForce } from '../../src/agent-explain.ts';
import type { StateSources } from '../../src/agent-state.ts';
import type { Explanation } from '../../src/core/explain.ts';
import { flowHash, flowKeys } from '../../src/core/flow-hash.ts';
import type { Observation } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';
import { readFlow } from '../../src/core/packet-words.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import {
  A,
  allUp,
  B,
  C,
  D,
  entryOf,
  flow,
  flowCache,
  hash,
  observations,
  seed,
  since,
  slot,
  state,
} from '../support/explain.ts';
import { writeBucket } from '../support/flow-buckets.ts';
import { InForce, snapshotOf } from '../support/in-force.ts';

const nowhere = (reason: string) => ({ reason, real: null, pool: null, path: null, sending: null });

describe('what is in force', () => {
  let store: MemoryMapStore;
  let inForce: InForce;

  beforeEach(() => {
    store = new MemoryMapStore();
    inForce = new InForce(store);
  });

  function put(
    tree: object,
    of: Readonly<Record<string, Observation>> = allUp,
    changed: Parameters<InForce['put']>[2] = {},
  ): Promise<StateSources> {
    return inForce.put(snapshotOf(tree), observations(of), changed);
  }

  function explain(sources: StateSources, text = flow): Explanation {
    return explainInForce(text, sources, flowCache);
  }

  function withReals(reals: object, pool: object = {}): object {
    return { ...state, pools: { ...state.pools, web: { ...state.pools.web, ...pool, reals } } };
  }

  const whyOf = ({ reals }: Explanation, address: string): string | undefined =>
    reals.find((real) => real.address === address)?.why;

  it('explains each step of a flow', async () => {
    const sending = {
      encap: 'ipip',
      outer: { source: '172.16.235.11', destination: A, sourcePort: null, destinationPort: null },
      mac: '02:00:00:00:00:01',
      overhead: 20,
      largest: 1480,
    };
    const forwarded = { reason: 'forwarded', real: A, pool: 'web', path: 'ring', sending };
    expect(explain(await put(state))).toEqual({
      flow,
      vip: { name: 'web-443', address: '192.0.2.10', port: 443, protocol: 'tcp', match: 'exact port' },
      nearest: null,
      ids: [],
      client: null,
      pool: 'web',
      floor: false,
      mode: '5-tuple',
      hash,
      slot,
      owner: A,
      reals: [
        {
          id: 'r1',
          address: A,
          weight: 100,
          state: 'active',
          health: 'up',
          since,
          slots: 65_537,
          takesNewFlows: true,
          why: 'up since 2026-01-02T03:04:05.000Z: answers',
        },
        {
          id: 'r2',
          address: B,
          weight: 0,
          state: 'active',
          health: 'up',
          since,
          slots: 0,
          takesNewFlows: false,
          why: 'weight 0: keeps the flows it has',
        },
        {
          id: 'r3',
          address: C,
          weight: 100,
          state: 'drain',
          health: 'up',
          since,
          slots: 0,
          takesNewFlows: false,
          why: 'drained by people: keeps the flows it has',
        },
      ],
      cacheMode: '5-tuple',
      cache: [],
      nextPacket: [{ ...forwarded, cpu: null }],
      newConnection: forwarded,
    });
  });

  it.each([
    ['an exact port before every port', 'tcp 1.2.3.4:5 > 192.0.2.11:22', 'all-22', 'exact port'],
    ['every port', 'tcp 1.2.3.4:5 > 192.0.2.11:23', 'all', 'every port'],
    ['port 0 of every port', 'tcp 1.2.3.4:5 > 192.0.2.11:0', 'all', 'every port'],
  ])('matches %s', async (_what, text, name, match) => {
    expect(explain(await put(state), text).vip).toMatchObject({ name, match });
  });

  it.each([
    ['another port', 'tcp 1.2.3.4:5 > 192.0.2.10:444', { name: 'web-443', port: 443, protocol: 'tcp' }],
    ['a port nearer to another VIP', 'tcp 1.2.3.4:5 > 192.0.2.10:8000', { name: 'web-8443' }],
    ['another protocol', 'udp 1.2.3.4:5 > 192.0.2.10:443', { name: 'web-443', protocol: 'tcp' }],
    ['every port of another protocol', 'udp 1.2.3.4:5 > 192.0.2.11:80', { name: 'all', port: 0 }],
  ])('names the nearest VIP of the address for %s', async (_what, text, nearest) => {
    const explained = explain(await put(state), text);
    expect(explained).toMatchObject({ vip: null, nearest, pool: null, hash: null, slot: null, reals: [], cache: [] });
    expect(explained.newConnection).toEqual(nowhere('not_vip'));
  });

  it('names no VIP where the address has none', async () => {
    expect(explain(await put(state), 'tcp 1.2.3.4:5 > 192.0.2.99:443')).toMatchObject({ vip: null, nearest: null });
  });

  it('is not for a VIP whose prefix contains an address of this host', async () => {
    const wide = JSON.parse(JSON.stringify(state).replaceAll('192.0.2.10', '192.0.2.0/24')) as typeof state;
    const text = 'tcp 1.2.3.4:5 > 192.0.2.99:443';
    expect(explain(await put(wide), text).vip).not.toBeNull();
    const own = explain(await put(wide, allUp, { own: new Set(['192.0.2.99']) }), text);
    expect(own.newConnection).toEqual(nowhere('not_vip'));
    expect(own.vip).toBeNull();
  });

  it('says why each real takes no new flows', async () => {
    const reals = {
      r1: { address: A },
      r2: { address: B, state: 'maintenance' },
      r3: { address: C },
      r4: { address: D },
    };
    const explained = explain(
      await put(withReals(reals, { minHealthy: '0%' }), { ...allUp, [A]: 'down', [C]: 'unknown' }),
    );
    expect(explained.reals.map((real) => [real.address, real.takesNewFlows])).toEqual([
      [A, false],
      [B, false],
      [C, false],
      [D, true],
    ]);
    expect(whyOf(explained, A)).toBe(
      'down since 2026-01-02T03:04:05.000Z: connection refused; its flows stay (onDown: keep)',
    );
    expect(whyOf(explained, B)).toBe('in maintenance by the word of people: takes no flows at all');
    expect(whyOf(explained, C)).toBe('health not known yet: not yet judged');
    expect(explained.owner).toBe(D);
  });

  it('says that a real nobody checks is not known', async () => {
    expect(whyOf(explain(await put(state, {})), A)).toBe('health not known yet: not checked: no VIP uses the pool');
  });

  it('says that flows of a down real are void under onDown: rehash', async () => {
    const tree = withReals({ r1: { address: A }, r4: { address: D } }, { onDown: 'rehash', minHealthy: '0%' });
    expect(whyOf(explain(await put(tree, { ...allUp, [A]: 'down' })), A)).toContain('void (onDown: rehash)');
  });

  it('says when health is ignored', async () => {
    const explained = explain(await put(state, { ...allUp, [A]: 'down' }));
    expect(explained.floor).toBe(true);
    expect(whyOf(explained, A)).toBe(
      'down since 2026-01-02T03:04:05.000Z (connection refused), but less than 50 % of the weight is up (minHealthy), so health is ignored',
    );
    expect(explained.newConnection).toMatchObject({ reason: 'forwarded', real: A });
  });

  it('says when the ring has not followed yet', async () => {
    const sources = await put(state);
    const down = explain({ ...sources, observations: observations({ ...allUp, [A]: 'down' }) });
    expect([down.reals[0]?.takesNewFlows, whyOf(down, A)]).toEqual([
      true,
      expect.stringMatching(/^down since .*: connection refused; the ring is about to follow$/),
    ]);
  });

  it('explains an empty ring', async () => {
    const explained = explain(await put(state), 'tcp 1.2.3.4:5 > 192.0.2.11:22');
    const none = nowhere('no_real');
    expect(explained).toMatchObject({ pool: 'idle', owner: null, newConnection: none });
    expect(explained.nextPacket).toEqual([{ ...none, cpu: null }]);
  });

  it('explains a lack of the gateway', async () => {
    const explained = explain(await put(state, allUp, { gatewayMac: '00:00:00:00:00:00' }));
    expect(explained.newConnection).toMatchObject({ reason: 'no_gateway', real: A, pool: 'web', path: 'ring' });
  });

  const number = ({ status }: StateSources, address: string): number =>
    [...(status.observed?.reals ?? [])].find(([, real]) => real.address === address)?.[0] ?? 0;

  function remember(real: number, generation: number): void {
    writeBucket(store, 0, [0n, 0n, 0n, entryOf(real, generation)]);
  }

  it('knows where the flow cache keeps a flow after its real was drained', async () => {
    const before = await put(withReals({ r1: { address: A }, r4: { address: D } }));
    const kept = number(before, A);
    remember(kept, 0);
    const explained = explain(await put(withReals({ r1: { address: A, state: 'drain' }, r4: { address: D } })));
    expect(explained.cache).toEqual([{ cpu: 0, real: { address: A, pool: 'web' } }]);
    expect(explained.nextPacket).toMatchObject([
      { reason: 'forwarded', real: A, pool: 'web', path: 'cache', cpu: 0 },
      { reason: 'forwarded', real: D, pool: 'web', path: 'ring', cpu: null },
    ]);
    expect(explained.newConnection.real).toBe(D);
  });

  it('tells an entry that is void from one that holds', async () => {
    remember(number(await put(withReals({ r1: { address: A }, r4: { address: D } })), A), 0);
    const explained = explain(await put(withReals({ r4: { address: D } })));
    expect(explained.cache).toEqual([{ cpu: 0, real: null }]);
    expect(explained.nextPacket.map(({ real }) => real)).toEqual([D]);
  });

  // 1 s less than 15 ticks of 2 s is 14 ticks.
  it.each([
    [0, A],
    [14, A],
    [15, null],
  ])('tells a UDP flow that was silent for too long: %i ticks', async (ago, real) => {
    const dns = { ...state, vips: { dns: { ...state.vips.dns, udpTimeout: '29s' } } };
    const sources = await put(dns);
    const text = 'udp 1.2.3.4:5 > 192.0.2.12:53';
    const itsHash = flowHash(flowKeys(seed), readFlow(text), '5-tuple');
    const entry = entryOf(number(sources, A), 0, itsHash, flowCache.tick() - ago);
    writeBucket(store, 0, [entry]);
    expect(explain(sources, text).cache).toEqual([
      { cpu: 0, real: real === null ? null : { address: real, pool: 'web' } },
    ]);
  });

  it('names the pool of a remembered real that is not the VIP’s any more', async () => {
    remember(number(await put(state), A), 0);
    const moved = { ...state.vips, 'web-443': { ...state.vips['web-443'], pool: 'new' } };
    const pools = { ...state.pools, new: { checks: [{ type: 'tcp', port: 80 }], reals: { n: { address: D } } } };
    const sources = await inForce.put(
      snapshotOf({ vips: moved, pools }),
      new Map([
        ...observations(allUp),
        [realKey('new', D), { pool: 'new', address: D, observation: 'up', reason: '', since }] as const,
      ]),
    );
    const explained = explain(sources);
    expect(explained.nextPacket[0]).toMatchObject({ real: A, pool: 'web', path: 'cache' });
    expect(explained.newConnection).toMatchObject({ real: D, pool: 'new' });
  });

  it('refuses while nothing is in force', async () => {
    const sources = await put(state);
    const none = { ...sources, status: { ...sources.status, snapshot: null, target: null, observed: null } };
    expect(() => explain(none)).toThrow('no state is in force on this LB yet');
  });
});
