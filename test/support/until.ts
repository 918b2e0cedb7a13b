import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves as soon as `condition` holds; throws with `what` when it does not within `ms`. */
export async function until(what: string, ms: number, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) {
      throw new Error(`not within ${ms} ms: ${what}`);
    }
    await sleep(5);
  }
}
