import { describe, expect, it, onTestFinished } from 'vitest';
import type { Snapshot } from '../../src/core/model.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { readEvents } from '../../src/dataplane/counters.ts';
import { enums, structs } from '../../src/dataplane/layout.gen.ts';
import { icmp, tcp, udp } from '../support/frames.ts';
import { benchOf, inForce, OTHER, REAL, VIP } from '../support/hot-flows.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { framed, packet } from '../support/packets.ts';
import { allowedCpus, type ProgramBench } from '../support/program-bench.ts';
import { changeRecent, readRecent, recentPlace } from '../support/recent-vips.ts';

/** A VIP that packets were for of late is not looked up again, and is what a look-up would find: any change of VIPs ends it. */

const A = REAL[4];
const B = OTHER[4];
const pools = [pool('web', [A]), pool('other', [B])];
/** The ring decides, whose pool is the VIP’s: what a place says shows. */
const bare = { flowCache: false } as const;
const web = vip('web', bare);
const other = vip('other', { ...bare, address: '192.0.2.99', pool: 'other' });

const toPort = (port: number, to: string = VIP[4]) => framed(packet(to, tcp({ from: 40_000, to: port })));
const frame = toPort(80);

async function ownBench(state: Snapshot = snapshot(pools, [web, other])): Promise<ProgramBench> {
  const bench = await benchOf(state, { hotFlows: false });
  onTestFinished(() => bench[Symbol.dispose]());
  return bench;
}

/** Has the place of the frame’s destination say the other pool, which no look-up would. */
function mislead(bench: ProgramBench, at: Uint8Array = frame): void {
  const { pool: otherPool } = readRecent(bench, toPort(80, other.address));
  expect(otherPool).not.toBe(readRecent(bench, at).pool);
  changeRecent(bench, at, (recent) => ({ ...recent, pool: otherPool }));
}

/** The bench, whose next packet for the VIP goes to B if the recent VIP is taken, and to A if it is looked up. */
async function misled(state?: Snapshot): Promise<ProgramBench> {
  const bench = await ownBench(state);
  expect([bench.realOf(frame), bench.realOf(toPort(80, other.address))]).toEqual([A, B]);
  mislead(bench);
  return bench;
}

function setVips(bench: ProgramBench, vips: number): void {
  const variable = bench.loaded.object.map('.data.changes');
  const value = variable.get(indexKey(0)) ?? new Uint8Array();
  new DataView(value.buffer).setUint32(structs.pf_changes.fields.vips.offset, vips, true);
  variable.put(indexKey(0), value);
  variable.close();
}

describe('the recent VIP', () => {
  it('is taken for what its packets are for', async () => {
    const bench = await misled();
    expect(bench.realOf(frame)).toBe(B);
    expect(bench.realOf(frame)).toBe(B);
  });

  it('is taken for an address in its prefix and a port of all its ports', async () => {
    const wide = vip('wide', { ...bare, address: '192.0.2.0/25', port: 0 });
    const bench = await misled(snapshot(pools, [wide, other]));
    expect(bench.realOf(frame)).toBe(B);
  });

  it('is taken for the address of an echo request, too', async () => {
    const bench = await ownBench(snapshot(pools, [vip('silent', { icmpEcho: false })]));
    const echo = framed(packet(VIP[4], icmp(8, new Uint8Array(32))));
    expect(bench.send(echo).reason).toBe('icmp_other');
    changeRecent(bench, echo, (recent) => ({ ...recent, flags: recent.flags | enums.pf_flag.PF_ECHO }));
    expect(bench.send(echo).reason).toBe('echo_answered');
  });

  const address6 = VIP[6];
  const six = (fields = {}) =>
    vip(`six-${JSON.stringify(fields)}`, { ...bare, address: address6, pool: 'other', ...fields });

  it.each([
    ['another port', toPort(81), { port: 81 }],
    ['another protocol', framed(packet(VIP[4], udp({ from: 40_000, to: 80 }))), { protocol: 'udp' }],
    ['another address', toPort(80, '192.0.2.11'), { address: '192.0.2.11' }],
  ] as const)('is not that of %s', async (_what, others, fields) => {
    const bench = await ownBench(snapshot(pools, [web, vip('its', { ...bare, pool: 'other', ...fields })]));
    expect([bench.realOf(frame), bench.realOf(others)]).toEqual([A, B]);
    const wrong = readRecent(bench, frame);
    changeRecent(bench, others, () => wrong);
    expect(bench.realOf(others)).toBe(B);
  });

  it.each([
    ['the first half', '2001:db8:ffee::10'],
    ['the second half', '2001:db8:ffff::11'],
  ])('is not that of an IPv6 address that differs in %s', async (_what, address) => {
    const bench = await ownBench(snapshot(pools, [six({ pool: 'web' }), six({ address })]));
    const [one, others] = [toPort(80, address6), toPort(80, address)];
    expect([bench.realOf(one), bench.realOf(others)]).toEqual([A, B]);
    const wrong = readRecent(bench, one);
    changeRecent(bench, others, () => wrong);
    expect(bench.realOf(others)).toBe(B);
  });

  it('gives its place to another one, and takes it again', async () => {
    const frames = Array.from({ length: 5_000 }, (_, i) => toPort(1_000 + i, other.address));
    const rival = frames.find((one) => recentPlace(one) === recentPlace(frame))!;
    const bench = await ownBench(snapshot(pools, [web, { ...other, port: 0 }]));
    for (let turn = 0; turn < 3; turn++) {
      expect(bench.realOf(frame)).toBe(A);
      expect(readRecent(bench, rival).port).toBe(80);
      expect(bench.realOf(rival)).toBe(B);
      expect(readRecent(bench, frame).port).toBe(new DataView(rival.buffer, rival.byteOffset).getUint16(36));
    }
  });

  it('is on another CPU what it is there', async (context) => {
    const [first, second] = allowedCpus();
    if (first === undefined || second === undefined) return context.skip('this process may run on one CPU only');
    const bench = await misled();
    bench.cpu = second;
    expect(bench.realOf(frame)).toBe(A);
    bench.cpu = first;
    expect(bench.realOf(frame)).toBe(B);
  });
});

describe('what is no VIP of a plain packet', () => {
  it('is looked up by every one: a port that is not served', async () => {
    const bench = await ownBench();
    expect([80, 81, 81].map((port) => bench.send(toPort(port)).reason)).toEqual(['forwarded', 'not_vip', 'not_vip']);
  });

  it('is looked up by every one: the end of a tunnel', async () => {
    const bench = await ownBench();
    const tunnels = [{ address: '192.0.2.200', guePort: 6080 }];
    await inForce(bench, snapshot(pools, [web, other]), { tunnels });
    const inner = packet(VIP[4], tcp({ from: 40_000, to: 80 }));
    const outer = framed(packet('192.0.2.200', udp({ from: 50_000, to: 6080, payload: inner })));
    expect([bench.send(outer).reason, bench.send(outer).reason]).toEqual(['forwarded', 'forwarded']);
    expect(readEvents(bench.store).opened).toBe(2n);
  });
});

describe('after a change', () => {
  it('of any VIP, all are looked up', async () => {
    const bench = await misled();
    await inForce(bench, snapshot(pools, [web, other, vip('third', { port: 443 })]));
    expect(bench.realOf(frame)).toBe(A);
    expect(readRecent(bench, frame).pool).not.toBe(readRecent(bench, toPort(80, other.address)).pool);
  });

  it('of anything else they are not', async () => {
    const bench = await misled();
    await inForce(bench, snapshot(pools, [web, other]), { gatewayMac: '02:00:00:00:77:77' });
    expect(bench.realOf(frame)).toBe(B);
  });

  it('of its pool, packets go there', async () => {
    const bench = await ownBench();
    expect(bench.realOf(frame)).toBe(A);
    await inForce(bench, snapshot(pools, [{ ...web, pool: 'other' }, other]));
    expect(bench.realOf(frame)).toBe(B);
  });

  it('that removes it, a packet is nobody’s', async () => {
    const bench = await ownBench();
    expect(bench.realOf(frame)).toBe(A);
    await inForce(bench, snapshot(pools, [other]));
    expect(bench.send(frame).reason).toBe('not_vip');
  });

  it('that gives one of its ports to another VIP, packets go there', async () => {
    const bench = await ownBench(snapshot(pools, [{ ...web, port: 0 }, other]));
    expect(bench.realOf(frame)).toBe(A);
    await inForce(bench, snapshot(pools, [{ ...web, port: 0 }, vip('port', { ...bare, pool: 'other' }), other]));
    expect([80, 81].map((port) => bench.realOf(toPort(port)))).toEqual([B, A]);
  });

  it('that gives a part of its prefix to another VIP, packets go there', async () => {
    const whole = vip('whole', { ...bare, address: '192.0.2.0/24' });
    const half = vip('half', { ...bare, address: '192.0.2.0/25', pool: 'other' });
    const bench = await ownBench(snapshot(pools, [whole]));
    expect(bench.realOf(frame)).toBe(A);
    await inForce(bench, snapshot(pools, [whole, half]));
    expect(bench.realOf(frame)).toBe(B);
    await inForce(bench, snapshot(pools, [whole]));
    expect(bench.realOf(frame)).toBe(A);
  });

  it('of the prefixes alone, all are looked up', async () => {
    const bench = await misled();
    const { size } = structs.pf_prefix_key;
    await bench.store.deleteMany('prefixes', { keys: new Uint8Array(size), values: new Uint8Array(4), count: 1 });
    expect(bench.realOf(frame)).toBe(A);
    mislead(bench);
    await bench.store.putMany('prefixes', { keys: new Uint8Array(size), values: new Uint8Array(4), count: 1 });
    expect(bench.realOf(frame)).toBe(A);
    mislead(bench);
    bench.store.delete('prefixes', new Uint8Array(size));
    expect(bench.realOf(frame)).toBe(A);
    mislead(bench);
    bench.store.put('prefixes', new Uint8Array(size), new Uint8Array(4));
    expect(bench.realOf(frame)).toBe(A);
  });
});

describe('while VIPs change', () => {
  it('no recent VIP is taken from the first moment on', async () => {
    const bench = await misled();
    const bytes = bench.store.tableBytes('directory') ?? new Uint8Array();
    const swapped = bench.store.swapTable('directory', bytes);
    expect(bench.realOf(frame)).toBe(A);
    await swapped;
  });

  it('no recent VIP is taken', async () => {
    const bench = await misled();
    setVips(bench, 0);
    expect(bench.realOf(frame)).toBe(A);
  });

  it('none is kept: not for the next packet, nor for the next change', async () => {
    const bench = await misled();
    setVips(bench, 0);
    bench.send(frame);
    mislead(bench);
    expect(bench.realOf(frame)).toBe(A);
    mislead(bench);
    setVips(bench, 7);
    expect(bench.realOf(frame)).toBe(A);
    mislead(bench);
    expect(bench.realOf(frame)).toBe(B);
  });
});
