import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Flow } from '../../src/core/flow-hash.ts';
import { flowHash, flowKeys, slotOf } from '../../src/core/flow-hash.ts';
import { DEFAULT_SEED } from '../../src/core/seed.ts';
import vectors from '../support/flow-hash-vectors.json' with { type: 'json' };

const reference = readFileSync(new URL('../../docs/reference/flow-hash.md', import.meta.url), 'utf8');
const hex = (word: bigint): string => word.toString(16).padStart(16, '0');

/** The cells of the table rows that begin with a seed. */
function tableRows(columns: number): string[][] {
  return reference
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')))
    .map((cells) => cells.slice(1, -1))
    .filter((cells) => cells.length === columns);
}

const tcp = (source: string, sourcePort = 40_000, destination = source.includes(':') ? '2001:db8::10' : '192.0.2.10') =>
  ({ protocol: 'tcp', source, sourcePort, destination, destinationPort: 443 }) satisfies Flow;

describe('flow hash vectors', () => {
  it.each(vectors.keys)('has the keys of seed $seed', ({ seed, keys }) => {
    expect(Array.from(flowKeys(seed), hex)).toEqual(keys);
  });

  it.each(vectors.flows)('$protocol $source $sourcePort > $destination $destinationPort', (vector) => {
    const { seed, protocol, hash, slot, ...ends } = vector;
    const computed = flowHash(flowKeys(seed), { ...ends, protocol: protocol === 'tcp' ? 'tcp' : 'udp' });
    expect(hex(computed)).toBe(hash);
    expect(slotOf(computed)).toBe(slot);
  });

  it('stand in the reference as they are tested', () => {
    expect(tableRows(2)).toEqual(vectors.keys.map(({ seed, keys }) => [seed, keys.join(' ')]));
    const end = (address: string, port: number) =>
      address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    expect(tableRows(6)).toEqual(
      vectors.flows.map((v) => [
        v.seed,
        v.protocol,
        end(v.source, v.sourcePort),
        end(v.destination, v.destinationPort),
        v.hash,
        String(v.slot),
      ]),
    );
  });

  it('cover both families, both protocols and several seeds', () => {
    const kinds = vectors.flows.map(({ protocol, source }) => `${protocol}${source.includes(':') ? 6 : 4}`);
    expect(new Set(kinds)).toEqual(new Set(['tcp4', 'udp4', 'tcp6', 'udp6']));
    expect(new Set(vectors.flows.map(({ seed }) => seed)).size).toBeGreaterThanOrEqual(4);
  });
});

describe('flowHash', () => {
  it('has odd multipliers', () => {
    for (const { seed } of vectors.keys)
      expect(Array.from(flowKeys(seed).subarray(1), (key) => key & 1n)).not.toContain(0n);
  });

  it('tells apart IPv6 clients whose address halves would cancel each other out as neighbouring words', () => {
    const hashes = (source: string) => vectors.keys.map(({ seed }) => flowHash(flowKeys(seed), tcp(source)));
    const first = hashes('2001:db8::7');
    for (const [i, hash] of hashes('2001:db8:0:80:0:80:0:87').entries()) expect(hash).not.toBe(first[i]);
  });

  it('refuses what no packet can be', () => {
    const keys = flowKeys(DEFAULT_SEED);
    expect(() => flowHash(keys, tcp('198.51.100.7', 40_000, '2001:db8::10'))).toThrow(RangeError);
    expect(() => flowHash(keys, tcp('198.51.100.7', 65_536))).toThrow(RangeError);
    expect(() => flowHash(keys, tcp('198.51.100.7', 1.5))).toThrow(RangeError);
    expect(() => flowHash(keys, tcp('example.org'))).toThrow(expect.objectContaining({ code: 'PF_STATE' }));
  });
});

describe('slotOf', () => {
  it('reaches from the first slot to the last, in equal steps of the upper half', () => {
    expect(slotOf(0n)).toBe(0);
    expect(slotOf(0xffff_ffffn)).toBe(0);
    expect(slotOf(0xffff_ffff_ffff_ffffn)).toBe(65_536);
    expect(slotOf(0x8000_0000_0000_0000n)).toBe(32_768);
    expect(slotOf(0x0000_ffff_0000_0000n)).toBe(0);
    expect(slotOf(0x0001_0000_0000_0000n)).toBe(1);
  });
});
