import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { pilotfish } from '../support/command.ts';
import { until } from '../support/until.ts';

/** Two namespaces joined by a veth pair; one is the LB, the other one its gateway. */
const lb = `pft-start-${process.pid}`;
const router = `pft-gate-${process.pid}`;
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const inLb = ['nsenter', `--net=/run/netns/${lb}`];
const ip = (...args: string[]) => execFileSync('ip', args);

let folder: string;
let bpffs: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilotfish-start-'));
  bpffs = join(folder, 'bpf');
  mkdirSync(bpffs);
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
  for (const name of [lb, router]) ip('netns', 'add', name);
  ip('link', 'add', 'eth0', 'netns', lb, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', router);
  ip('-n', lb, 'addr', 'add', '10.99.0.2/24', 'dev', 'eth0');
  ip('-n', router, 'addr', 'add', '10.99.0.1/24', 'dev', 'eth0');
  for (const name of [lb, router]) ip('-n', name, 'link', 'set', 'eth0', 'up');
  ip('-n', lb, 'link', 'set', 'lo', 'up');
});

afterAll(() => {
  for (const name of [lb, router]) execFileSync('ip', ['netns', 'del', name]);
  execFileSync('umount', [bpffs]);
  rmSync(folder, { recursive: true });
});

let configs = 0;

function config(fields: object = {}): string {
  const file = join(folder, `agent-${++configs}.yaml`);
  const base = {
    name: 'lb1',
    interface: 'eth0',
    gateway: '10.99.0.1',
    // A port that nothing listens on.
    source: { etcd: { endpoints: ['127.0.0.1:1'] } },
    pinDir: join(bpffs, 'pilotfish'),
    admin: { socket: join(folder, `${configs}.sock`) },
  };
  writeFileSync(file, stringify({ ...base, ...fields }));
  return file;
}

describe('the agent refuses to start, with one clear message', () => {
  it('without a capability, and names each one', async () => {
    const drop = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];
    const { code, stderr } = await pilotfish(['run', '--config', config()], { prefix: [...inLb, ...drop] });
    expect(stderr).toContain('PF_CAPABILITY');
    for (const name of ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_PERFMON']) expect(stderr).toContain(name);
    expect(stderr).toContain('AmbientCapabilities=');
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(1);
  });

  it('on an interface that is not there, and names those that are', async () => {
    const { code, stderr } = await pilotfish(['run', '--config', config({ interface: 'eth7' })], { prefix: inLb });
    expect(stderr).toContain('PF_INTERFACE: there is no interface eth7');
    expect(stderr).toMatch(/fix: .*eth0/);
    expect(code).toBe(1);
  });

  it('with an egress interface that is not there, or that nothing can leave by', async () => {
    const none = await pilotfish(['run', '--config', config({ egress: 'eth7' })], { prefix: inLb });
    expect(none.stderr).toContain('PF_INTERFACE: there is no interface eth7');
    expect(none.stderr).toMatch(/fix: set egress .*eth0/);
    expect(none.code).toBe(1);
    const loopback = await pilotfish(['run', '--config', config({ egress: 'lo' })], { prefix: inLb });
    expect(loopback.stderr).toContain('PF_INTERFACE: egress lo carries no Ethernet frames');
    expect(loopback.stderr).toMatch(/fix: set egress .*or remove it/);
    expect(loopback.code).toBe(1);
  });

  it('on a kernel that is too old', async () => {
    // The personality UNAME26 has the kernel call itself 2.6.
    const { code, stderr } = await pilotfish(['run', '--config', config()], {
      prefix: [...inLb, 'setarch', '--uname-2.6'],
    });
    expect(stderr).toMatch(/PF_KERNEL: this kernel is 2\.6\.\d+.*; Pilotfish needs 6\.1 or newer/);
    expect(code).toBe(1);
  });

  it('with a broken configuration, and lists every mistake', async () => {
    const file = config({ interfaces: 'eth0', flowCache: { entriesPerCpu: 'many' }, mode: 'fast' });
    const { code, stderr } = await pilotfish(['run', '--config', file], { prefix: inLb });
    expect(stderr).toContain('PF_CONFIG');
    for (const path of ['interfaces', 'entriesPerCpu', 'mode']) expect(stderr).toContain(path);
    expect(code).toBe(2);
  });

  it('without a gateway', async () => {
    const file = join(folder, 'no-gateway.yaml');
    writeFileSync(
      file,
      stringify({
        interface: 'eth0',
        source: { etcd: { endpoints: ['127.0.0.1:1'] } },
        pinDir: join(bpffs, 'pilotfish'),
        admin: { socket: join(folder, 'no-gateway.sock') },
      }),
    );
    const { code, stderr } = await pilotfish(['run', '--config', file], { prefix: inLb });
    expect(stderr).toContain('PF_GATEWAY: no gateway is configured and no default route leaves by eth0');
    expect(code).toBe(1);
  });

  it('with a gateway that does not answer', async () => {
    const { code, stderr } = await pilotfish(['run', '--config', config({ gateway: '10.99.0.77' })], { prefix: inLb });
    expect(stderr).toContain('PF_GATEWAY: gateway 10.99.0.77 does not answer on eth0');
    expect(code).toBe(1);
  });

  it('with a pin directory that is on no bpf file system', async () => {
    const { code, stderr } = await pilotfish(['run', '--config', config({ pinDir: join(folder, 'pins') })], {
      prefix: inLb,
    });
    expect(stderr).toContain('PF_BPFFS');
    expect(stderr).toContain('mount -t bpf');
    expect(code).toBe(1);
  });
});

/** An agent in the namespace that goes on until it is ended. */
function start(file: string) {
  const [command = '', ...args] = [...inLb, process.execPath, main, 'run', '--config', file];
  return spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
}

describe('the agent gives up, and its process ends by itself', () => {
  it('where another agent answers on its admin socket', async () => {
    const socket = join(folder, 'shared.sock');
    const first = start(config({ admin: { socket } }));
    const ended = once(first, 'exit');
    try {
      await until('the first agent answers', 10_000, () => existsSync(socket));
      const pinDir = join(bpffs, 'second');
      const { code, stderr } = await pilotfish(['run', '--config', config({ admin: { socket }, pinDir })], {
        prefix: inLb,
      });
      expect(stderr).toContain(`PF_CONFIG: another agent answers on ${socket}`);
      expect(code).toBe(2);
    } finally {
      first.kill('SIGTERM');
    }
    expect(await ended).toEqual([0, null]);
  });

  it('where its admin socket cannot be made', async () => {
    const file = join(folder, 'no-folder');
    writeFileSync(file, '');
    const socket = join(file, 'admin.sock');
    const { code, stderr } = await pilotfish(['run', '--config', config({ admin: { socket } })], { prefix: inLb });
    expect(stderr).toContain(`PF_CONFIG: admin.socket ${socket} cannot be made`);
    expect(code).toBe(2);
  });

  it('where its stateDir cannot be read', async () => {
    const stateDir = join(folder, 'circle');
    symlinkSync(stateDir, stateDir);
    const { code, stderr } = await pilotfish(['run', '--config', config({ stateDir })], { prefix: inLb });
    expect(stderr).toContain(`PF_CONFIG: ${join(stateDir, 'lb1.left')} cannot be read`);
    expect(code).toBe(2);
  });
});

describe('a store that cannot be reached', () => {
  it('is no reason to refuse: the agent waits, says so, and tells it to who asks', async () => {
    const file = config();
    const socketPath = join(folder, `${configs}.sock`);
    const agent = start(file);
    let log = '';
    agent.stdout.on('data', (chunk: Buffer) => {
      log += chunk;
    });
    const exited = new Promise<number | null>((resolve) => agent.once('exit', resolve));
    const client = new Client('http://localhost', { socketPath });
    try {
      const ready = async () => {
        const { statusCode, body } = await client.request({ method: 'GET', path: '/readyz' });
        return `${statusCode} ${await body.text()}`;
      };
      await until('the agent tells why it waits', 10_000, () =>
        ready().then(
          (text) => text.includes('refused'),
          () => false,
        ),
      );
      expect(await ready()).toMatch(/^503 no desired state yet: .*127\.0\.0\.1:1/);
      await until('the log names the endpoint', 2_000, () => log.includes('127.0.0.1:1'));
      const status = await pilotfish(['status', '--socket', socketPath]);
      expect(status.code).toBe(1);
      expect(status.stdout).toContain('NOT READY');
      expect(status.stdout).toContain('no desired state yet');
    } finally {
      agent.kill('SIGTERM');
      await client.close();
    }
    expect(await exited).toBe(0);
  });
});
