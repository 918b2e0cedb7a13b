import { describe, expect, it } from 'vitest';
import { explanationText } from '../../src/cli/explain-text.ts';
import { explainFlow, type Remembered } from '../../src/core/explain.ts';
import { readInquiry } from '../../src/core/packet-words.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { buildTarget, type HostImage } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { host, snapshotOf } from '../support/in-force.ts';
import { richState } from '../support/rich-state.ts';

/** What a person reads of each step that a VIP may have; cli-explain.test.ts has the whole of a plain one. */

const snapshot = snapshotOf(richState);
const rings = new RingBuilder();

interface World {
  readonly remembered?: readonly Remembered[];
  readonly host?: Partial<HostImage>;
}

/** The lines that begin with one of these titles, each with those that go on with it. */
function linesOf(text: string, titles: readonly string[], world: World = {}): string[] {
  const target = buildTarget(snapshot, { ...host, ...world.host }, allUp(snapshot), new Map());
  const remembered = () => world.remembered ?? [];
  const sources = { snapshot, target, linkKnown: true, rings, health: null, remembered };
  const explained = { lb: 'lb1', problems: [], ...explainFlow(readInquiry(text), sources) };
  let title = '';
  return explanationText(explained)
    .split('\n')
    .filter((line) => {
      if (!line.startsWith(' ')) title = line.slice(0, 13).trimEnd();
      return titles.includes(title);
    });
}

describe('an explanation in words', () => {
  it.each<[string, string, string[]]>([
    [
      'a prefix',
      'tcp 1.2.3.4:1 > 192.0.3.200:443',
      [
        'VIP          net-half: 192.0.3.128/25, every port, tcp; matched by its address alone, as it serves every port; no VIP with a longer prefix matches',
      ],
    ],
    [
      'a fragment',
      'udp 198.51.100.7:40000 > 192.0.2.26:53 frag 1480',
      ['VIP          pair: 192.0.2.26, port 53, udp; matched by its address alone, as a fragment has no port'],
    ],
    [
      'a fragment for nobody',
      'tcp 1.2.3.4:40000 > 192.0.2.10:443 frag 8',
      [
        'VIP          none that takes fragments: it has to be the only one of its address and protocol, with fragments: hash',
        'Next packet  is dropped (fragment)',
      ],
    ],
    [
      'a fragment for no protocol',
      'tcp 1.2.3.4:40000 > 192.0.2.26:53 frag 8',
      [
        'VIP          none for this port and protocol; the nearest of this address is pair: udp, not tcp; port 53',
        'Next packet  is passed up to the host itself (not_vip)',
      ],
    ],
  ])('of the VIP: %s', (_what, text, lines) => {
    const titles = lines.map((line) => line.slice(0, 13).trimEnd());
    expect(linesOf(text, titles)).toEqual(lines);
  });

  it('of ids, the first of which is somebody’s', () => {
    const text = 'udp 192.0.2.1:40000 > 192.0.2.23:443 cid 800003f100000000';
    expect(linesOf(text, ['Id', 'Client', 'Next packet', 'New flow'])).toEqual([
      'Id           quic: id 1009, of 10.0.1.9 (r8)',
      '             udpStableRouting: the packet as given carries no id',
      'Next packet  goes to 10.0.1.9 (r8): by the id in its QUIC connection id',
      'New flow     goes to 10.0.1.9 (r8): by the id in its QUIC connection id',
    ]);
  });

  it('of an id that a SYN does not carry', () => {
    expect(linesOf('tcp 1.2.3.4:1 > 192.0.2.25:80 server-id 2003', ['Id', 'Next packet', 'New flow'])).toEqual([
      'Id           tcpServerId: id 2003, of 10.0.3.3 (r2)',
      'Next packet  goes to 10.0.3.3 (r2): by the id in its TCP option, but is dropped (no_neighbour): its MAC address is not known',
      'New flow     a SYN goes to 10.0.3.3 (r2): by the ring, but is dropped (no_neighbour): its MAC address is not known',
    ]);
  });

  it('of an id of nobody, and of one in another pool', () => {
    const ids = (number: number) =>
      linesOf(`udp 203.0.113.1:40000 > 192.0.2.23:443 stable ${number}`, ['Id', 'New flow']);
    expect(ids(9)).toEqual([
      'Id           quic: the packet as given carries no id',
      '             udpStableRouting: id 9, of no real that keeps its flows',
      expect.stringMatching(/^New flow {5}goes to 10\.0\.1\.\d+ \(r\d+\): by the ring$/),
    ]);
    expect(ids(2001)[2]).toBe(
      'New flow     goes to 10.0.3.1 of pool near: by the stable routing id in its payload, but is dropped (no_neighbour): its MAC address is not known',
    );
  });

  it('of a client prefix', () => {
    const host = { neighbours: new Map(['1', '2', '3', '4', '5'].map((n) => [`10.0.3.${n}`, `02:00:00:00:00:0${n}`])) };
    const lines = linesOf('tcp 198.51.100.7:1 > 192.0.2.22:80', ['Client', 'Pool', 'New flow', 'Sent'], { host });
    const [, , newFlow = ''] = lines;
    const [, real = '', n = ''] = /goes to (10\.0\.3\.(\d))/.exec(newFlow) ?? [];
    expect(lines).toEqual([
      'Client       its prefix 198.51.100.0/24 goes to pool near',
      'Pool         near: 5 reals, new flows go to 5',
      `New flow     a SYN goes to ${real} (r${Number(n) - 1}): by the ring of the pool for clients of its prefix`,
      `Sent         to ${real} as it is, to MAC address 02:00:00:00:00:0${n}; packets of more than 1500 bytes are too big`,
    ]);
  });

  it.each([
    ['source', 'tcp 1.2.3.4:1 > 192.0.2.20:1', "the source address's hash"],
    ['dest-port', 'udp 1.2.3.4:1 > 192.0.2.21:1', "the destination port's hash"],
    ['fragments: hash', 'udp 1.2.3.4:1 > 192.0.2.26:53', 'the hash of the two addresses'],
    ['fragments: hash with source', 'tcp 1.2.3.4:1 > 192.0.2.27:53', "the source address's hash"],
  ])('of what chooses the slot: %s', (_mode, text, over) => {
    const [ring] = linesOf(text, ['Ring']);
    expect(ring).toMatch(
      new RegExp(`^Ring {9}${over} is [0-9a-f]{16}, its slot \\d+ of 65537, which is \\S+ \\(\\w+\\)'s$`),
    );
  });

  it('of the flow cache: not used, and of pairs of addresses', () => {
    const remembered = [
      { cpu: 0, real: { address: '10.0.4.2', pool: 'gue' } },
      { cpu: 1, real: null },
    ];
    expect(linesOf('udp 1.2.3.4:1 > 192.0.2.21:1', ['Flow cache'], { remembered })).toEqual([
      'Flow cache   not used by this VIP (flowCache: false)',
    ]);
    const lines = linesOf('udp 1.2.3.4:1 > 192.0.2.26:53', ['Flow cache', 'Next packet', 'New flow'], { remembered });
    expect(lines).toEqual([
      'Flow cache   CPU 0 remembers the pair of addresses (fragments: hash) at 10.0.4.2 (r1)',
      '             CPU 1 has an entry that is void',
      'Next packet  on CPU 0 goes to 10.0.4.2 (r1): the flow cache remembers it',
      expect.stringMatching(/^ {13}on any other CPU goes to 10\.0\.4\.\d \(r\d\): by the ring$/),
    ]);
  });

  it('of a remembered real that is in another pool than the one asked now', () => {
    const remembered = [{ cpu: 0, real: { address: '10.0.1.1', pool: 'web' } }];
    const [next] = linesOf('tcp 198.51.100.7:1 > 192.0.2.22:80', ['Next packet'], { remembered });
    expect(next).toBe(
      'Next packet  on CPU 0 goes to 10.0.1.1 of pool web, whose flow it was before: the flow cache remembers it',
    );
  });

  it('of a real that is this host', () => {
    const local = new Set(snapshot.pools.get('gue')?.reals.map(({ address }) => address));
    const [flow, sent] = linesOf('udp 1.2.3.4:1 > 192.0.2.21:1', ['New flow', 'Sent'], { host: { local } });
    const [, real] = /goes to (\S+)/.exec(flow ?? '') ?? [];
    expect(flow).toMatch(/: by the ring, which is this host: passed up \(local_real\)$/);
    expect(sent).toBe(`Sent         not at all: ${real} is an address of this host`);
  });

  it('of GUE, and of a gateway that is not known', () => {
    const world = { host: { gatewayMac: '00:00:00:00:00:00' } };
    const [flow, sent] = linesOf('tcp 1.2.3.4:1 > 192.0.2.27:53', ['Next packet', 'Sent'], world);
    expect(flow).toMatch(
      /\([ab]\): by the ring, but is dropped \(no_gateway\): the MAC address of the gateway is not known$/,
    );
    expect(sent).toMatch(
      /^Sent {9}by gue, \[2001:db8:aaaa:bbbb:\S+\]:\d{5} > \[2001:db8:1::[ab]\]:6080; packets of more than 1452 bytes are too big$/,
    );
  });
});
