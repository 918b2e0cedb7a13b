import { describe, expect, it, onTestFinished } from 'vitest';
import { indexKey } from '../../src/dataplane/codec.ts';
import { tcp, tcpFlags } from '../support/frames.ts';
import {
  datagram,
  flow,
  hotReal,
  ID,
  inForce,
  isHot,
  OTHER,
  ownBench,
  quicPayload,
  REAL,
  VIP,
  web,
} from '../support/hot-flows.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';
import { framed, packet } from '../support/packets.ts';

/** No flow is hot through a change of any map: the next packet sees it. */

describe('after a change', () => {
  const A = REAL[4];
  const B = OTHER[4];
  const plain = [vip('v')];

  it('of the gateway’s MAC address, frames are addressed to the new one at once', async () => {
    const bench = await ownBench([web()], plain);
    hotReal(bench, flow(1));
    await inForce(bench, snapshot([web()], plain), { gatewayMac: '02:00:00:00:77:77' });
    expect(Buffer.from(bench.send(flow(1)).frame.subarray(0, 6)).toString('hex')).toBe('020000007777');
  });

  it('of the MTU, what does not fit any more is answered', async () => {
    const bench = await ownBench([web()], plain);
    const long = flow(1, tcpFlags.ack, new Uint8Array(1_400));
    hotReal(bench, long);
    await inForce(bench, snapshot([web()], plain), { mtu: 1_400 });
    expect(bench.send(long).reason).toBe('too_big_answered');
  });

  it('of the encap, frames get the new one', async () => {
    const bench = await ownBench([web()], plain);
    hotReal(bench, flow(1));
    await inForce(bench, snapshot([web([A], { encap: 'gue' })], plain));
    expect(bench.send(flow(1)).frame[23]).toBe(17);
  });

  it('of the ring, flows that are remembered stay and are hot again; those of a VIP without flow cache go', async () => {
    const vips = [vip('v'), vip('bare', { port: 81, flowCache: false })];
    const bare = framed(packet(VIP[4], tcp({ from: 1, to: 81 })));
    const bench = await ownBench([web([A])], vips);
    expect([hotReal(bench, flow(1)), hotReal(bench, bare)]).toEqual([A, A]);
    await inForce(bench, snapshot([web([real(A, { state: 'drain' }), B])], vips));
    expect(bench.realOf(bare)).toBe(B);
    expect([hotReal(bench, flow(1)), hotReal(bench, bare)]).toEqual([A, B]);
  });

  it('that drains its real, a flow stays and is hot again', async () => {
    const bench = await ownBench([pool('web', [A])], plain);
    hotReal(bench, flow(1));
    await inForce(bench, snapshot([pool('web', [real(A, { state: 'drain' }), B])], plain));
    expect(isHot(bench, flow(1))).toBe(false);
    expect(hotReal(bench, flow(1))).toBe(A);
    expect(bench.realOf(flow(2))).toBe(B);
  });

  it('that puts its real into maintenance, a flow goes elsewhere at once', async () => {
    const bench = await ownBench([pool('web', [A])], plain);
    hotReal(bench, flow(1));
    await inForce(bench, snapshot([pool('web', [real(A, { state: 'maintenance' }), B])], plain));
    expect(bench.realOf(flow(1))).toBe(B);
  });

  it('that removes its VIP, a flow is nobody’s', async () => {
    const bench = await ownBench([web()], plain);
    hotReal(bench, flow(1));
    await inForce(bench, snapshot([web()], []));
    expect(bench.send(flow(1)).reason).toBe('not_vip');
  });

  it('of ids, a QUIC packet goes where its id leads now', async () => {
    const vips = [vip('q', { protocol: 'udp', quic: 'katran' })];
    const frame = datagram(1, quicPayload(8));
    const bench = await ownBench([pool('web', [real(A, { serverIds: [ID] }), real(B)])], vips);
    expect(hotReal(bench, frame)).toBe(A);
    await inForce(bench, snapshot([pool('web', [real(A), real(B, { serverIds: [ID] })])], vips));
    expect(hotReal(bench, frame)).toBe(B);
  });

  it('that failed, too: it may have done a part', async () => {
    const bench = await ownBench([web()], plain);
    hotReal(bench, flow(1));
    expect(() => bench.store.put('reals', indexKey(1_000_000), new Uint8Array(32))).toThrow();
    expect(isHot(bench, flow(1))).toBe(false);
  });

  it('and 2^32 of them, none is taken for no flow', async () => {
    const bench = await ownBench([web()], plain);
    const variable = bench.loaded.object.map('.data.changes');
    onTestFinished(() => variable.close());
    const value = variable.get(indexKey(0)) ?? new Uint8Array();
    new DataView(value.buffer).setUint32(0, 0xffff_ffff, true);
    variable.put(indexKey(0), value);
    bench.store.put('decisions', indexKey(0), new Uint8Array(32));
    expect(new DataView((variable.get(indexKey(0)) ?? new Uint8Array()).buffer).getUint32(0, true)).toBe(1);
    expect(hotReal(bench, flow(1))).toBe(A);
  });
});
