import { describe, expect, it } from 'vitest';
import { tcp } from '../support/frames.ts';
import { flow, heat, isHot, ownBench, web } from '../support/hot-flows.ts';
import { vip } from '../support/model.ts';
import { framed, packet } from '../support/packets.ts';

/** As bpf/hot.h has them: after so many packets that no hot flow took, one in so many is looked for. */
const PATIENCE = 64;
const SAMPLE = 64;

/** For no VIP, so that nothing is learned from it. */
const STRANGER = framed(packet('192.0.2.200', tcp({ from: 1, to: 80, payload: new Uint8Array(10) })));

describe('a flow', () => {
  it('is not looked for by every packet where that was in vain for long, and soon found again', async () => {
    const bench = await ownBench([web()], [vip('v')]);
    heat(bench, flow(1));
    expect(isHot(bench, flow(1))).toBe(true);
    for (let i = 0; i < PATIENCE; i++) bench.send(STRANGER);
    // One in so many is, and the next packet is the first of them.
    expect(isHot(bench, flow(1))).toBe(true);
    for (let i = 0; i < PATIENCE + 1; i++) bench.send(STRANGER);
    const hot = Array.from({ length: SAMPLE + 10 }, () => isHot(bench, flow(1)));
    expect(hot.indexOf(true)).toBe(SAMPLE - 1);
    expect(hot.slice(SAMPLE - 1)).not.toContain(false);
  });

  it('is also learned while few packets are looked for', async () => {
    const bench = await ownBench([web()], [vip('v')]);
    for (let i = 0; i < 10 * PATIENCE; i++) bench.send(STRANGER);
    heat(bench, flow(1));
    expect(isHot(bench, flow(1))).toBe(false);
    for (let i = 0; i < 2 * SAMPLE; i++) bench.send(flow(1));
    expect(isHot(bench, flow(1))).toBe(true);
  });
});
