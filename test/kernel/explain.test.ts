import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainInForce } from '../../src/agent-explain.ts';
import type { StateSources } from '../../src/agent-state.ts';
import { addressFromBytes } from '../../src/core/address.ts';
import { type Explanation, explainFlow } from '../../src/core/explain.ts';
import { flowHash, flowKeys } from '../../src/core/flow-hash.ts';
import type { RealObservation } from '../../src/core/health-state.ts';
import type { RealKey, Snapshot } from '../../src/core/model.ts';
import { frameOf } from '../../src/core/packet-frame.ts';
import { readFlow, readInquiry, readPacket, type TcpFlag } from '../../src/core/packet-words.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { buildTarget, type HostImage } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { rememberedFlow } from '../../src/dataplane/flow-cache.ts';
import { etherTypes, parseEthernet, parseIpv4, parseIpv6 } from '../support/frames.ts';
import { host, InForce, snapshotOf } from '../support/in-force.ts';
import { allowedCpus, ProgramBench } from '../support/program-bench.ts';
import { plainFlows, richInquiries, richState } from '../support/rich-state.ts';
import { traced } from '../support/trace.ts';

/** What explain says against what the real program does. */

const state = richState;
const snapshot = snapshotOf(state);
const macs = { from: host.gatewayMac, to: host.ownMac };
const frame = (text: string, ...flags: TcpFlag[]): Uint8Array =>
  frameOf(readPacket([text, ...(text.startsWith('tcp') ? flags : [])].join(' ')), macs);
const neighbours = new Map(
  snapshot.pools.get('near')?.reals.map(({ address }, i) => [address, `02:00:00:00:01:0${i}`]),
);

const rings = new RingBuilder();

/** As an agent of this host that has remembered nothing. */
function explainFor(text: string, changed: Partial<HostImage> = {}): Explanation {
  const target = buildTarget(snapshot, { ...host, neighbours, ...changed }, allUp(snapshot), new Map());
  return explainFlow(readInquiry(text), { snapshot, target, linkKnown: true, rings, health: null, remembered: null });
}

/** What of a flow the flow cache knows it by at most, so that no two of a sample are one to it. */
const pairOf = (text: string): string => text.replace(/:\d+ >/, ' >');

/** The outer addresses, and the ports where there are some. */
function outerOf(sent: Uint8Array) {
  const { type, payload } = parseEthernet(sent);
  const outer = type === etherTypes.ipv4 ? parseIpv4(payload) : parseIpv6(payload);
  const protocol = 'protocol' in outer ? outer.protocol : outer.nextHeader;
  const text = (address: string | Uint8Array): string =>
    typeof address === 'string' ? address : addressFromBytes(address);
  const ports = new DataView(outer.payload.buffer, outer.payload.byteOffset);
  const port = (at: number): number | null => (protocol === 17 ? ports.getUint16(at) : null);
  return { source: text(outer.from), destination: text(outer.to), sourcePort: port(0), destinationPort: port(2) };
}

describe('explain and trace', () => {
  it('agree on 2,000 random packets: VIP, pool, real, path, slot, reason, outer header and next hop', async () => {
    const texts = [...new Map(fc.sample(richInquiries, 2_000).map((text) => [pairOf(text), text])).values()];
    const opens = texts.map((text, i) => text.startsWith('tcp') && !/frag|server-id/.test(text) && i % 2 === 0);
    const frames = texts.map((text, i) => frame(text, opens[i] ? 'syn' : 'ack'));
    const sent = await traced(snapshot, frames, { neighbours });
    const seen = { reasons: new Set<string>(), paths: new Set<string | null>(), reals: new Set<string | null>() };
    texts.forEach((text, i) => {
      const explained = explainFor(text);
      const [next] = explained.nextPacket;
      const { reason, real, path, pool, sending } = opens[i] ? explained.newConnection : next!;
      const vip = explained.vip?.name ?? null;
      const slot = path === 'ring' || path === 'prefix' || reason === 'no_real' ? explained.slot : null;
      const { events: _, action, frame: out, ...told } = sent[i]!;
      expect({ text, ...told }).toEqual({ text, reason, vip, pool: pool ?? explained.pool, real, path, slot });
      if (action === 'TX' && sending?.outer !== null) expect(outerOf(out!)).toEqual(sending?.outer);
      if (action === 'TX' && sending?.encap === 'l2') expect(parseEthernet(out!).to).toBe(neighbours.get(real ?? ''));
      seen.reasons.add(reason);
      seen.paths.add(path);
      seen.reals.add(real);
    });
    expect(seen.reasons).toEqual(new Set(['forwarded', 'no_real', 'not_vip', 'fragment']));
    expect(seen.paths).toEqual(new Set(['ring', 'prefix', 'quic', 'stable', 'option', null]));
    // Every real that takes new flows, and none.
    expect(seen.reals.size).toBe(20 + 5 + 2 + 2 + 5 + 1);
  });

  it.each([
    ['ipip, IPv4 over IPv4', 'tcp 198.18.0.1:1 > 192.0.2.10:443', 1_480],
    ['ipip, IPv6 over IPv4', 'tcp [2001:db8::7]:1 > [2001:db8:ffff::10]:443', 1_480],
    ['gue over IPv4', 'udp 198.18.0.1:1 > 192.0.2.21:1', 1_472],
    ['gue over IPv6', 'tcp 198.18.0.1:1 > 192.0.2.27:1', 1_452],
    ['l2', 'tcp 198.18.0.1:1 > 192.0.2.25:80', 1_500],
  ])('agree on the largest packet that fits: %s', async (_what, text, largest) => {
    const explained = explainFor(text).newConnection;
    expect([explained.reason, explained.sending?.largest]).toEqual(['forwarded', largest]);
    const headers = (text.includes('[') ? 40 : 20) + (text.startsWith('tcp') ? 20 : 8);
    const packets = [largest, largest + 1].map((size) => `${text} len ${size - headers}`);
    const reasons = (await traced(snapshot, packets, { neighbours })).map(({ reason }) => reason);
    expect(reasons).toEqual(['forwarded', 'too_big_answered']);
  });

  it('agree on a real that is this host', async () => {
    const text = 'tcp 198.18.0.1:1 > 192.0.2.10:443';
    const local = new Set(snapshot.pools.get('web')?.reals.map(({ address }) => address));
    const { reason, real } = explainFor(text, { local }).newConnection;
    expect(await traced(snapshot, [text], { local })).toMatchObject([{ action: 'PASS', reason, real }]);
    expect(reason).toBe('local_real');
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
    bench = await ProgramBench.load({ vips: 32, pools: 8, flowsPerCpu });
    inForce = new InForce(bench.store);
  });

  afterEach(() => bench[Symbol.dispose]());

  const put = (tree: object): Promise<StateSources> => inForce.put(snapshotOf(tree), observed(snapshotOf(tree)));
  const explain = (text: string, sources: StateSources): Explanation => explainInForce(text, sources, bench.loaded);

  /** The real that the program sends this packet to on this CPU; the reason when it sends it nowhere. */
  function send(bytes: Uint8Array, cpu: number): string {
    bench.cpu = cpu;
    return bench.realOf(bytes);
  }

  const drainHalf = {
    ...state,
    pools: { ...state.pools, web: { ...state.pools.web, reals: { ...state.pools.web.reals, ...halfDrained() } } },
  };

  function halfDrained(): object {
    return Object.fromEntries(
      Array.from({ length: 10 }, (_, i) => [`r${i}`, { address: `10.0.1.${i + 1}`, state: 'drain' }]),
    );
  }

  it('is read as the program reads it, CPU by CPU, after half of the reals were drained', async () => {
    await put(state);
    const flows = fc.sample(fc.nat(0xffff), 60).map((port) => `tcp 198.51.100.7:${port} > 192.0.2.10:443`);
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
    // Else a flow that shares the note of another one is not looked for.
    bench.store.unsettle(Array.from({ length: bench.store.maxEntries('rings') }, (_, number) => number));
    const keys = flowKeys(state.settings.seed);
    const pairs = fc.tuple(fc.ipV4(), fc.nat(9)).map(([source, port]) => `udp ${source}:${port} > 192.0.2.26:53`);
    const uncached = fc.ipV4().map((source) => `udp ${source}:1 > 192.0.2.21:1`);
    const cachedFlows = fc.oneof(plainFlows, pairs, uncached);
    fc.assert(
      fc.property(cachedFlows, fc.constantFrom(first, second), (flow, cpu) => {
        const { owner, cacheMode } = explain(flow, sources);
        const hash = flowHash(keys, readFlow(flow), cacheMode ?? '5-tuple');
        const before = rememberedFlow(bench.store, hash, bench.loaded.flowsPerCpu);
        bench.cpu = cpu;
        const { reason } = bench.send(frame(flow, 'syn'));
        const after = rememberedFlow(bench.store, hash, bench.loaded.flowsPerCpu);
        const others = before.filter((one) => one.cpu !== cpu);
        expect(after.filter((one) => one.cpu !== cpu)).toEqual(others);
        const here = after.filter((one) => one.cpu === cpu).map(({ real }) => real?.address);
        expect(here).toEqual(reason === 'forwarded' && cacheMode !== null ? [owner] : []);
      }),
      { numRuns: 200 },
    );
  });

  it('is void for a real that is gone, and for the next user of its number', async () => {
    const one = (address: string): object => ({
      vips: { web: state.vips.web },
      pools: { web: { ...state.pools.web, reals: { r: { address } } } },
    });
    const flow = 'tcp 198.51.100.7:40000 > 192.0.2.10:443';
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
