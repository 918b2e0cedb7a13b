import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainInForce } from '../../src/agent-explain.ts';
import type { StateSources } from '../../src/agent-state.ts';
import { explainOffline } from '../../src/cli/explain.ts';
import { addressFromBytes } from '../../src/core/address.ts';
import type { Explanation } from '../../src/core/explain.ts';
import { type Flow, flowHash, flowKeys } from '../../src/core/flow-hash.ts';
import type { RealObservation } from '../../src/core/health-state.ts';
import type { RealKey, Snapshot } from '../../src/core/model.ts';
import { frameOf } from '../../src/core/packet-frame.ts';
import { flowText, readFlow, readPacket, type TcpFlag } from '../../src/core/packet-words.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { rememberedFlow } from '../../src/dataplane/flow-cache.ts';
import { pilotfish } from '../support/command.ts';
import { host, InForce, snapshotOf } from '../support/in-force.ts';
import { pcapFile } from '../support/pcap.ts';
import { allowedCpus, ProgramBench } from '../support/program-bench.ts';

/** What explain says against what the real program does. */

const reals = (count: number, fields: object = {}): object =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, { address: `10.0.1.${i + 1}`, ...fields }]));

const vip6 = '2001:db8:ffff::10';
const state = {
  settings: { seed: 'c0ffee' },
  vips: {
    web: { address: '192.0.2.10', port: 443, protocol: 'tcp', pool: 'web' },
    web6: { address: vip6, port: 443, protocol: 'tcp', pool: 'web' },
    all: { address: '192.0.2.11', port: 0, protocol: 'udp', pool: 'mixed' },
    'all-53': { address: '192.0.2.11', port: 53, protocol: 'udp', pool: 'web' },
    empty: { address: '192.0.2.12', port: 80, protocol: 'tcp', pool: 'empty' },
  },
  pools: {
    web: { checks: [{ type: 'tcp', port: 80 }], reals: reals(20) },
    mixed: {
      checks: [{ type: 'tcp', port: 80 }],
      reals: {
        a: { address: '10.0.2.1', weight: 7 },
        b: { address: '2001:db8:1::1', weight: 300 },
        c: { address: '10.0.2.3', state: 'drain' },
        d: { address: '10.0.2.4', weight: 0 },
      },
    },
    empty: {},
  },
};
const snapshot = snapshotOf(state);

const anyIpv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(addressFromBytes);
const destinations = [
  ['tcp', '192.0.2.10', 443],
  ['tcp', '192.0.2.10', 444],
  ['tcp', vip6, 443],
  ['udp', '192.0.2.11', 53],
  ['udp', '192.0.2.11', 5_353],
  ['tcp', '192.0.2.12', 80],
  ['udp', '192.0.2.99', 80],
] as const;
const flowArb: fc.Arbitrary<Flow> = fc.constantFrom(...destinations).chain(([protocol, destination, destinationPort]) =>
  fc.record({
    protocol: fc.constant(protocol),
    source: destination === vip6 ? anyIpv6 : fc.ipV4(),
    sourcePort: fc.nat(0xffff),
    destination: fc.constant(destination),
    destinationPort: fc.constant(destinationPort),
  }),
);

const macs = { from: host.gatewayMac, to: host.ownMac };
const frame = (flow: Flow, ...flags: TcpFlag[]): Uint8Array =>
  frameOf(readPacket([flowText(flow), ...(flow.protocol === 'tcp' ? flags : [])].join(' ')), macs);

describe('explain and trace', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pilotfish-explain-'));

  afterAll(() => rmSync(directory, { recursive: true }));

  it('agree on 500 random flows: VIP, pool, real, slot and reason', async () => {
    const flows = fc.sample(flowArb, 500);
    writeFileSync(join(directory, 'state.yaml'), JSON.stringify(state));
    writeFileSync(join(directory, 'in.pcap'), pcapFile(flows.map((flow) => frame(flow, 'syn'))));
    const { code, stdout } = await pilotfish([
      'trace',
      '--state',
      join(directory, 'state.yaml'),
      '--in',
      join(directory, 'in.pcap'),
    ]);
    expect(code).toBe(0);
    const traced = stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
      .map(({ reason, vip, pool, real, slot }) => ({ reason, vip, pool, real, slot }));
    const explained = flows.map((flow) => {
      const { vip, pool, slot, newConnection } = explainOffline(snapshot, flow);
      const { reason, real } = newConnection;
      // The program does not tell the slot that it found empty.
      return { reason, vip: vip?.name ?? null, pool, real, slot: real === null ? null : slot };
    });
    expect(explained).toEqual(traced);
    expect(new Set(explained.map(({ reason }) => reason))).toEqual(new Set(['forwarded', 'no_real', 'not_vip']));
    expect(new Set(explained.map(({ real }) => real)).size).toBeGreaterThan(20);
  });
});

function observed(snap: Snapshot): Map<RealKey, RealObservation> {
  return new Map(
    [...allUp(snap)].map(([key, observation]) => {
      const [pool = '', address = ''] = key.split('|');
      return [key, { pool, address, observation, reason: 'answers', since: 0 }] as const;
    }),
  );
}

describe.each([8, 64, 65_536])('the flow cache of %i entries for each CPU', (flowsPerCpu) => {
  const [first = 0, second = first] = allowedCpus();
  let bench: ProgramBench;
  let inForce: InForce;

  beforeEach(async () => {
    bench = await ProgramBench.load({ flowsPerCpu });
    inForce = new InForce(bench.store);
  });

  afterEach(() => bench[Symbol.dispose]());

  const put = (tree: object): Promise<StateSources> => inForce.put(snapshotOf(tree), observed(snapshotOf(tree)));
  const explain = (flow: Flow, sources: StateSources): Explanation =>
    explainInForce(flowText(flow), sources, bench.loaded.flowsPerCpu);

  /** The real that the program sends this packet to on this CPU; the reason when it sends it nowhere. */
  function send(bytes: Uint8Array, cpu: number): string {
    bench.cpu = cpu;
    return bench.realOf(bytes);
  }

  const drainHalf = {
    ...state,
    pools: { ...state.pools, web: { ...state.pools.web, reals: { ...reals(20), ...halfDrained() } } },
  };

  function halfDrained(): object {
    return Object.fromEntries(
      Array.from({ length: 10 }, (_, i) => [`r${i}`, { address: `10.0.1.${i + 1}`, state: 'drain' }]),
    );
  }

  it('is read as the program reads it, CPU by CPU, after half of the reals were drained', async () => {
    await put(state);
    const flows = fc.sample(fc.nat(0xffff), 60).map((port) => readFlow(`tcp 198.51.100.7:${port} > 192.0.2.10:443`));
    // Some on one CPU, some on the other, some on both, some nowhere.
    flows.forEach((flow, i) => {
      if (i % 2 === 0) send(frame(flow, 'syn'), first);
      if (i % 3 === 0) send(frame(flow, 'syn'), second);
    });
    const sources = await put(drainHalf);
    let cached = 0;
    // The newest first: in the smallest cache the oldest are pushed out already.
    for (const flow of flows.toReversed()) {
      const { nextPacket, newConnection } = explain(flow, sources);
      const expected = new Map(
        [first, second].map((cpu) => {
          const outcome = nextPacket.find((one) => one.cpu === cpu) ?? nextPacket.find((one) => one.cpu === null);
          if (outcome?.path === 'cache') cached++;
          return [cpu, outcome?.real];
        }),
      );
      // A packet may push another flow of the test out, so each is asked right before it is sent.
      for (const [cpu, real] of expected) expect(send(frame(flow, 'ack'), cpu)).toBe(real);
      expect(send(frame(flow, 'syn'), first)).toBe(newConnection.real);
    }
    expect(cached).toBeGreaterThan(flowsPerCpu === 8 ? 0 : 5);
  });

  it('remembers what it was just shown, and on that CPU alone', async () => {
    const sources = await put(state);
    const keys = flowKeys(state.settings.seed);
    fc.assert(
      fc.property(flowArb, fc.constantFrom(first, second), (flow, cpu) => {
        const before = rememberedFlow(bench.store, flowHash(keys, flow), bench.loaded.flowsPerCpu);
        bench.cpu = cpu;
        const { reason } = bench.send(frame(flow, 'syn'));
        const after = rememberedFlow(bench.store, flowHash(keys, flow), bench.loaded.flowsPerCpu);
        const others = before.filter((one) => one.cpu !== cpu);
        expect(after.filter((one) => one.cpu !== cpu)).toEqual(others);
        const here = after.filter((one) => one.cpu === cpu).map(({ real }) => real?.address);
        expect(here).toEqual(reason === 'forwarded' ? [explain(flow, sources).owner] : []);
      }),
      { numRuns: 200 },
    );
  });

  it('is void for a real that is gone, and for the next user of its number', async () => {
    const one = (address: string): object => ({
      vips: { web: state.vips.web },
      pools: { web: { ...state.pools.web, reals: { r: { address } } } },
    });
    const flow = readFlow('tcp 198.51.100.7:40000 > 192.0.2.10:443');
    // Room for two reals: the third one has to take the number of the first.
    using small = await ProgramBench.load({ flowsPerCpu, reals: 1 });
    const maps = new InForce(small.store);
    const bring = (address: string): Promise<StateSources> => {
      const next = snapshotOf(one(address));
      return maps.put(next, observed(next));
    };
    small.cpu = first;
    const before = await bring('10.0.1.1');
    expect(small.realOf(frame(flow, 'syn'))).toBe('10.0.1.1');
    expect(explain(flow, before).cache).toEqual([{ cpu: first, real: { address: '10.0.1.1', pool: 'web' } }]);
    const after = await bring('10.0.1.2');
    expect(explain(flow, after).cache).toEqual([{ cpu: first, real: null }]);
    expect(explain(flow, after).nextPacket).toMatchObject([{ cpu: null, real: '10.0.1.2', path: 'ring' }]);
    const again = await bring('10.0.1.3');
    const numbers = [before, again].map(({ status }) => [...(status.observed?.reals.keys() ?? [])]);
    expect(numbers[1]).toEqual(numbers[0]);
    expect(explain(flow, again).cache).toEqual([{ cpu: first, real: null }]);
    expect(small.realOf(frame(flow, 'ack'))).toBe('10.0.1.3');
    expect(explain(flow, again).cache).toEqual([{ cpu: first, real: { address: '10.0.1.3', pool: 'web' } }]);
  });
});
