import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { TLSSocket, TlsOptions } from 'node:tls';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { httpsChecker } from '../../src/health/https.ts';
import { TestCa } from '../support/certificates.ts';
import { httpsCheck } from '../support/health.ts';
import { listen } from '../support/listen.ts';
import { descriptors, timeWaits } from '../support/proc-net.ts';
import { needs } from '../support/require.ts';
import { until } from '../support/until.ts';

type Changes = NonNullable<Parameters<typeof httpsCheck>[0]>;

const passed = { ok: true, latencyMs: expect.any(Number) };
const NAMES = 'DNS:www.example.com,DNS:*.example.org';

function failed(reason: string): unknown {
  return { ok: false, reason };
}

describe.skipIf(needs('openssl'))('the https check', () => {
  let ca: TestCa;
  let checker: typeof httpsChecker;

  beforeAll(async () => {
    ca = new TestCa();
    // The host’s own CAs are read when the checker is loaded; OpenSSL takes their place from here.
    process.env.SSL_CERT_FILE = ca.path;
    checker = (await import('../../src/health/https.ts')).httpsChecker;
  });
  afterAll(() => {
    delete process.env.SSL_CERT_FILE;
    ca.remove();
  });

  function run(port: number, changes: Changes = {}, host = '127.0.0.1') {
    return checker(host, httpsCheck({ port, ...changes }), new AbortController().signal);
  }

  /** Answers with the Host header and the server name of the handshake. */
  function serve(options: TlsOptions, host?: string): Promise<number> {
    const server = createServer(options, (request, response) => {
      response.end(`${request.headers.host} ${(request.socket as TLSSocket).servername}`);
    });
    return listen(
      server.on('tlsClientError', () => {}),
      host,
    );
  }

  it.each(['127.0.0.1', '::1'])('trusts a certificate that names %s', async (host) => {
    const port = await serve(ca.issue(`DNS:other.example,IP:${host}`), host);
    expect(await run(port, { body: { contains: ' false' } }, host)).toEqual(passed);
  });

  it('asks for the server name, and has the certificate be for it', async () => {
    const port = await serve(ca.issue(NAMES));
    const body = { contains: 'www.example.com:1 a.example.org' };
    expect(await run(port, { host: 'www.example.com:1', sni: 'a.example.org', body })).toEqual(passed);
    const reason = (name: string): string => `certificate is for www.example.com, *.example.org, not for ${name}`;
    expect(await run(port, { sni: 'api.example.com' })).toEqual(failed(reason('api.example.com')));
    expect(await run(port)).toEqual(failed(reason('127.0.0.1')));
    expect(await run(port, { verify: false })).toEqual(passed);
  });

  it('names what is wrong with a certificate, and passes it over when told so', async () => {
    const stranger = new TestCa();
    const cases = [
      [ca.issue(NAMES, { expired: true }), 'certificate has expired'],
      [ca.selfSigned('www.example.com'), 'certificate is self-signed'],
      [
        stranger.issue(NAMES),
        'certificate is signed by a CA that this host does not trust, or its chain is incomplete',
      ],
    ] as const;
    stranger.remove();
    for (const [certificate, reason] of cases) {
      const port = await serve(certificate);
      expect(await run(port, { sni: 'www.example.com' })).toEqual(failed(reason));
      expect(await run(port, { sni: 'www.example.com', verify: false })).toEqual(passed);
    }
  });

  it('judges the answer as the http check does', async () => {
    const port = await serve(ca.issue('IP:127.0.0.1'));
    const status = [{ from: 500, to: 500 }];
    expect(await run(port, { status })).toEqual(failed('status 200, expected 500'));
    expect(await run(port, { body: { contains: 'no' } })).toEqual(failed('the body does not contain "no"'));
  });

  it.each([
    [{ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'tlsv1 alert protocol version'],
    [{ ALPNProtocols: ['h2'] }, 'tlsv1 alert no application protocol'],
  ] as const)('tells why a handshake fails: %j', async (options, reason) => {
    const port = await serve({ ...ca.issue('IP:127.0.0.1'), ...options } as TlsOptions);
    expect(await run(port)).toEqual(failed(`TLS handshake failed: ${reason}`));
  });

  it('tells that a certificate of this side is asked for', async () => {
    const port = await serve({ ...ca.issue('IP:127.0.0.1'), requestCert: true, rejectUnauthorized: true });
    expect(await run(port)).toEqual(failed('tlsv13 alert certificate required'));
  });

  it('tells a server without TLS', async () => {
    const port = await listen(createPlainServer());
    expect(await run(port)).toEqual(failed('TLS handshake failed: the real does not speak TLS here'));
  });

  it('tells a server that ends the handshake, and one that hangs in it', async () => {
    const onHello = (act: (socket: { end(): void; resetAndDestroy(): void }) => void) =>
      listen(createTcpServer((socket) => socket.once('data', () => act(socket))));
    expect(await run(await onHello((socket) => socket.end()))).toEqual(
      failed('TLS handshake failed: closed by the real'),
    );
    expect(await run(await onHello((socket) => socket.resetAndDestroy()))).toEqual(
      failed('TLS handshake failed: connection reset by peer'),
    );
    expect(await run(await onHello(() => {}), { timeoutMs: 250 })).toEqual(
      failed('timeout after 250 ms waiting for the TLS handshake'),
    );
  });

  it.each([
    ['', 'for a response'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'for the end of the body'],
  ])('tells a server that hangs after %j, and one that closes', async (reply, waiting) => {
    const certificate = ca.issue('IP:127.0.0.1');
    const onRequest = (act: (socket: TLSSocket) => void) =>
      listen(
        createTlsServer(certificate, (socket) => {
          socket.on('error', () => socket.destroy());
          socket.once('data', () => act(socket));
        }),
      );
    const hanging = await onRequest((socket) => socket.write(reply));
    expect(await run(hanging, { timeoutMs: 250 })).toEqual(failed(`timeout after 250 ms waiting ${waiting}`));
    const closing = await onRequest((socket) => socket.end(reply));
    const how = reply === '' ? 'without a response' : 'in the middle of the response';
    expect(await run(closing)).toEqual(failed(`closed ${how}`));
  });

  it.each([true, false])('ends when its target goes right after the handshake, with verify: %s', async (verify) => {
    const gone = new AbortController();
    // In TLS 1.2 this side is through one turn of the event loop after the server, and immediates keep their order: the
    // second one comes after the handshake and before whatever the check puts off when it sees that.
    const server = createServer({ ...ca.issue('IP:127.0.0.1'), maxVersion: 'TLSv1.2' }).once('secureConnection', () =>
      setImmediate(() => setImmediate(() => gone.abort())),
    );
    const port = await listen(server);
    expect(await checker('127.0.0.1', httpsCheck({ port, verify }), gone.signal)).toEqual(failed('abandoned'));
    await turn();
  });

  it('leaves no socket and no TIME_WAIT behind', async () => {
    const port = await serve(ca.issue('IP:127.0.0.1'));
    await run(port);
    const before = descriptors();
    for (let n = 0; n < 200; n += 10)
      await Promise.all(Array.from({ length: 10 }, (_, i) => run(port, i % 2 === 0 ? {} : { sni: 'x.example' })));
    await until('no socket is left', 5_000, () => descriptors() <= before);
    expect(timeWaits(port)).toBe(0);
  });
});
