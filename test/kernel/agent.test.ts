import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { fetchState } from '../../src/cli/agent-client.ts';
import type { AgentConfig } from '../../src/config.ts';
import { parseConfig } from '../../src/config.ts';
import { until } from '../support/until.ts';

const child = fileURLToPath(new URL('../support/agent-child.ts', import.meta.url));
const lb = `pft-agent-${process.pid}`;
const inLb = [`--net=/run/netns/${lb}`];
const ip = (...args: string[]) => execFileSync('ip', args);

/** Takes connections, and says so once it does. */
const LISTEN = `require('node:net')
  .createServer((connection) => connection.on('error', () => {}))
  .listen(8080, () => console.log('listening'));`;

let folder: string;
let bpffs: string;
let agents = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilotfish-agent-'));
  bpffs = join(folder, 'bpf');
  mkdirSync(bpffs);
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
  ip('netns', 'add', lb);
  ip('-n', lb, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  for (const address of ['10.99.0.2/24', '10.99.0.3/24']) ip('-n', lb, 'addr', 'add', address, 'dev', 'eth0');
  for (const name of ['lo', 'eth0', 'eth1']) ip('-n', lb, 'link', 'set', name, 'up');
  ip('-n', lb, 'neigh', 'add', '10.99.0.1', 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0');
});

afterAll(() => {
  ip('netns', 'del', lb);
  execFileSync('umount', [bpffs]);
  rmSync(folder, { recursive: true });
});

/** An agent in the namespace in the place of the one before, its settings changed. */
function startAgent(change: (config: AgentConfig) => AgentConfig = (config) => config) {
  const state = join(folder, `state-${++agents}.yaml`);
  const socket = join(folder, `${agents}.sock`);
  writeFileSync(state, '{}\n');
  const config = parseConfig(
    {
      name: 'lb1',
      interface: 'eth0',
      gateway: '10.99.0.1',
      source: { file: state },
      pinDir: join(bpffs, 'pilotfish'),
      stateDir: folder,
      admin: { socket },
      flowCache: { entriesPerCpu: 1_024 },
    },
    'agent.yaml',
  );
  const command = [...inLb, process.execPath, child, JSON.stringify(change(config))];
  const agent = spawn('nsenter', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(async () => {
    const ended = once(agent, 'close');
    agent.kill('SIGKILL');
    await ended;
  });
  /** Replaced as a whole: no half of it is ever read. */
  const write = (tree: object) => {
    writeFileSync(`${state}.new`, stringify(tree));
    renameSync(`${state}.new`, state);
  };
  return { output: agent.stdout, socket, write };
}

describe('the agent', () => {
  it('settles slots again and again, as often as flowCache.longestIdle and a tick of it say', async () => {
    const { output } = startAgent((config) => ({ ...config, flowCache: { ...config.flowCache, longestIdleMs: 500 } }));
    const times: number[] = [];
    for await (const line of createInterface({ input: output })) if (times.push(Number(line)) === 2) break;
    // A timer is late on a busy machine, and never early; a tick is about two seconds.
    expect(times[0]).toBeGreaterThan(2_000);
    expect(times[1]! - times[0]!).toBeGreaterThan(2_000);
  });

  it('says in its status which pools the MTU is too small for', async () => {
    const { socket, write } = startAgent((config) => ({ ...config, mtu: 1_300 }));
    const web = (address: string) => ({ web: { address, port: 80, protocol: 'tcp', pool: 'web' } });
    const pools = { web: { encap: 'gue', reals: { r1: { address: '10.99.0.9' } } } };
    const found = async () =>
      (await fetchState(socket).catch(() => null))?.problems.filter((problem) => problem.includes('1280')) ?? [];
    write({ vips: web('2001:db8::1'), pools });
    await until('it is named', 20_000, async () => (await found()).length > 0);
    expect(await found()).toEqual([
      'IPv6 packets of 1280 bytes do not fit to pool web, and are never smaller: it needs an MTU of 1308',
    ]);
    write({ vips: web('192.0.2.10'), pools });
    await until('it is not any more', 10_000, async () => (await found()).length === 0);
  });

  it('gives no new flow to a real that comes back, before it is checked again', async () => {
    const listener = spawn('nsenter', [...inLb, process.execPath, '--eval', LISTEN], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void listener.kill('SIGKILL'));
    await once(listener.stdout, 'data');
    const { socket, write } = startAgent();
    /** Slots of the reals that there are, by id. */
    const slots = async () => {
      const state = await fetchState(socket).catch(() => null);
      return Object.fromEntries(state?.pools[0]?.reals.map((real) => [real.id, real.slots]) ?? []);
    };
    const reals = { r1: { address: '10.99.0.2' }, r2: { address: '10.99.0.3' } };
    const stateOf = (of: object) => ({
      vips: { web: { address: '192.0.2.10', port: 80, protocol: 'tcp', pool: 'web' } },
      pools: { web: { checks: [{ type: 'tcp', port: 8_080, interval: '1s', fall: 30 }], reals: of } },
    });
    write(stateOf(reals));
    await until('both reals have slots', 20_000, async () => Object.values(await slots()).filter(Boolean).length === 2);
    write(stateOf({ r1: reals.r1 }));
    await until('one real is gone', 10_000, async () => !('r2' in (await slots())));
    // Who comes back under the address answers no check.
    ip('-n', lb, 'addr', 'del', '10.99.0.3/24', 'dev', 'eth0');
    write(stateOf(reals));
    await until('it is back', 10_000, async () => 'r2' in (await slots()));
    expect(await slots()).toEqual({ r1: 65_537, r2: 0 });
  });
});
