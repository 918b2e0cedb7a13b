import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { checkTarget } from '../support/health.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');

it('finds its thread also when compiled', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'pilotfish-health-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const config = {
    extends: join(root, 'tsconfig.build.json'),
    include: [],
    files: ['health', 'worker'].map((name) => join(root, `src/health/${name}.ts`)),
    compilerOptions: { outDir: dir, rootDir: join(root, 'src'), typeRoots: [join(root, 'node_modules/@types')] },
  };
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config));
  await writeFile(join(dir, 'package.json'), '{"type":"module"}');
  await symlink(join(root, 'node_modules'), join(dir, 'node_modules'));
  await run(join(root, 'node_modules/.bin/tsc'), ['-p', dir]);

  const server = createServer((socket) => socket.on('error', () => socket.destroy()));
  onTestFinished(() => {
    server.close();
  });
  await new Promise<void>((listening) => {
    server.listen(0, '127.0.0.1', listening);
  });
  const target = checkTarget('127.0.0.1', { port: (server.address() as AddressInfo).port, fastIntervalMs: 50 });
  const script = `
    import { Health } from './health/health.js';
    const log = { error: (fields, message) => { console.error(message, fields); process.exit(1); } };
    const onTransition = async ({ to }) => { console.log(to); await health.close(); };
    const health = new Health({ lb: 'lb1', log, onTransition });
    health.update([${JSON.stringify(target)}]);`;
  await writeFile(join(dir, 'main.js'), script);
  const { stdout } = await run(process.execPath, [join(dir, 'main.js')], { timeout: 20_000 });
  expect(stdout).toBe('up\n');
}, 60_000);
