import { setTimeout as sleep } from 'node:timers/promises';
import { PilotfishError } from '../src/core/errors.ts';

export interface UntilOptions {
  /** For the error: what should have become true. */
  readonly what: string;
  /** Default 10,000. */
  readonly timeoutMs?: number;
}

/** Asks every 20 ms until the answer is yes. @throws PF_LAB when the time is over, or whatever `ready` throws */
export async function until(ready: () => boolean | Promise<boolean>, options: UntilOptions): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const deadline = performance.now() + timeoutMs;
  while (!(await ready())) {
    if (performance.now() > deadline) {
      throw new PilotfishError('PF_LAB', `after ${timeoutMs} ms still not true: ${options.what}`);
    }
    await sleep(20);
  }
}
