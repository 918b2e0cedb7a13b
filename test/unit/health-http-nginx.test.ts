import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { ResolvedCheck } from '../../src/core/check-targets.ts';
import { TestCa } from '../support/certificates.ts';
import { httpCheck, httpsCheck } from '../support/health.ts';
import { timeWaits } from '../support/proc-net.ts';
import { needs } from '../support/require.ts';
import { until } from '../support/until.ts';

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.resetAndDestroy();
      resolve(true);
    }).once('error', () => resolve(false));
  });
}

it.skipIf(needs('nginx', 'openssl'))('checks a real nginx, with and without TLS', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'pilotfish-nginx-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const ca = new TestCa();
  onTestFinished(() => ca.remove());
  const { key, cert } = ca.issue('DNS:www.example.com');
  await writeFile(join(dir, 'key.pem'), key);
  await writeFile(join(dir, 'cert.pem'), cert);
  const [plain = 0, secure = 0] = await freePorts(2);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`);
  await writeFile(
    join(dir, 'nginx.conf'),
    `daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log info;
     events {}
     http {
       ${paths.join(' ')}
       log_format agent '$status $request_method $host $http_user_agent';
       access_log ${dir}/access.log agent;
       server {
         listen 127.0.0.1:${plain};
         listen 127.0.0.1:${secure} ssl;
         ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem;
         location = /healthz { return 200 "all is well\\n"; }
         location = /old { return 302 /healthz; }
         location / { return 503; }
       }
     }`,
  );
  const nginx = spawn('nginx', ['-c', join(dir, 'nginx.conf'), '-e', join(dir, 'error.log')], { stdio: 'inherit' });
  onTestFinished(async () => {
    if (nginx.exitCode === null && nginx.kill()) await once(nginx, 'exit');
  });
  await until('nginx answers', 10_000, () => answers(secure));

  process.env.SSL_CERT_FILE = ca.path;
  const { runCheck } = await import('../../src/health/checkers.ts');
  const run = (check: ResolvedCheck) => runCheck('127.0.0.1', check, new AbortController().signal);
  const passed = { ok: true, latencyMs: expect.any(Number) };
  const common = { path: '/healthz', host: 'www.example.com', body: { matches: '^all .* well$', ignoreCase: false } };
  const body = { matches: '^all .* well\\n$', ignoreCase: false };

  expect(await run(httpCheck({ ...common, body, port: plain }))).toEqual(passed);
  expect(await run(httpsCheck({ ...common, body, port: secure, sni: 'www.example.com' }))).toEqual(passed);
  expect(await run(httpCheck({ ...common, port: plain }))).toEqual({
    ok: false,
    reason: 'the body does not match /^all .* well$/',
  });
  expect(await run(httpCheck({ port: plain, method: 'HEAD', path: '/old' }))).toEqual(passed);
  expect(await run(httpCheck({ port: plain }))).toEqual({ ok: false, reason: 'status 503, expected 200-399' });
  expect(await run(httpCheck({ port: secure, path: '/healthz' }))).toEqual({
    ok: false,
    reason: 'status 400, expected 200-399',
  });
  expect(await run(httpsCheck({ port: plain }))).toEqual({
    ok: false,
    reason: 'TLS handshake failed: the real does not speak TLS here',
  });
  expect(await run(httpsCheck({ port: secure, sni: 'www.example.org' }))).toEqual({
    ok: false,
    reason: 'certificate is for www.example.com, not for www.example.org',
  });

  expect([timeWaits(plain), timeWaits(secure)]).toEqual([0, 0]);
  const log = await readFile(join(dir, 'access.log'), 'utf8');
  expect(log.split('\n').filter((line) => line.endsWith('GET www.example.com pilotfish-health'))).toHaveLength(3);
});
