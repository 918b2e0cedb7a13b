import type { AddressInfo, Server } from 'node:net';
import { createServer } from 'node:net';
import type { Worker } from 'node:worker_threads';
import { Worker as Thread } from 'node:worker_threads';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { CheckTarget } from '../../src/core/check-targets.ts';
import type { HealthTransition, RealObservation } from '../../src/core/health-state.ts';
import { MAX_JITTER } from '../../src/core/health-state.ts';
import type { Observation, RealKey } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';
import type { HealthOptions } from '../../src/health/health.ts';
import { Health } from '../../src/health/health.ts';
import { checkTarget } from '../support/health.ts';

const QUICK = { intervalMs: 200, timeoutMs: 200, fastIntervalMs: 50, downIntervalMs: 100, rise: 2, fall: 3 } as const;
/** What is promised about a killed real with QUICK. */
const DOWN_WITHIN_MS = QUICK.fall * QUICK.intervalMs + QUICK.timeoutMs + MAX_JITTER * QUICK.intervalMs + 1_000;

const [A, B, C] = ['127.0.0.11', '127.0.0.12', '127.0.0.13'] as const;

async function serve(host: string, port = 0): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => socket.destroy()));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  onTestFinished(() => {
    server.close();
  });
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function stop(server: Server): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}

interface Fixture {
  readonly health: Health;
  readonly transitions: HealthTransition[];
  readonly logged: { readonly msg: string }[];
  /** The checking threads so far. */
  readonly threads: Worker[];
  observed(address: string): Observation | undefined;
  until(address: string, observation: Observation, withinMs?: number): Promise<void>;
}

function start(options: Partial<HealthOptions> = {}): Fixture {
  const threads: Worker[] = [];
  const seen = (thread: Worker): void => {
    threads.push(thread);
  };
  process.on('worker', seen);
  const transitions: HealthTransition[] = [];
  const logged: { msg: string }[] = [];
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
  const health = new Health({ lb: 'lb1', log, onTransition: (one) => transitions.push(one), ...options });
  onTestFinished(async () => {
    process.off('worker', seen);
    await health.close();
  });
  const observed = (address: string) => health.observations().get(realKey('web', address))?.observation;
  const until = (address: string, observation: Observation, withinMs = 5_000): Promise<void> =>
    vi.waitFor(() => expect(observed(address)).toBe(observation), { timeout: withinMs, interval: 10 });
  return { health, transitions, logged, threads, observed, until };
}

function targets(
  port: number,
  addresses: readonly string[],
  changes: Parameters<typeof checkTarget>[1] = {},
): CheckTarget[] {
  return addresses.map((address) => checkTarget(address, { ...QUICK, port, ...changes }));
}

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

describe('Health', () => {
  it('sees reals come up, one fail within the promised time, and return', async () => {
    const a = await serve(A);
    const port = portOf(a);
    const b = await serve(B, port);
    await serve(C, port);
    const { health, transitions, observed, until } = start();
    health.update(targets(port, [A, B, C]));
    expect([A, B, C].map(observed)).toEqual(['unknown', 'unknown', 'unknown']);
    await Promise.all([A, B, C].map((address) => until(address, 'up')));

    await stop(b);
    await until(B, 'down', DOWN_WITHIN_MS);
    expect([observed(A), observed(C)]).toEqual(['up', 'up']);
    expect(health.observations().get(realKey('web', B))).toMatchObject({
      reason: `tcp port ${port}: connection refused`,
      since: transitions.at(-1)!.at,
    });

    await serve(B, port);
    await until(B, 'up');
    expect(transitions.filter(({ address }) => address === B).map(({ from, to }) => `${from}>${to}`)).toEqual([
      'unknown>up',
      'up>down',
      'down>up',
    ]);
    expect(transitions).toHaveLength(5);
  });

  it('goes on checking while the main thread is busy', async () => {
    const shared = new Int32Array(new SharedArrayBuffer(4));
    // In a thread of its own, or the server would be as blocked as the main thread.
    const server = new Thread(
      `const { createServer } = require('node:net');
       const { parentPort, workerData } = require('node:worker_threads');
       const server = createServer((socket) => {
         Atomics.add(workerData, 0, 1);
         socket.on('error', () => socket.destroy());
       });
       server.listen(0, '${A}', () => parentPort.postMessage(server.address().port));`,
      { eval: true, workerData: shared },
    );
    onTestFinished(async () => {
      await server.terminate();
    });
    const port = await new Promise<number>((resolve) => {
      server.once('message', resolve);
    });
    const { health, until, transitions } = start();
    health.update(targets(port, [A], { intervalMs: 100, timeoutMs: 100 }));
    await until(A, 'up');
    const before = Atomics.load(shared, 0);
    block(500);
    expect(Atomics.load(shared, 0) - before).toBeGreaterThanOrEqual(3);
    expect(transitions).toHaveLength(1);
  });

  it('holds the observations and goes on when its thread crashes', async () => {
    const a = await serve(A);
    const port = portOf(a);
    const { health, transitions, logged, threads, observed, until } = start();
    health.update(targets(port, [A, B]));
    await until(A, 'up');
    await until(B, 'down');

    // Not a message of the protocol: an exception in the thread.
    threads[0]!.postMessage(null);
    await vi.waitFor(() => expect(health.restarts).toBe(1), { timeout: 5_000 });
    expect(logged.map(({ msg }) => msg)).toEqual([
      'health check thread failed',
      'health check thread ended, the last observations hold until it is back',
    ]);
    expect([observed(A), observed(B)]).toEqual(['up', 'down']);

    await stop(a);
    await until(A, 'down');
    expect(observed(B)).toBe('down');
    expect(transitions.map(({ address, from, to }) => `${address} ${from}>${to}`).sort()).toEqual([
      `${A} unknown>up`,
      `${A} up>down`,
      `${B} unknown>down`,
    ]);
  });

  it('takes updates that arrive while its thread is away', async () => {
    const port = portOf(await serve(A));
    await serve(B, port);
    const { health, threads, observed, until } = start();
    health.update(targets(port, [A]));
    await until(A, 'up');
    await threads[0]!.terminate();
    health.update(targets(port, [B]));
    await until(B, 'up');
    expect(observed(A)).toBeUndefined();
    expect(health.restarts).toBe(1);
  });

  it('holds what an earlier run concluded until it is checked anew', async () => {
    const port = portOf(await serve(A));
    const earlier = (address: string, observation: Observation): RealObservation => ({
      pool: 'web',
      address,
      observation,
      reason: 'earlier',
      since: 7,
    });
    const initial = [earlier(A, 'up'), earlier(B, 'up'), earlier('127.0.0.99', 'up')];
    const { health, transitions, until } = start({ initial });
    expect([...health.observations().values()]).toEqual(initial);
    health.update(targets(port, [A, B, C]));
    expect([...health.observations().values()].map((one) => [one.address, one.observation])).toEqual([
      [A, 'up'],
      [B, 'up'],
      [C, 'unknown'],
    ]);
    await Promise.all([until(B, 'down'), until(C, 'down')]);
    expect(transitions.map(({ address, from, to }) => `${address} ${from}>${to}`).sort()).toEqual([
      `${B} up>down`,
      `${C} unknown>down`,
    ]);
    expect(health.observations().get(realKey('web', A))).toEqual(initial[0]);
  });

  it('drops a transition of a real that was removed and added again since', async () => {
    const port = portOf(await serve(A));
    await serve(B, port);
    const { health, transitions, until, observed } = start();
    health.update(targets(port, [A]));
    await until(A, 'up');
    health.update(targets(port, [A, B]));
    // B turns up meanwhile, and the news waits for this thread.
    block(500);
    health.update(targets(port, [A]));
    health.update(targets(port, [A, B]));
    const again = Date.now();
    expect(observed(B)).toBe('unknown');
    await until(B, 'up');
    const ofB = transitions.filter(({ address }) => address === B);
    expect(ofB).toHaveLength(1);
    expect(ofB[0]!.at).toBeGreaterThanOrEqual(again);
  });

  it('tells nothing after close, and closes twice', async () => {
    const port = portOf(await serve(A));
    const { health, transitions, until } = start();
    health.update(targets(port, [A]));
    await until(A, 'up');
    transitions.length = 0;
    health.update(targets(port, [A, B]));
    // B turns down meanwhile, and the news waits for this thread.
    block(500);
    await health.close();
    await health.close();
    expect(transitions).toEqual([]);
    expect(health.restarts).toBe(0);
  });

  it('has verdicts that are always of now, and copies nothing for it', async () => {
    const port = portOf(await serve(A));
    const { health, until } = start();
    const { verdicts } = health;
    const key = realKey('web', A);
    expect(verdicts.get(key)).toBeUndefined();
    health.update(targets(port, [A]));
    expect(verdicts.get(key)).toBe('unknown');
    await until(A, 'up');
    expect(verdicts.get(key)).toBe('up');
    health.update([]);
    expect(verdicts.get(key)).toBeUndefined();
  });

  it('checks 2,000 reals under the cap', async () => {
    // The whole of 127/8 is this host, so that one socket plays every real.
    const port = portOf(await serve('0.0.0.0'));
    const addresses = Array.from({ length: 2_000 }, (_, n) => `127.1.${n >> 8}.${n & 255}`);
    const { health, transitions, logged } = start({ maxRunning: 64 });
    health.update(targets(port, addresses, { intervalMs: 2_000, timeoutMs: 1_000, fastIntervalMs: 500 }));
    await vi.waitFor(() => expect(transitions).toHaveLength(2_000), { timeout: 15_000, interval: 50 });
    expect(transitions.filter(({ to }) => to !== 'up')).toEqual([]);
    const keys: RealKey[] = addresses.map((address) => realKey('web', address));
    expect([...health.observations().keys()]).toEqual(keys);
    expect(logged).toEqual([]);
  }, 20_000);
});
