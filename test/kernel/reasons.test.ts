import { describe, expect, it } from 'vitest';
import { frameOf } from '../../src/core/packet-frame.ts';
import { readPacket } from '../../src/core/packet-words.ts';
import { buildTarget, type HostImage } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { decode, indexKey } from '../../src/dataplane/codec.ts';
import { reasonNames } from '../../src/dataplane/counters.ts';
import { enums } from '../../src/dataplane/layout.gen.ts';
import type { ProgramSizes } from '../../src/dataplane/program.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';
import type { Segment } from '../support/frames.ts';
import { arp, ethernet, etherTypes, icmp, ipv4, rawSegment, tcp } from '../support/frames.ts';
import { host, snapshotOf } from '../support/in-force.ts';
import { ProgramBench, type Sent } from '../support/program-bench.ts';
import { traced } from '../support/trace.ts';

/** Every reason, path and event of bpf/layout.h, each raised by a packet. */

const client = '198.51.100.7';
const tunnelEnd = '198.18.0.1';
const checks = [{ type: 'tcp', port: 80 }];
const snapshot = snapshotOf({
  vips: {
    web: { address: '192.0.2.10', port: 443, protocol: 'tcp', pool: 'web', tcpServerId: true },
    quic: { address: '192.0.2.10', port: 443, protocol: 'udp', pool: 'web', quic: 'katran', udpStableRouting: true },
    empty: { address: '192.0.2.20', port: 80, protocol: 'tcp', pool: 'empty' },
    near: {
      address: '192.0.2.21',
      port: 80,
      protocol: 'tcp',
      pool: 'empty',
      clients: [{ prefix: '198.51.100.0/24', pool: 'near' }],
    },
  },
  pools: {
    web: { checks, reals: { r1: { address: '10.0.0.11', serverIds: [1234] } } },
    near: { checks, encap: 'l2', reals: { r1: { address: '10.0.0.41' } } },
    empty: {},
  },
});

const web = `tcp ${client}:40000 > 192.0.2.10:443`;
const quic = `udp ${client}:40000 > 192.0.2.10:443`;
const near = `tcp ${client}:40000 > 192.0.2.21:80`;
const toWeb = (header: object, segment: Segment = tcp({ from: 40_000, to: 443 })): Uint8Array =>
  ethernet(ipv4({ from: client, to: '192.0.2.10', ...header }, segment));
const tunnel = (inner: Uint8Array): Uint8Array => ipv4({ from: '198.18.0.9', to: tunnelEnd }, rawSegment(4, inner));
const inner = toWeb({}).subarray(14);

interface Case {
  /** The last one is looked at. */
  readonly packets: readonly (Uint8Array | string)[];
  readonly host?: Partial<HostImage>;
  readonly becomes: object;
}

const unknownMac = '00:00:00:00:00:00';
const tunnels = [{ address: tunnelEnd, guePort: 6080 }];
const found = { vip: 'web', pool: 'web', real: '10.0.0.11', path: 'ring' };
const neighbours = new Map([['10.0.0.41', '02:00:00:00:00:41']]);

const byReason: Readonly<Record<string, Case>> = {
  not_ip: { packets: [ethernet(arp(client, '192.0.2.10'), { type: etherTypes.arp })], becomes: { action: 'PASS' } },
  unreadable: { packets: [toWeb({ version: 5 })], becomes: { action: 'PASS', vip: null } },
  not_vip: { packets: [`tcp ${client}:1 > 192.0.2.10:444`], becomes: { action: 'PASS', vip: null, pool: null } },
  icmp_other: { packets: [toWeb({}, icmp(13))], becomes: { action: 'PASS', vip: null } },
  local_real: { packets: [web], host: { local: new Set(['10.0.0.11']) }, becomes: { action: 'PASS', ...found } },
  fragment: { packets: [`${web} frag 1480 len 8`], becomes: { action: 'DROP', vip: null } },
  ip_options: { packets: [toWeb({ options: new Uint8Array(4) })], becomes: { action: 'DROP', vip: null } },
  malformed: { packets: [toWeb({ totalLength: 1400 })], becomes: { action: 'DROP', vip: null } },
  no_real: {
    packets: [`tcp ${client}:1 > 192.0.2.20:80`],
    becomes: { action: 'DROP', vip: 'empty', pool: 'empty', real: null, path: null, slot: expect.any(Number) },
  },
  no_gateway: { packets: [web], host: { gatewayMac: unknownMac }, becomes: { action: 'DROP', ...found } },
  no_neighbour: {
    packets: [near],
    becomes: { action: 'DROP', vip: 'near', pool: 'near', real: '10.0.0.41', path: 'prefix' },
  },
  too_big: { packets: [`${web} nodf len 1441`], becomes: { action: 'DROP', ...found } },
  nested: {
    packets: [ethernet(tunnel(tunnel(inner)))],
    host: { tunnels },
    becomes: { action: 'DROP', vip: null, events: ['opened'] },
  },
  expired: {
    packets: [ethernet(ipv4({ from: '198.18.0.9', to: tunnelEnd, ttl: 1 }, rawSegment(4, inner)))],
    host: { tunnels },
    becomes: { action: 'DROP', ...found, events: ['opened'] },
  },
  forwarded: { packets: [web], becomes: { action: 'TX', ...found, slot: 12_557, events: null } },
  echo_answered: { packets: [`icmp ${client} > 192.0.2.10 echo`], becomes: { action: 'TX', vip: null, real: null } },
  too_big_answered: { packets: [`${web} len 1441`], becomes: { action: 'TX', ...found } },
};

const byPath: Readonly<Record<string, Case>> = {
  cache: { packets: [web, web], becomes: { real: '10.0.0.11', slot: null } },
  ring: { packets: [web], becomes: { real: '10.0.0.11', slot: 12_557 } },
  quic: { packets: [`${quic} cid 800004d200000000`], becomes: { real: '10.0.0.11', slot: null } },
  option: { packets: [`${web} server-id 1234`], becomes: { real: '10.0.0.11', slot: null } },
  stable: { packets: [`${quic} stable 1234`], becomes: { real: '10.0.0.11', slot: null } },
  prefix: { packets: [near], host: { neighbours }, becomes: { vip: 'near', pool: 'near', slot: expect.any(Number) } },
  icmp: {
    packets: [`icmp 203.0.113.1 > 192.0.2.10 too-big about ${web}`],
    becomes: { action: 'TX', reason: 'forwarded', ...found, path: 'icmp', slot: 12_557 },
  },
};

const byEvent: Readonly<Record<string, Case>> = {
  unknown_id: { packets: [`${web} server-id 99`], becomes: { reason: 'forwarded', path: 'ring' } },
  opened: { packets: [ethernet(tunnel(inner))], host: { tunnels }, becomes: { reason: 'forwarded', path: 'ring' } },
};

const frame = (words: string): Uint8Array => frameOf(readPacket(words), { from: host.gatewayMac, to: host.ownMac });
const last = async ({ packets, host = {} }: Case) => (await traced(snapshot, packets, host)).at(-1);

describe('a trace raises', () => {
  it.each(Object.entries(byReason))('the reason %s', async (reason, raising) => {
    expect(await last(raising)).toMatchObject({ reason, ...raising.becomes });
  });

  it.each(Object.entries(byPath))('the path %s', async (path, raising) => {
    expect(await last(raising)).toMatchObject({ path, ...raising.becomes });
  });

  it.each(Object.entries(byEvent))('the event %s', async (event, raising) => {
    expect(await last(raising)).toMatchObject({ events: [event], ...raising.becomes });
  });

  it('a redirect with egress, and no other way for answers', async () => {
    const packets = [web, `icmp ${client} > 192.0.2.10 echo`, `tcp ${client}:1 > 192.0.2.10:444`];
    const actions = (await traced(snapshot, packets, { egress: true })).map(({ action }) => action);
    expect(actions).toEqual(['REDIRECT', 'TX', 'PASS']);
  });
});

describe('a trace has room', () => {
  it('for every address of a prefix that inherits its ports, and for many ids of few reals', async () => {
    const vip = (address: string, port: number): object => ({
      address,
      port,
      protocol: 'tcp',
      pool: 'web',
      tcpServerId: true,
    });
    const ports = Array.from({ length: 40 }, (_, i) => [`port-${i}`, vip('192.0.2.0/24', 1_000 + i)]);
    const hosts = Array.from({ length: 60 }, (_, i) => [`host-${i}`, vip(`192.0.2.${i}`, 80)]);
    const serverIds = Array.from({ length: 200 }, (_, i) => i + 1);
    const reals = { r1: { address: '10.0.0.11' }, r2: { address: '10.0.0.12', serverIds } };
    const wide = snapshotOf({ vips: Object.fromEntries([...ports, ...hosts]), pools: { web: { checks, reals } } });
    expect(
      await traced(wide, [`tcp ${client}:1 > 192.0.2.7:1003`, `tcp ${client}:1 > 192.0.2.7:80 server-id 150`]),
    ).toMatchObject([
      { vip: 'port-3', path: 'ring' },
      { vip: 'host-7', path: 'option', real: '10.0.0.12' },
    ]);
  });
});

/** By reason: a fault that no state of a trace has, and what is sent then. */
const byFault: Readonly<Record<string, (own: ProgramBench) => Promise<Sent>>> = {
  no_ring: async (own) => {
    const { directory, limits } = own.dataPlane.observe();
    const vips = [...directory!.vips].map(([id, record]) => [id, { ...record, pool: limits.pools - 1 }] as const);
    await own.apply({ op: 'swap-directory', directory: { ...directory!, vips: new Map(vips) }, fresh: [] });
    return own.send(frame(web));
  },
  void_real: async (own) => {
    for (const number of own.dataPlane.observe().reals.keys())
      await own.apply({ op: 'void-real', number, generation: 1 });
    return own.send(frame(web));
  },
  too_big_limited: async (own) => {
    const sent = Array.from({ length: 50 }, () => own.send(frame(`${web} len 1441`)));
    const limited = sent.findIndex(({ reason }) => reason === 'too_big_limited');
    expect(sent.slice(0, limited).map(({ reason }) => reason)).toContain('too_big_answered');
    return sent[limited]!;
  },
  no_headroom: async (own) => own.send(frame(`${web} len 40`)),
};

async function filled(sizes: Partial<ProgramSizes> = {}, path?: string, program?: string): Promise<ProgramBench> {
  const bench = await ProgramBench.load({ tracing: true, ...sizes }, path, program);
  await bench.converge(buildTarget(snapshot, host, allUp(snapshot), new Map()));
  return bench;
}

function decisionOf({ store }: ProgramBench) {
  return decode('pf_decision', store.get('decisions', indexKey(0))!);
}

describe('what no trace shows is raised', () => {
  it.each(['no_ring', 'void_real'])('the reason %s, by maps that contradict each other', async (reason) => {
    using own = await filled();
    expect(await byFault[reason]?.(own)).toMatchObject({ reason, action: 'DROP' });
    expect(decisionOf(own)).toMatchObject({ found: 1, path: enums.pf_path.PF_PATH_NONE });
  });

  it('the reason too_big_limited, by more such packets than are answered in a second', async () => {
    using own = await filled({ tooBigAnswersPerSecond: 5 });
    expect(await byFault.too_big_limited?.(own)).toMatchObject({ action: 'DROP' });
  });

  it('the reason no_headroom, by a driver that leaves no room', async () => {
    using compiler = new BpfCompiler();
    using own = await filled({}, compiler.compileProbe('tight-headroom'), 'tight_headroom');
    expect(await byFault.no_headroom?.(own)).toMatchObject({ reason: 'no_headroom', action: 'DROP' });
  });

  it('the event flood, by more new flows than are remembered in a second', async () => {
    using own = await filled({ newFlowsPerSecond: 5 });
    const events = Array.from({ length: 50 }, (_, i) => {
      expect(own.send(frame(`tcp ${client}:${1_024 + i} > 192.0.2.10:443`)).reason).toBe('forwarded');
      return decisionOf(own).events;
    });
    expect(events[0]).toBe(0);
    expect(events).toContain(1 << enums.pf_event.PF_EVENT_FLOOD);
    expect(own.send(frame(`tcp ${client}:1073 > 192.0.2.10:443`))).toMatchObject({ action: 'TX' });
    expect(decisionOf(own).path).toBe(enums.pf_path.PF_PATH_RING);
  });
});

describe('there is a case above', () => {
  const named = (names: object, prefix: string, none: readonly string[]): string[] =>
    Object.keys(names)
      .map((name) => name.slice(prefix.length).toLowerCase())
      .filter((name) => name !== 'count' && !none.includes(name))
      .sort();

  it('for every reason', () =>
    expect([...Object.keys(byReason), ...Object.keys(byFault)].sort()).toEqual([...reasonNames].sort()));

  it('for every path', () => expect(Object.keys(byPath).sort()).toEqual(named(enums.pf_path, 'PF_PATH_', ['none'])));

  it('for every event', () =>
    expect([...Object.keys(byEvent), 'flood'].sort()).toEqual(named(enums.pf_event, 'PF_EVENT_', [])));
});
