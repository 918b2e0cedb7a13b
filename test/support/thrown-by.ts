import { PilotfishError } from '../../src/core/errors.ts';

/** The PilotfishError that the call throws; any other outcome fails the test. */
export function thrownBy(call: () => unknown): PilotfishError {
  try {
    call();
  } catch (error) {
    if (error instanceof PilotfishError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
