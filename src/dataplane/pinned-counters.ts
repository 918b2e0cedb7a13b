import { join } from 'node:path';
import { readReasons } from './counters.ts';
import { openPinnedMap } from './native.ts';

/**
 * Packets that the program pinned under `pinDir` has forwarded, whether or not an agent runs; null when nothing is
 * pinned there. It starts at 0 anew when an agent replaces the program.
 *
 * @throws PilotfishError PF_PIN, PF_CAPABILITY
 */
export function readPinnedForwarded(pinDir: string): bigint | null {
  const state = openPinnedMap(join(pinDir, 'maps', 'cpu_state'));
  if (state === null) return null;
  try {
    return readReasons({ get: (_, key) => state.get(key) }).forwarded ?? null;
  } finally {
    state.close();
  }
}
