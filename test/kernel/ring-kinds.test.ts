import { describe, expect, it } from 'vitest';
import { type Flow, flowHash, slotOf } from '../../src/core/flow-hash.ts';
import { ethernet, ipv4, tcp, tcpFlags } from '../support/frames.ts';
import { whileNoted } from '../support/notes.ts';
import { ProgramBench, settings, target } from '../support/program-bench.ts';

/**
 * A slot is a place in a list of the ring’s reals, in three bits if they are few, or in a byte; with more reals than that has places it is two
 * bytes, of the real’s number.
 */

const VIP = '192.0.2.10';
const CLIENT = '198.51.100.7';
const keys = BigUint64Array.from(settings.hashKeys.split(','), (key) => BigInt(`0x${key}`));

const ports = Array.from({ length: 300 }, (_, i) => 20_000 + i);
const flowOf = (port: number): Flow => ({
  protocol: 'tcp',
  source: CLIENT,
  sourcePort: port,
  destination: VIP,
  destinationPort: 80,
});
const frameOf = (port: number, flags: number): Uint8Array =>
  ethernet(ipv4({ from: CLIENT, to: VIP }, tcp({ from: port, to: 80, flags })));

const addressesOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
const slotOfPort = (port: number): number => slotOf(flowHash(keys, flowOf(port), '5-tuple'));

/** A program whose only pool has so many reals, and what puts them into the slots in turns, from the one with number `first` on. */
async function poolOf(count: number) {
  const bench = await ProgramBench.load();
  await bench.converge(target({ [`${VIP}|80|tcp`]: 'web' }, { web: addressesOf(count) }));
  const reals = [...bench.dataPlane.observe().reals].toSorted(([a], [b]) => a - b);
  expect(reals.length).toBe(count);
  const at = (slot: number, first: number) => reals[(slot + first) % count] ?? expect.fail();
  const put = (first: number) =>
    bench.store.swapRings([
      {
        pool: 0,
        fill: (slots) => {
          for (let slot = 0; slot < slots.length; slot++) slots[slot] = at(slot, first)[0];
        },
      },
    ]);
  const realOf = (port: number, first: number) => at(slotOfPort(port), first)[1].address;
  return { bench, at, put, realOf };
}

describe.each([1, 8, 9, 255, 256, 257, 600])('a ring of %i reals', (count) => {
  it('gives each slot its real', async () => {
    const { bench, put, realOf } = await poolOf(count);
    using _ = bench;
    for (const first of [0, 1]) {
      await put(first);
      for (const port of ports) expect(bench.realOf(frameOf(port, tcpFlags.syn))).toBe(realOf(port, first));
    }
  });
});

/** Not of one, which is in all slots whichever comes first. */
describe.each([2, 8, 9, 255, 256, 257, 600])('a ring of %i reals in another turn', (count) => {
  it('has the flow cache asked for flows of slots that changed', async () => {
    const { bench, put, realOf } = await poolOf(count);
    using _ = bench;
    await put(0);
    for (const port of ports) bench.send(frameOf(port, tcpFlags.ack));
    await put(1);
    const seen = await whileNoted(bench, () => ports.map((port) => bench.realOf(frameOf(port, tcpFlags.ack))));
    expect(seen).toEqual(ports.map((port) => realOf(port, 0)));
  });

  it('also where others beside them did not', async () => {
    const { bench, at, put, realOf } = await poolOf(count);
    using _ = bench;
    const changed = new Set(ports.filter((_port, i) => i % 3 === 0).map(slotOfPort));
    const fill = (slots: Uint16Array, isIn: (slot: number) => boolean): void => {
      for (let slot = 0; slot < slots.length; slot++) slots[slot] = at(slot, isIn(slot) ? 1 : 0)[0];
    };
    await put(0);
    for (const port of ports) bench.send(frameOf(port, tcpFlags.ack));
    await bench.store.swapRings([{ pool: 0, fill: (slots) => fill(slots, (slot) => changed.has(slot)) }]);
    const seen = await whileNoted(bench, () => ports.map((port) => bench.realOf(frameOf(port, tcpFlags.ack))));
    expect(seen).toEqual(ports.map((port) => realOf(port, 0)));
  });
});

describe('a wide ring', () => {
  it('names the highest number that there is', async () => {
    const { bench } = await poolOf(200);
    using _ = bench;
    const fill = (slots: Uint16Array) => {
      for (let slot = 0; slot < slots.length; slot++) slots[slot] = 32_767 - (slot % 200);
    };
    await bench.store.swapRings([{ pool: 0, fill }]);
    for (const port of ports) expect(bench.realOf(frameOf(port, tcpFlags.syn))).toBe('void_real');
  });
});
