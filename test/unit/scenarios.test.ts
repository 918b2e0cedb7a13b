import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { playScenario } from '../support/scenario.ts';

const directory = new URL('../scenario/', import.meta.url);
const files = readdirSync(directory).filter((name) => name.endsWith('.txt'));
const update = process.env.PILOTFISH_UPDATE_SCENARIOS === '1';

describe('scenarios', () => {
  beforeEach(() => void vi.useFakeTimers({ now: 0 }));
  afterEach(() => void vi.useRealTimers());

  it('are there', () => {
    expect(files.length).toBeGreaterThanOrEqual(12);
  });

  it.each(files)('%s', async (name) => {
    const file = new URL(name, directory);
    const text = readFileSync(file, 'utf8');
    const played = await playScenario(text);
    if (update) writeFileSync(file, played);
    else expect(played).toBe(text);
  });

  it('fail on a step that does not exist', async () => {
    await expect(playScenario('> shut down\n')).rejects.toThrowError('a scenario has no step "shut down"');
  });

  it('tell when something is not as expected', async () => {
    const played = await playScenario('> put pools/web {}\noperations none\n');
    expect(played).toContain('operations settings, name-pool, swap-rings, swap-server-ids, swap-directory\n');
  });
});
