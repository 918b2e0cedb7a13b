import { createHash } from 'node:crypto';
import { PilotfishError } from './errors.ts';

/** The seed of a fleet that sets none: "pilotfish" in ASCII. It is public, so an attacker knows these keys. */
export const DEFAULT_SEED = '70696c6f7466697368';

/** What keys are for: each purpose has keys of its own, so that the ring tells nothing about the flow hash. */
export type KeyPurpose = 'flow hash' | 'ring';

/**
 * Expands a seed to eight 64-bit words: SHA-512 over the ASCII text `pilotfish <purpose> v1`, one zero byte and the
 * bytes of the seed, read as eight little-endian integers.
 * @param seed 1 to 16 bytes in hex
 * @throws PilotfishError PF_STATE when it is not
 */
export function deriveKeys(seed: string, purpose: KeyPurpose): BigUint64Array {
  if (!/^([0-9a-f]{2}){1,16}$/i.test(seed))
    throw new PilotfishError('PF_STATE', `the seed "${seed}" is not 1 to 16 bytes in hex`, {
      fix: `write an even number of hex digits, 2 to 32 of them, such as ${DEFAULT_SEED}`,
    });
  const digest = createHash('sha512').update(`pilotfish ${purpose} v1\0`).update(seed, 'hex').digest();
  return BigUint64Array.from({ length: 8 }, (_, i) => digest.readBigUInt64LE(i * 8));
}
