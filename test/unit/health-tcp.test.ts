import type { AddressInfo, Server } from 'node:net';
import { connect, createServer } from 'node:net';
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { connectionReason } from '../../src/health/reasons.ts';
import { tcpChecker } from '../../src/health/tcp.ts';
import { tcpCheck } from '../support/health.ts';
import { timeWaits } from '../support/proc-net.ts';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

async function listen(host: string): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => socket.destroy()));
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

async function refusedPort(host: string): Promise<number> {
  const port = await listen(host);
  await new Promise((resolve) => servers.pop()!.close(resolve));
  return port;
}

/** A port whose accept queue is full: the kernel drops every further SYN. Its owner never accepts. */
async function blackhole(): Promise<number> {
  const worker = new Worker(
    `const { createServer } = require('node:net');
     const { parentPort } = require('node:worker_threads');
     const server = createServer();
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true },
  );
  onTestFinished(async () => {
    await worker.terminate();
  });
  const port = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => {
      socket.destroy();
    });
    socket.on('error', () => socket.destroy());
    const connected = await Promise.race([
      new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
      }),
      new Promise<boolean>((resolve) => {
        setTimeout(resolve, 300, false);
      }),
    ]);
    if (!connected) return port;
  }
}

function run(address: string, port: number, timeoutMs = 1_000, signal = new AbortController().signal) {
  return tcpChecker(address, tcpCheck({ port, timeoutMs }), signal);
}

describe('the tcp check', () => {
  it.each(['127.0.0.1', '::1'])('passes when %s accepts', async (host) => {
    const result = await run(host, await listen(host));
    expect(result).toEqual({ ok: true, latencyMs: expect.any(Number) });
  });

  it.each(['127.0.0.1', '::1'])('names a refusal by %s', async (host) => {
    expect(await run(host, await refusedPort(host))).toEqual({ ok: false, reason: 'connection refused' });
  });

  it('times out on its own clock when nothing answers', async () => {
    const port = await blackhole();
    const before = performance.now();
    expect(await run('127.0.0.1', port, 250)).toEqual({
      ok: false,
      reason: 'timeout after 250 ms waiting for the connection',
    });
    expect(performance.now() - before).toBeGreaterThanOrEqual(249);
  });

  it('lets go at once when it is abandoned', async () => {
    const port = await blackhole();
    const controller = new AbortController();
    const result = run('127.0.0.1', port, 600_000, controller.signal);
    controller.abort();
    expect(await result).toMatchObject({ ok: false });
  });

  it('does not blame the real when this process stalls past the timeout', async () => {
    const port = await listen('127.0.0.1');
    const result = run('127.0.0.1', port, 50);
    const end = performance.now() + 200;
    while (performance.now() < end);
    expect(await result).toMatchObject({ ok: true });
  });

  it('does not resolve names', async () => {
    expect(await run('localhost', 80)).toEqual({ ok: false, reason: '"localhost" is not an IP address' });
  });

  it('leaves no TIME_WAIT behind, where an ordinary close does', async () => {
    const port = await listen('127.0.0.1');
    for (let n = 0; n < 20; n += 1) expect(await run('127.0.0.1', port)).toMatchObject({ ok: true });
    expect(timeWaits(port)).toBe(0);

    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end());
      socket.resume().once('close', () => resolve());
    });
    expect(timeWaits(port)).toBe(1);
  });
});

describe('connectionReason', () => {
  it.each([
    ['ECONNREFUSED', 'connection refused'],
    ['EHOSTUNREACH', 'no route to host'],
    ['ENETUNREACH', 'network is unreachable'],
    ['EMFILE', 'too many open files'],
  ] as const)('puts %s in words', (code, words) => {
    const error = Object.assign(new Error(`connect ${code} 10.0.0.1:80`), { code, errno: -constants.errno[code] });
    expect(connectionReason(error)).toBe(words);
  });

  it('falls back on the message', () => {
    expect(connectionReason(new Error('odd'))).toBe('odd');
    expect(connectionReason('odd')).toBe('odd');
  });
});
