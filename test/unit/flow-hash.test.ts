import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Flow, FlowMode } from '../../src/core/flow-hash.ts';
import { cacheMode, flowHash, flowKeys, slotMode, slotOf } from '../../src/core/flow-hash.ts';
import type { Protocol } from '../../src/core/model.ts';
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

interface Vector extends Flow {
  readonly seed: string;
  readonly hash: string;
  readonly slot: number;
}

interface ModeVector extends Vector {
  readonly mode: FlowMode;
}

/** JSON says of a word only that it is text. */
const inTuple = vectors.flows as readonly (Vector & { readonly protocol: Protocol })[];
const inModes = vectors.modes as readonly ModeVector[];

function expectVector({ seed, hash, slot, ...flow }: Vector, mode: FlowMode): void {
  const computed = flowHash(flowKeys(seed), flow, mode);
  expect(hex(computed)).toBe(hash);
  expect(slotOf(computed)).toBe(slot);
}

describe('flow hash vectors', () => {
  it.each(vectors.keys)('has the keys of seed $seed', ({ seed, keys }) => {
    expect(Array.from(flowKeys(seed), hex)).toEqual(keys);
  });

  it.each(inTuple)('$protocol $source $sourcePort > $destination $destinationPort', (vector) => {
    expectVector(vector, '5-tuple');
  });

  it.each(inModes)('$mode: $protocol $source $sourcePort > $destination $destinationPort', ({ mode, ...vector }) => {
    expectVector(vector, mode);
  });

  it('stand in the reference as they are tested', () => {
    expect(tableRows(2)).toEqual(vectors.keys.map(({ seed, keys }) => [seed, keys.join(' ')]));
    const end = (address: string, port: number) =>
      address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    const rest = (v: Vector) => [
      v.protocol,
      end(v.source, v.sourcePort),
      end(v.destination, v.destinationPort),
      v.hash,
      String(v.slot),
    ];
    expect(tableRows(6)).toEqual(inTuple.map((v) => [v.seed, ...rest(v)]));
    const nameOf = (mode: FlowMode) => (mode === 'pair' ? 'address pair' : mode);
    expect(tableRows(7)).toEqual(inModes.map((v) => [v.seed, nameOf(v.mode), ...rest(v)]));
  });

  it('cover every mode, both families, both protocols and several seeds', () => {
    for (const mode of ['5-tuple', 'source', 'dest-port', 'pair']) {
      const covered: readonly Vector[] = mode === '5-tuple' ? inTuple : inModes.filter((v) => v.mode === mode);
      const kinds = covered.map(({ protocol, source }) => `${protocol}${source.includes(':') ? 6 : 4}`);
      expect(new Set(kinds)).toEqual(new Set(['tcp4', 'udp4', 'tcp6', 'udp6']));
      expect(new Set(covered.map(({ seed }) => seed)).size).toBeGreaterThanOrEqual(4);
    }
  });
});

describe('flowHash', () => {
  it('has odd multipliers', () => {
    for (const { seed } of vectors.keys)
      expect(Array.from(flowKeys(seed).subarray(1), (key) => key & 1n)).not.toContain(0n);
  });

  it('tells apart IPv6 clients whose address halves would cancel each other out as neighbouring words', () => {
    const hashes = (source: string) => vectors.keys.map(({ seed }) => flowHash(flowKeys(seed), tcp(source), '5-tuple'));
    const first = hashes('2001:db8::7');
    for (const [i, hash] of hashes('2001:db8:0:80:0:80:0:87').entries()) expect(hash).not.toBe(first[i]);
  });

  it('refuses what no packet can be', () => {
    const keys = flowKeys(DEFAULT_SEED);
    expect(() => flowHash(keys, tcp('198.51.100.7', 40_000, '2001:db8::10'), '5-tuple')).toThrow(RangeError);
    expect(() => flowHash(keys, tcp('198.51.100.7', 65_536), '5-tuple')).toThrow(RangeError);
    expect(() => flowHash(keys, tcp('198.51.100.7', 1.5), '5-tuple')).toThrow(RangeError);
    expect(() => flowHash(keys, tcp('example.org'), '5-tuple')).toThrow(expect.objectContaining({ code: 'PF_STATE' }));
  });
});

describe('the mode of a VIP', () => {
  it.each<[Parameters<typeof slotMode>[0], FlowMode, FlowMode]>([
    [{ hash: '5-tuple', fragments: 'drop' }, '5-tuple', '5-tuple'],
    [{ hash: 'source', fragments: 'drop' }, 'source', '5-tuple'],
    [{ hash: 'dest-port', fragments: 'drop' }, 'dest-port', '5-tuple'],
    [{ hash: '5-tuple', fragments: 'hash' }, 'pair', 'pair'],
    [{ hash: 'source', fragments: 'hash' }, 'source', 'pair'],
  ])('%o: the slot by %s, the flow cache by %s', (vip, slot, cache) => {
    expect([slotMode(vip), cacheMode(vip)]).toEqual([slot, cache]);
  });

  it('says what of a flow counts: a change of anything else leads to the same slot', () => {
    const keys = flowKeys(DEFAULT_SEED);
    const flow = tcp('198.51.100.7');
    const changed = {
      protocol: { ...flow, protocol: 'udp' },
      source: { ...flow, source: '198.51.100.8' },
      sourcePort: { ...flow, sourcePort: 40_001 },
      destination: { ...flow, destination: '192.0.2.11' },
      destinationPort: { ...flow, destinationPort: 444 },
    } satisfies Record<keyof Flow, Flow>;
    const counts = (mode: FlowMode): string[] =>
      Object.entries(changed)
        .filter(([, other]) => flowHash(keys, other, mode) !== flowHash(keys, flow, mode))
        .map(([field]) => field);
    expect(counts('5-tuple')).toEqual(Object.keys(changed));
    expect(counts('pair')).toEqual(['protocol', 'source', 'destination']);
    expect(counts('source')).toEqual(['source']);
    expect(counts('dest-port')).toEqual(['protocol', 'destinationPort']);
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
