import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { parseConfig } from '../../src/config.ts';

const child = fileURLToPath(new URL('../support/agent-child.ts', import.meta.url));
const lb = `pft-settles-${process.pid}`;
const ip = (...args: string[]) => execFileSync('ip', args);

let folder: string;
let bpffs: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilotfish-settles-'));
  bpffs = join(folder, 'bpf');
  mkdirSync(bpffs);
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
  ip('netns', 'add', lb);
  ip('-n', lb, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  ip('-n', lb, 'addr', 'add', '10.99.0.2/24', 'dev', 'eth0');
  for (const name of ['eth0', 'eth1']) ip('-n', lb, 'link', 'set', name, 'up');
  ip('-n', lb, 'neigh', 'add', '10.99.0.1', 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0');
});

afterAll(() => {
  ip('netns', 'del', lb);
  execFileSync('umount', [bpffs]);
  rmSync(folder, { recursive: true });
});

it('the agent settles slots again and again, as often as flowCache.longestIdle and a tick of it say', async () => {
  const state = join(folder, 'state.yaml');
  writeFileSync(state, '{}\n');
  const tree = {
    name: 'lb1',
    interface: 'eth0',
    gateway: '10.99.0.1',
    source: { file: state },
    pinDir: join(bpffs, 'pilotfish'),
    stateDir: folder,
    admin: { socket: join(folder, 'agent.sock') },
  };
  const config = parseConfig(tree, 'agent.yaml');
  const soon = { ...config, flowCache: { ...config.flowCache, entriesPerCpu: 1_024, longestIdleMs: 500 } };
  const command = [`--net=/run/netns/${lb}`, process.execPath, child, JSON.stringify(soon)];
  const agent = spawn('nsenter', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void agent.kill('SIGKILL'));
  const times: number[] = [];
  for await (const line of createInterface({ input: agent.stdout })) {
    expect(line).toBe('settled');
    if (times.push(performance.now()) === 3) break;
  }
  expect(times.length).toBe(3);
  // A timer is late on a busy machine, and never early: a tick is about two seconds.
  for (const at of [1, 2]) expect(times[at]! - times[at - 1]!).toBeGreaterThan(2_000);
});
