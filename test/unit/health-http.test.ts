import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { exchange } from '../../src/health/exchange.ts';
import { httpChecker } from '../../src/health/http.ts';
import { probe } from '../../src/health/probe.ts';
import { httpCheck } from '../support/health.ts';
import { listen } from '../support/listen.ts';
import { descriptors, timeWaits } from '../support/proc-net.ts';
import { until } from '../support/until.ts';

type Changes = NonNullable<Parameters<typeof httpCheck>[0]>;

const passed = { ok: true, latencyMs: expect.any(Number) };

function failed(reason: string): unknown {
  return { ok: false, reason };
}

function run(port: number, changes: Changes = {}, host = '127.0.0.1', signal = new AbortController().signal) {
  return httpChecker(host, httpCheck({ port, ...changes }), signal);
}

function serve(answer: (request: IncomingMessage, response: ServerResponse) => void, host?: string): Promise<number> {
  return listen(createServer(answer), host);
}

/** A server that does as told with each connection once a request has come. */
function onRequest(act: (socket: Socket) => void): Promise<number> {
  return listen(createTcpServer((socket) => socket.once('data', () => act(socket))));
}

function replying(reply: string): Promise<number> {
  return onRequest((socket) => socket.write(reply, 'latin1'));
}

describe('the request', () => {
  it.each(['127.0.0.1', '::1'])('reaches %s with its address as Host and a connection to close', async (host) => {
    let seen: IncomingMessage | undefined;
    const port = await serve((request, response) => {
      seen = request;
      response.end();
    }, host);
    expect(await run(port, {}, host)).toEqual(passed);
    expect(seen).toMatchObject({ method: 'GET', url: '/', httpVersion: '1.1' });
    expect(seen?.headers).toEqual({
      host: host === '::1' ? `[::1]:${port}` : `127.0.0.1:${port}`,
      connection: 'close',
      'user-agent': 'pilotfish-health',
    });
  });

  it.each(['GET', 'HEAD', 'OPTIONS'] as const)('is a %s with path, host and headers as written', async (method) => {
    let seen: IncomingMessage | undefined;
    const port = await serve((request, response) => {
      seen = request;
      response.end('ok');
    });
    const headers = [
      ['x-check', 'one two'],
      ['user-agent', 'mine'],
    ] as const;
    const check: Changes = { method, path: '/a%20b?c=d', host: 'www.example.com:8443', headers };
    expect(await run(port, check)).toEqual(passed);
    expect(seen).toMatchObject({ method, url: '/a%20b?c=d' });
    expect(seen?.headers).toMatchObject({ host: 'www.example.com:8443', 'x-check': 'one two' });
    expect(seen?.headersDistinct['user-agent']).toEqual(['mine']);
  });

  it('comes over a connection of its own every time', async () => {
    let connections = 0;
    const server = createServer((_request, response) => response.end());
    server.on('connection', () => {
      connections += 1;
    });
    const port = await listen(server);
    for (let n = 0; n < 3; n += 1) expect(await run(port)).toEqual(passed);
    expect(connections).toBe(3);
  });
});

describe('the status', () => {
  it.each([
    [200, true],
    [302, true],
    [399, true],
    [404, false],
    [503, false],
  ])('%i: %s by default', async (status, ok) => {
    let requests = 0;
    const port = await serve((_request, response) => {
      requests += 1;
      response.writeHead(status, { location: '/elsewhere' }).end();
    });
    expect(await run(port)).toEqual(ok ? passed : failed(`status ${status}, expected 200-399`));
    expect(requests).toBe(1);
  });

  it('may be any of several', async () => {
    const port = await serve((request, response) => response.writeHead(Number(request.url?.slice(1))).end());
    const status = [
      { from: 200, to: 299 },
      { from: 404, to: 404 },
    ];
    expect(await run(port, { status, path: '/299' })).toEqual(passed);
    expect(await run(port, { status, path: '/404' })).toEqual(passed);
    expect(await run(port, { status, path: '/302' })).toEqual(failed('status 302, expected 200-299, 404'));
  });

  it('is that of the final response', async () => {
    const port = await replying('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n');
    expect(await run(port)).toEqual(failed('status 500, expected 200-399'));
  });

  it('that is wrong is told before the body ends', async () => {
    const port = await replying('HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nab');
    expect(await run(port, { timeoutMs: 60_000 })).toEqual(failed('status 500, expected 200-399'));
  });
});

describe('the body', () => {
  const contains = (text: string): Changes => ({ body: { contains: text } });
  const matches = (pattern: string, ignoreCase = false): Changes => ({ body: { matches: pattern, ignoreCase } });

  it.each([
    [contains('ready: ja, schön'), passed],
    [contains('no'), failed('the body does not contain "no"')],
    [matches('^ready: \\w+'), passed],
    [matches('READY'), failed('the body does not match /READY/')],
    [matches('READY', true), passed],
  ])('%j', async (changes, result) => {
    const port = await serve((_request, response) => {
      // A character whose bytes come apart.
      const bytes = Buffer.from('ready: ja, schön');
      const cut = bytes.indexOf('ö') + 1;
      response.write(bytes.subarray(0, cut));
      setTimeout(() => response.end(bytes.subarray(cut)), 20);
    });
    expect(await run(port, changes)).toEqual(result);
  });

  it('may be chunked, or end with the connection', async () => {
    const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no\r\n1\r\nk\r\n0\r\n\r\n'.replace(
      '2\r\no',
      '1\r\no',
    );
    expect(await run(await replying(chunked), contains('ok'))).toEqual(passed);
    const closing = await onRequest((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nok'));
    expect(await run(closing, contains('ok'))).toEqual(passed);
  });

  it('is looked at up to 64 KiB, and no more of it is waited for', async () => {
    let sent = 0;
    const endless = await serve((_request, response) => {
      response.write('ok'.padEnd(65_534, 'x'));
      const more = setInterval(() => {
        sent += 1;
        response.write('needle'.padEnd(10_000, 'x'));
      }, 5);
      response.once('close', () => clearInterval(more));
    });
    expect(await run(endless)).toEqual(passed);
    expect(await run(endless, contains('ok'))).toEqual(passed);
    const reason = 'the first 64 KiB of the body does not contain "needle"';
    expect(await run(endless, contains('needle'))).toEqual(failed(reason));
    expect(sent).toBeGreaterThan(0);
  });

  it('cannot keep this thread busy', async () => {
    const port = await serve((_request, response) => response.end('a'.repeat(65_536)));
    const before = performance.now();
    expect(await run(port, matches('(a*)*(a|aa)+.*.*.*b'))).toMatchObject({ ok: false });
    expect(performance.now() - before).toBeLessThan(2_000);
  });
});

describe('a server that fails', () => {
  it('refuses', async () => {
    const server = createServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await run(port)).toEqual(failed('connection refused'));
  });

  it.each([
    ['', 'for a response'],
    ['HTTP/1.1 200 OK\r\nContent-', 'for a response'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', 'for the end of the body'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'for the end of the body'],
  ])('hangs after %j', async (reply, waiting) => {
    const port = await replying(reply);
    const before = performance.now();
    expect(await run(port, { timeoutMs: 250 })).toEqual(failed(`timeout after 250 ms waiting ${waiting}`));
    expect(performance.now() - before).toBeGreaterThanOrEqual(249);
  });

  it('drips: bytes that keep coming do not move the deadline', async () => {
    const port = await onRequest((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n');
      const drip = setInterval(() => socket.write('x'), 10);
      socket.once('close', () => clearInterval(drip));
    });
    expect(await run(port, { timeoutMs: 250 })).toEqual(failed('timeout after 250 ms waiting for the end of the body'));
  });

  it.each([
    ['SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n', 'not an HTTP response, at "SSH-2.0-OpenSSH_9.2p1 De…"'],
    ['<html>', 'not an HTTP response, at "<html>"'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 'not an HTTP response, at "zz\\r\\n"'],
    [`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 'the headers of the response exceed 16 KiB'],
    ['HTTP/1.1 100 Continue\r\n\r\n', 'answered with status 100 to a request that has no body'],
    [
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
      'answered with status 101, which leads to another protocol',
    ],
  ])('sends garbage: %.40j', async (reply, reason) => {
    expect(await run(await replying(reply))).toEqual(failed(reason));
  });

  it.each([
    ['', 'closed without a response'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'closed in the middle of the response'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'closed in the middle of the response'],
  ])('closes after %j', async (reply, reason) => {
    const port = await onRequest((socket) => socket.end(reply));
    expect(await run(port)).toEqual(failed(reason));
  });

  it.each(['', 'HTTP/1.0 200 OK\r\n\r\nabc'])('resets after %j', async (reply) => {
    const port = await onRequest((socket) => {
      socket.write(reply);
      setTimeout(() => socket.resetAndDestroy(), 50);
    });
    expect(await run(port)).toEqual(failed('connection reset by peer'));
  });
});

describe('its connections', () => {
  it('are gone after 1,000 checks, and none waits in TIME_WAIT', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/hang') return;
      response.writeHead(request.url === '/bad' ? 500 : 200).end(request.url === '/big' ? 'x'.repeat(100_000) : 'ok');
    });
    await run(port);
    const before = descriptors();
    const paths = ['/', '/bad', '/big', '/', '/hang'];
    for (let n = 0; n < 1_000; n += 20)
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          run(port, { path: paths[i % paths.length]!, timeoutMs: i % 5 === 4 ? 20 : 5_000 }),
        ),
      );
    await until('no socket is left', 5_000, () => descriptors() <= before);
    expect(timeWaits(port)).toBe(0);
  });

  it('are gone also where the real closes first', async () => {
    const port = await onRequest((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nok'));
    await run(port);
    const before = descriptors();
    for (let n = 0; n < 50; n += 1) expect(await run(port, { body: { contains: 'ok' } })).toEqual(passed);
    await until('no socket is left', 5_000, () => descriptors() <= before);
    expect(timeWaits(port)).toBe(0);
  });

  it('end at once when the check is abandoned, at any point', async () => {
    const ports = [
      await onRequest(() => {}),
      await replying('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'),
      await listen(createTcpServer()),
    ];
    const before = descriptors();
    for (const port of ports)
      for (const afterMs of [0, 30]) {
        const controller = new AbortController();
        const result = run(port, { timeoutMs: 600_000 }, '127.0.0.1', controller.signal);
        setTimeout(() => controller.abort(), afterMs);
        expect(await result).toMatchObject({ ok: false });
      }
    await until('no socket is left', 5_000, () => descriptors() <= before);
  });
});

it('does not blame the real when this process stalls past the timeout', async () => {
  const port = await replying('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  const result = run(port, { timeoutMs: 100 });
  const end = performance.now() + 300;
  while (performance.now() < end);
  expect(await result).toEqual(passed);
});

it('fails, and does not try for ever, when its connection is gone before the request', async () => {
  const port = await listen(createTcpServer());
  const check = httpCheck({ port });
  const result = await probe('127.0.0.1', check, new AbortController().signal, (connection) => {
    exchange(connection, connection.socket.destroy(), '127.0.0.1', check);
  });
  expect(result).toEqual(failed('closed without a response'));
});

it('does not resolve names', async () => {
  expect(await run(80, {}, 'localhost')).toEqual(failed('"localhost" is not an IP address'));
});
