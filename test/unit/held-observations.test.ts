import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { RealObservation } from '../../src/core/health-state.ts';
import { HeldObservations, type HeldOptions } from '../../src/health/held-observations.ts';
import { until } from '../support/until.ts';

const PROGRAM = 77;

const up: RealObservation = {
  pool: 'web',
  address: '10.0.0.1',
  observation: 'up',
  reason: 'tcp:80: passed',
  since: 1_000,
};
const down: RealObservation = { ...up, address: '2001:db8::1', observation: 'down', reason: 'tcp:80: refused' };
const unknown: RealObservation = { ...up, address: '10.0.0.3', observation: 'unknown', reason: 'not yet judged' };

let stateDir: string;
let logged: { msg: string; path: string; reason: string }[];
const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });

beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'pilotfish-held-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  // Made by whoever writes first.
  stateDir = join(folder, 'state');
  logged = [];
});

const held = (current: () => Iterable<RealObservation> = () => [], options: Partial<HeldOptions> = {}) =>
  new HeldObservations({ stateDir, lb: 'lb1', program: PROGRAM, current, log, ...options });

async function leave(...observations: RealObservation[]): Promise<string> {
  const before = held(() => observations);
  before.changed();
  await before.close();
  return before.path;
}

describe('what an agent leaves to the next one', () => {
  it('is what it has concluded, without what it has not', async () => {
    const path = await leave(up, unknown, down);
    expect(held().read(PROGRAM)).toEqual([up, down]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(logged).toEqual([]);
  });

  it('is nothing at first, which is no mistake', () => {
    expect(held().read(PROGRAM)).toEqual([]);
    expect(logged).toEqual([]);
  });

  it('is for the LB of that name, and for whoever takes over from that program', async () => {
    await leave(up);
    expect(held(undefined, { lb: 'lb2' }).read(PROGRAM)).toEqual([]);
    expect(held().read(PROGRAM + 1)).toEqual([]);
    expect(logged).toEqual([]);
  });

  it('is written soon after a change, for an agent that is killed', async () => {
    let current = [up];
    const agent = held(() => current);
    agent.changed();
    await until('it is there', 5_000, () => held().read(PROGRAM).length === 1);
    current = [{ ...up, observation: 'down' }];
    agent.changed();
    await until('it has changed', 5_000, () => held().read(PROGRAM)[0]?.observation === 'down');
    await agent.close();
  });

  it('has the last of many changes, gathered, and leaves no other file', async () => {
    let writes = 0;
    let current = up;
    const agent = held(() => {
      writes += 1;
      return [current];
    });
    for (let since = 0; since < 1_000; since++) {
      current = { ...up, since };
      agent.changed();
    }
    await agent.close();
    expect(held().read(PROGRAM)).toEqual([{ ...up, since: 999 }]);
    expect(writes).toBe(1);
    expect(readdirSync(stateDir)).toEqual(['lb1.observations.json']);
  });

  it('has what changes while it is written', async () => {
    let current = [up];
    const agent = held(() => {
      const now = current;
      if (now[0] === up) {
        current = [down];
        agent.changed();
      }
      return now;
    });
    agent.changed();
    await agent.close();
    expect(held().read(PROGRAM)).toEqual([down]);
  });

  it.each([
    ['half a file', (text: string) => text.slice(0, -20)],
    ['a version that is not known', (text: string) => text.replace('"version":1', '"version":2')],
    ['an observation that is none', (text: string) => text.replace('"up"', '"fine"')],
    ['nothing at all', () => ''],
  ])('is not believed when it is %s', async (_, spoil) => {
    const path = await leave(up);
    writeFileSync(path, spoil(readFileSync(path, 'utf8')));
    expect(held().read(PROGRAM)).toEqual([]);
    expect(logged).toMatchObject([
      { msg: 'what the last agent concluded about reals cannot be read: they are judged anew', path },
    ]);
  });

  it('is missed with one warning, and never out of date, while it cannot be written', async () => {
    await leave(up);
    const agent = held(() => [down], { retryMs: 50 });
    const aside = `${agent.path}.new`;
    mkdirSync(join(aside, 'in the way'), { recursive: true });
    agent.changed();
    await until('the old one is gone', 5_000, () => held().read(PROGRAM).length === 0);
    agent.changed();
    rmSync(aside, { recursive: true });
    await until('it is written by itself', 5_000, () => held().read(PROGRAM).length === 1);
    await agent.close();
    expect(logged).toMatchObject([
      { msg: 'observations cannot be kept for the next agent, which would judge reals anew', path: agent.path },
    ]);
  });

  it('is written once more at the end, and not for ever', async () => {
    const agent = held(() => [up], { retryMs: 60_000 });
    mkdirSync(join(`${agent.path}.new`, 'in the way'), { recursive: true });
    agent.changed();
    await until('it has failed', 5_000, () => logged.length === 1);
    await agent.close();
    expect(held().read(PROGRAM)).toEqual([]);
    rmSync(`${agent.path}.new`, { recursive: true });
    agent.changed();
    await agent.close();
    expect(held().read(PROGRAM)).toEqual([up]);
  });
});
