import { describe, expect, it, onTestFinished } from 'vitest';
import type { Snapshot, Vip } from '../../src/core/model.ts';
import { readEvents } from '../../src/dataplane/counters.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { etherTypes, icmp, parseEthernet, parseIpv4, tcp, udp } from '../support/frames.ts';
import { benchOf } from '../support/hot-flows.ts';
import { atFirstPlaces } from '../support/look-up.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';
import { framed, packet } from '../support/packets.ts';
import type { ProgramBench } from '../support/program-bench.ts';

/** Most entries of a table are at the first place of their key, the others where a displacement says: the program finds both. */

const VIPS = 1_000;
const numbers = Array.from({ length: VIPS }, (_, i) => i);
const REALS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
const pools = REALS.map((address, i) => pool(`p${i}`, [address]));

async function ownBench(state: Snapshot): Promise<ProgramBench> {
  const bench = await benchOf(state, { vips: VIPS, reals: 2 * VIPS, pools: REALS.length, hotFlows: false });
  onTestFinished(() => bench[Symbol.dispose]());
  return bench;
}

/** Of homes with keys that are not at their first places. */
function displaced(table: Uint8Array | null, entryBytes: number): number {
  if (table === null) return 0;
  const places = new DataView(table.buffer, table.byteOffset).getUint32(0, true) + 1;
  const start = (1 + places) * entryBytes;
  return new Uint16Array(table.slice(start, start + places / 4).buffer).filter((one) => one > 0).length;
}

/** Of VIPs that have one each by number: that of the pool they have by number. */
const realOf = (i: number): string => REALS[i % REALS.length]!;

function vips(addressOf: (i: number) => string, fields: Partial<Vip> = {}): Snapshot {
  const all = Array.from({ length: VIPS }, (_, i) =>
    vip(`v${i}`, { ...fields, address: addressOf(i), pool: `p${i % REALS.length}`, flowCache: false }),
  );
  return snapshot(pools, all);
}

/** Not numbered on, for then each would be at its first place. */
const square = (i: number): number => i * i;
const bytesOf = (n: number): string => `${n >> 16}.${(n >> 8) & 0xff}.${n & 0xff}`;
const v4 = (i: number): string => `100.${bytesOf((64 << 16) | square(i))}`;
const v6 = (i: number): string =>
  `2001:db8:ffff::${(square(i) >> 16).toString(16)}:${(square(i) & 0xffff).toString(16)}`;

/** Without VIPs at other places, what is found would say nothing about those. */
function expectDisplaced(bench: ProgramBench): void {
  const places = atFirstPlaces(bench.store.tableBytes('directory') ?? new Uint8Array());
  const displaced = [...places].filter(([key, isAt]) => key.endsWith(' 80') && !isAt);
  expect(displaced.length).toBeGreaterThan(20);
}

describe('of a thousand VIPs', () => {
  it.each([
    ['IPv4', v4],
    ['IPv6', v6],
  ])('each is found by its address, of %s', async (_family, addressOf) => {
    const bench = await ownBench(vips(addressOf));
    const frames = numbers.map((i) => framed(packet(addressOf(i), tcp({ from: 40_000, to: 80 }))));
    expect(frames.map((frame) => bench.realOf(frame))).toEqual(numbers.map(realOf));
    expectDisplaced(bench);
  });

  it('each is found by its port, and no other port is', async () => {
    const bench = await ownBench(
      snapshot(
        pools,
        Array.from({ length: VIPS }, (_, i) =>
          vip(`v${i}`, { address: v4(0), port: 1 + 2 * i, pool: `p${i % REALS.length}`, flowCache: false }),
        ),
      ),
    );
    const to = (port: number) => framed(packet(v4(0), tcp({ from: 40_000, to: port })));
    for (let i = 0; i < VIPS; i++) {
      expect(bench.realOf(to(1 + 2 * i))).toBe(realOf(i));
      expect(bench.send(to(2 + 2 * i)).reason).toBe('not_vip');
    }
  });

  it('each answers echo requests, and no other address does', async () => {
    const bench = await ownBench(vips(v4));
    const request = (i: number) => framed(packet(v4(i), icmp(8, new Uint8Array(32))));
    for (let i = 0; i < VIPS; i++) expect(bench.send(request(i)).reason).toBe('echo_answered');
    for (let i = VIPS; i < 2 * VIPS; i++) expect(bench.send(request(i)).reason).toBe('not_vip');
  });

  it('each is found with a tag, too, which takes all the steps', async () => {
    const bench = await ownBench(vips(v4));
    expectDisplaced(bench);
    const tagged = { tags: [[etherTypes.vlan, 100]] } as const;
    for (let i = 0; i < VIPS; i++) {
      const { frame } = bench.send(framed(packet(v4(i), tcp({ from: 40_000, to: 80 })), tagged));
      expect(parseIpv4(parseEthernet(frame.subarray(4)).payload).to).toBe(realOf(i));
    }
  });
});

describe('of a thousand server ids', () => {
  it('each names its real, and no other does', async () => {
    const idOf = (i: number): number => square(i + 1) + 1;
    const address = (i: number): string => `10.${bytesOf((1 << 16) | (i + 1))}`;
    const reals = numbers.map((i) => real(address(i), { serverIds: [idOf(i)] }));
    const bench = await ownBench(snapshot([pool('web', reals)], [vip('web', { protocol: 'udp', quic: 'katran' })]));
    /** A connection id of katran’s version 2, with 24 bits of server id. */
    const datagram = (id: number) => {
      const payload = Uint8Array.of(0x40, 0x80, id >> 16, id >> 8, id, 1, 2, 3, 4, 5);
      return framed(packet('192.0.2.10', udp({ from: 40_000, to: 80, payload })));
    };
    expect(numbers.map((i) => bench.realOf(datagram(idOf(i))))).toEqual(numbers.map(address));
    expect(readEvents(bench.store).unknown_id).toBe(0n);
    for (const i of numbers) bench.send(datagram(idOf(i) + 1));
    expect(readEvents(bench.store).unknown_id).toBe(BigInt(VIPS));
    expect(displaced(bench.store.tableBytes('server_ids'), structs.pf_server_id.size)).toBeGreaterThan(20);
  });
});
