import { describe, expect, it } from 'vitest';
import { addressFromBytes } from '../../src/core/address.ts';
import { RING_SLOTS } from '../../src/core/data-plane.ts';
import type { Flow } from '../../src/core/flow-hash.ts';
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

describe.each(families)('flow hash of $family', ({ bytes: length }) => {
  const keys = flowKeys(DEFAULT_SEED);

  it('flips every bit for every bit with even odds', () => {
    const samples = 250;
    const inputs = (2 * length + 4) * 8;
    const flips = new Float64Array(inputs * 64);
    let state = 1;
    for (let n = 0; n < samples; n++) {
      const packet = Uint8Array.from({ length: 2 * length + 4 }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return state >>> 24;
      });
      const before = flowHash(keys, flowOf(packet, length));
      for (let input = 0; input < inputs; input++) {
        packet[input >> 3]! ^= 1 << (input & 7);
        let difference = before ^ flowHash(keys, flowOf(packet, length));
        packet[input >> 3]! ^= 1 << (input & 7);
        for (let output = 0; difference > 0n; output++, difference >>= 1n)
          if ((difference & 1n) === 1n) flips[input * 64 + output]!++;
      }
    }
    const worst = flips.reduce((most, count) => Math.max(most, Math.abs(count / samples - 0.5)), 0);
    expect(worst).toBeLessThan(0.19);
    const mean = flips.reduce((sum, count) => sum + count, 0) / flips.length / samples;
    expect(mean).toBeCloseTo(0.5, 2);
  });

  it.each(Object.entries(patterns))('spreads %s evenly and without a collision', (_name, pattern) => {
    const flows = 1 << 14;
    const groups = new Float64Array(64);
    const places = new Set<bigint>();
    for (let i = 0; i < flows; i++) {
      const [host = 0, port = 0] = pattern(i);
      const hash = flowHash(keys, client(length, host, port));
      groups[Math.floor((slotOf(hash) * 64) / RING_SLOTS)]!++;
      places.add(BigInt.asUintN(52, hash));
    }
    expect(places.size).toBe(flows);
    const expected = flows / 64;
    const chiSquare = groups.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 63 degrees of freedom: 63 is the mean, and one sample in a million exceeds 130.
    expect(chiSquare).toBeLessThan(130);
  });
});
