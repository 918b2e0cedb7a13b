import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import { type Mode, ModelHash, slotOfHash } from '../model/flow-hash.ts';

const vectorsFile = new URL('../support/flow-hash-vectors.json', import.meta.url);

interface Vector {
  readonly seed: string;
  readonly mode?: Mode;
  readonly protocol: 'tcp' | 'udp';
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly hash: string;
  readonly slot: number;
}

describe('flow hash of the model', () => {
  it('is the published one', () => {
    const { flows, modes } = JSON.parse(readFileSync(vectorsFile, 'utf8')) as Record<
      'flows' | 'modes',
      readonly Vector[]
    >;
    expect([flows.length > 10, modes.length > 10]).toEqual([true, true]);
    for (const { seed, mode = '5-tuple', protocol, source, destination, hash, slot, ...ports } of [
      ...flows,
      ...modes,
    ]) {
      const flow = { source: Buffer.from(addressBytes(source)), destination: Buffer.from(addressBytes(destination)) };
      const value = new ModelHash(seed).of(mode, { ...flow, protocol: protocol === 'tcp' ? 6 : 17, ...ports });
      expect([value.toString(16).padStart(16, '0'), slotOfHash(value)]).toEqual([hash, slot]);
    }
  });
});
