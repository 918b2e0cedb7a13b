import { hash } from 'node:crypto';
import { MAX_JITTER } from '../core/health-state.ts';
import type { RealKey } from '../core/model.ts';

/**
 * The share, 0 to below `MAX_JITTER`, by which this LB stretches its steady intervals for this real. Always the same
 * for the same two names, so restarts change nothing; as intervals differ, the checks of many reals, and of many LBs
 * at one real, drift apart however they began.
 */
export function jitterOf(lb: string, real: RealKey): number {
  return (hash('sha256', `${lb}|${real}`, 'buffer').readUInt32BE() / 2 ** 32) * MAX_JITTER;
}
