import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DEFAULT_SEED, deriveKeys } from '../../src/core/seed.ts';

describe('deriveKeys', () => {
  it('reads SHA-512 of purpose and seed as little-endian words', () => {
    const input = Buffer.concat([Buffer.from('pilotfish ring v1\0'), Buffer.from([0xab, 0x01])]);
    const digest = createHash('sha512').update(input).digest();
    const words = Array.from({ length: 8 }, (_, i) => digest.readBigUInt64LE(i * 8));
    expect(Array.from(deriveKeys('ab01', 'ring'))).toEqual(words);
    expect(Array.from(deriveKeys('AB01', 'ring'))).toEqual(words);
  });

  it('gives every purpose and every seed keys of its own', () => {
    const first = [
      deriveKeys('00', 'ring'),
      deriveKeys('00', 'flow hash'),
      deriveKeys('0000', 'ring'),
      deriveKeys(DEFAULT_SEED, 'ring'),
    ].map((keys) => keys[0]);
    expect(new Set(first).size).toBe(first.length);
  });

  it.each(['', '0', 'abc', 'zz', '0x12', ' 12', '12\n', '00'.repeat(17)])(
    'refuses "%s" and says what to write',
    (seed) => {
      expect(() => deriveKeys(seed, 'ring')).toThrow(
        expect.objectContaining({ code: 'PF_STATE', fix: expect.stringContaining('hex') }),
      );
    },
  );
});
