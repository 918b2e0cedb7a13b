import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PilotfishError } from '../../src/core/errors.ts';
import type { EtcdOptions } from '../../src/sync/etcd-client.ts';
import { EtcdSource } from '../../src/sync/etcd-source.ts';
import { EtcdStore } from '../../src/sync/etcd-store.ts';
import { needEtcdProcess } from '../support/etcd.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { need, skipUnless } from '../support/require.ts';
import { recordingLogger, SourceRecorder } from '../support/source-recorder.ts';
import { until } from '../support/until.ts';

/** Lists once; resolves with the error, or null. */
async function tried(options: EtcdOptions, prefix = 'desired/'): Promise<PilotfishError | null> {
  const store = new EtcdStore(options);
  try {
    await store.list(prefix);
    return null;
  } catch (error) {
    return error as PilotfishError;
  } finally {
    store.close();
  }
}

/** Starts a source and closes it at the end of the scope. */
function watching(options: EtcdOptions): AsyncDisposable & { readonly recorder: SourceRecorder } {
  const recorder = new SourceRecorder();
  const source = new EtcdSource({ ...options, log: recordingLogger().log });
  source.start(recorder);
  return { recorder, [Symbol.asyncDispose]: () => source.close() };
}

const reason = ({ recorder }: { readonly recorder: SourceRecorder }) => {
  const status = recorder.statuses.at(-1);
  return status?.state === 'lost' ? status.reason : '';
};

describe.skipIf(skipUnless(['etcd'], needEtcdProcess()))('etcd with users', () => {
  it('serves a user whose role is limited to the prefix, and words every refusal', async () => {
    await using server = await EtcdProcess.start({ extra: ['--auth-token-ttl', '1', '--bcrypt-cost', '4'] });
    await server.ctl('put', '/pilotfish/v1/desired/vips/a', '1');
    await server.ctl('user', 'add', 'root:top');
    await server.ctl('user', 'grant-role', 'root', 'root');
    await server.ctl('role', 'add', 'lb');
    await server.ctl('role', 'grant-permission', 'lb', '--prefix=true', 'read', '/pilotfish/v1/desired/');
    await server.ctl('user', 'add', 'lb:secret');
    await server.ctl('user', 'grant-role', 'lb', 'lb');
    await server.ctl('auth', 'enable');
    const endpoints = [server.endpoint];
    const auth = { username: 'lb', password: 'secret' };
    {
      await using view = watching({ endpoints, auth });
      await until('the state', 3_000, () => view.recorder.value('desired/vips/a') === '1');
      await server.ctl('--user', 'root:top', 'put', '/pilotfish/v1/desired/vips/a', '2');
      await until('the change', 1_000, () => view.recorder.value('desired/vips/a') === '2');

      await server.ctl('--user', 'root:top', 'user', 'delete', 'lb');
      await until('refused', 9_000, () => /user name or password is wrong/.test(reason(view)));
      await server.ctl('--user', 'root:top', 'user', 'add', 'lb:secret');
      await server.ctl('--user', 'root:top', 'user', 'grant-role', 'lb', 'lb');
      await until('current again', 5_000, () => view.recorder.state === 'current');
    }

    expect(await tried({ endpoints, auth })).toBeNull();
    const forbidden = await tried({ endpoints, auth, prefix: '/elsewhere/' });
    expect(forbidden?.message).toBe(`etcd at ${server.endpoint}: the user may not use these keys`);
    expect(forbidden?.fix).toMatch(/grant-permission/);
    expect((await tried({ endpoints, auth: { ...auth, password: 'no' } }))?.message).toMatch(/password is wrong/);
    expect((await tried({ endpoints }))?.message).toMatch(/asks for a user name and a password/);
    await using outside = watching({ endpoints, auth, prefix: '/elsewhere/' });
    await until('forbidden', 3_000, () => /may not use these keys/.test(reason(outside)));

    await server.ctl('--user', 'root:top', 'auth', 'disable');
    expect(await tried({ endpoints, auth })).toBeNull();
  });

  it('logs in anew when the login has expired', async () => {
    await using server = await EtcdProcess.start({ extra: ['--auth-token-ttl', '1', '--bcrypt-cost', '4'] });
    await server.ctl('user', 'add', 'root:top');
    await server.ctl('user', 'grant-role', 'root', 'root');
    await server.ctl('auth', 'enable');
    const store = new EtcdStore({ endpoints: [server.endpoint], auth: { username: 'root', password: 'top' } });
    await store.list('desired/');
    let expired: unknown;
    await until('the login to expire', 9_000, async () => {
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expired = await store.list('desired/').catch((error: unknown) => error);
      return expired instanceof Error;
    });
    expect((expired as Error).message).toMatch(/the login is no longer valid/);
    await store.list('desired/');
    store.close();
  });
});

const needTls = () => (needEtcdProcess().ok ? need('openssl') : needEtcdProcess());

describe.skipIf(skipUnless(['etcd', 'openssl'], needTls()))('etcd with TLS', () => {
  it('is reached with the right CA, and words what is wrong otherwise', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'pilotfish-tls-'));
    try {
      const make = (name: string) => {
        const [key, cert] = [join(dir, `${name}.key`), join(dir, `${name}.pem`)];
        const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost';
        const names = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert];
        execFileSync('openssl', [...words.split(' '), ...names], { stdio: 'ignore' });
        return { key, cert };
      };
      const right = make('right');
      const wrong = make('wrong');
      await using server = await EtcdProcess.start({ tls: { ca: right.cert, ...right } });
      const https = [`https://${server.endpoint}`];
      expect(await tried({ endpoints: https, tls: { ca: right.cert } })).toBeNull();
      expect(await tried({ endpoints: [server.endpoint], tls: { ca: readFileSync(right.cert, 'utf8') } })).toBeNull();
      expect((await tried({ endpoints: https, tls: { ca: wrong.cert } }))?.message).toMatch(
        /TLS failed: .*certificate/,
      );
      expect((await tried({ endpoints: https }))?.message).toMatch(/TLS failed: .*certificate/);
      expect((await tried({ endpoints: https, tls: { ca: join(dir, 'none') } }))?.message).toMatch(
        /none cannot be read/,
      );
      expect((await tried({ endpoints: https, tls: { ca: join(dir, 'right.key') } }))?.code).toBe('PF_STORE');
      const plain = await tried({ endpoints: [`http://${server.endpoint}`] });
      expect(plain?.fix).toMatch(/scheme of the endpoint/);

      await using view = watching({ endpoints: https, tls: { ca: right.cert } });
      await until('current', 3_000, () => view.recorder.state === 'current');
      await server.ctl('put', '/pilotfish/v1/desired/vips/a', '1');
      await until('the put', 1_000, () => view.recorder.value('desired/vips/a') === '1');
      await using plainServer = await EtcdProcess.start();
      const tls = { endpoints: [`https://${plainServer.endpoint}`], tls: { ca: right.cert } };
      // The server may hang up before or after it has said something that is no TLS.
      const mismatch = await tried(tls);
      expect(mismatch?.message).toMatch(/TLS failed|the connection was lost/);
      expect(mismatch?.fix).toMatch(/scheme of the endpoint/);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
