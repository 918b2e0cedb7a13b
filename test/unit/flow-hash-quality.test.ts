import { describe, expect, it } from 'vitest';
import { addressFromBytes } from '../../src/core/address.ts';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import type { Flow, FlowMode } from '../../src/core/flow-hash.ts';
import { flowHash, flowKeys, slotOf } from '../../src/core/flow-hash.ts';
import { DEFAULT_SEED } from '../../src/core/seed.ts';

/** Small versions of what docs/reference/flow-hash.md reports; bounds are wide enough for the noise of the sample. */

const families = [
  { family: 'IPv4', bytes: 4 },
  { family: 'IPv6', bytes: 16 },
] as const;

/** Source, destination and ports one after the other, as many bytes as the family has. */
function flowOf(packet: Uint8Array, length: number): Flow {
  const ports = new DataView(packet.buffer, packet.byteOffset + 2 * length, 4);
  return {
    protocol: 'tcp',
    source: addressFromBytes(packet.subarray(0, length)),
    destination: addressFromBytes(packet.subarray(length, 2 * length)),
    sourcePort: ports.getUint16(0),
    destinationPort: ports.getUint16(2),
  };
}

/** Client `host` of one network to 443 of one VIP. */
function client(length: number, host: number, sourcePort: number): Flow {
  const packet = new Uint8Array(2 * length + 4);
  const view = new DataView(packet.buffer);
  packet.set(length === 4 ? [10] : [0x20, 0x01, 0x0d, 0xb8]);
  view.setUint16(length - 2, host);
  packet.set(length === 4 ? [192, 0, 2] : [0x20, 0x01, 0x0d, 0xb8, 0xff], length);
  packet[2 * length - 1] = 10;
  view.setUint16(2 * length, sourcePort);
  view.setUint16(2 * length + 2, 443);
  return flowOf(packet, length);
}

const patterns = {
  'sequential ports': (i: number) => [1, 32_768 + (i & 0x7fff)],
  'sequential addresses': (i: number) => [i, 40_000],
  'both, even ports only': (i: number) => [i >> 6, 32_768 + 2 * (i & 63)],
} as const;

/** The bytes of `flowOf` that a mode looks at. */
function countingBytes(mode: FlowMode, length: number): number[] {
  const bytes = Array.from({ length: 2 * length + 4 }, (_, i) => i);
  if (mode === 'pair') return bytes.slice(0, 2 * length);
  if (mode === 'source') return bytes.slice(0, length);
  return mode === 'dest-port' ? bytes.slice(-2) : bytes;
}

const modes = families.flatMap((family) =>
  (['5-tuple', 'source', 'dest-port', 'pair'] as const).map((mode) => ({ ...family, mode })),
);

describe.each(modes)('flow hash of $family, mode $mode', ({ bytes: length, mode }) => {
  const keys = flowKeys(DEFAULT_SEED);

  it('flips every bit for every bit with even odds', () => {
    const samples = 250;
    const inputs = countingBytes(mode, length).flatMap((byte) => Array.from({ length: 8 }, (_, bit) => [byte, bit]));
    const flips = new Float64Array(inputs.length * 64);
    let state = 1;
    for (let n = 0; n < samples; n++) {
      const packet = Uint8Array.from({ length: 2 * length + 4 }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return state >>> 24;
      });
      const before = flowHash(keys, flowOf(packet, length), mode);
      for (const [input, [byte = 0, bit = 0]] of inputs.entries()) {
        packet[byte]! ^= 1 << bit;
        let difference = before ^ flowHash(keys, flowOf(packet, length), mode);
        packet[byte]! ^= 1 << bit;
        for (let output = 0; difference > 0n; output++, difference >>= 1n)
          if ((difference & 1n) === 1n) flips[input * 64 + output]!++;
      }
    }
    const worst = flips.reduce((most, count) => Math.max(most, Math.abs(count / samples - 0.5)), 0);
    expect(worst).toBeLessThan(0.19);
    const mean = flips.reduce((sum, count) => sum + count, 0) / flips.length / samples;
    expect(mean).toBeCloseTo(0.5, 2);
  });
});

/** Groups that the slots of as many flows fall into, and how many of the hashes differ in what the flow cache sees. */
function spreadOf(flows: readonly Flow[], mode: FlowMode): { chiSquare: number; places: number } {
  const keys = flowKeys(DEFAULT_SEED);
  const groups = new Float64Array(64);
  const places = new Set<bigint>();
  for (const flow of flows) {
    const hash = flowHash(keys, flow, mode);
    groups[Math.floor((slotOf(hash) * 64) / RING_SLOTS)]!++;
    places.add(BigInt.asUintN(52, hash));
  }
  const expected = flows.length / 64;
  const chiSquare = groups.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  return { chiSquare, places: places.size };
}

/** 63 degrees of freedom: 63 is the mean, and one sample in a million exceeds this. */
const MOST_UNEVEN = 130;

describe.each(families)('slots of $family', ({ bytes: length }) => {
  const flows = 1 << 14;

  it.each(Object.entries(patterns))('are spread evenly and without a collision by %s', (_name, pattern) => {
    const all = Array.from({ length: flows }, (_, i) => {
      const [host = 0, port = 0] = pattern(i);
      return client(length, host, port);
    });
    const { chiSquare, places } = spreadOf(all, '5-tuple');
    expect(places).toBe(flows);
    expect(chiSquare).toBeLessThan(MOST_UNEVEN);
  });

  it.each(['source', 'pair'] as const)('are spread by sequential addresses in mode %s', (mode) => {
    const { chiSquare, places } = spreadOf(
      Array.from({ length: flows }, (_, i) => client(length, i, 40_000)),
      mode,
    );
    expect(places).toBe(flows);
    expect(chiSquare).toBeLessThan(MOST_UNEVEN);
  });

  it('are spread by sequential ports of the VIP in mode dest-port', () => {
    const all = Array.from({ length: flows }, (_, i) => ({ ...client(length, 1, 40_000), destinationPort: i }));
    const { chiSquare, places } = spreadOf(all, 'dest-port');
    expect(places).toBe(flows);
    expect(chiSquare).toBeLessThan(MOST_UNEVEN);
  });
});
