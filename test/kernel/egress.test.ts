import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { readPcap } from '../../src/dataplane/pcap.ts';
import { pilotfish } from '../support/command.ts';
import { parseEthernet, parseIpv4 } from '../support/frames.ts';
import { needs } from '../support/require.ts';
import { until } from '../support/until.ts';

/**
 * client -- eth0 [LB] eth1 -- a segment with the gateway and a real: packets come in by one interface and leave by the
 * other. The agent is a process, and what the segment gets is captured there.
 */
const lb = `pfe-lb-${process.pid}`;
const client = `pfe-client-${process.pid}`;
const segment = `pfe-seg-${process.pid}`;
const real = `pfe-real-${process.pid}`;
const namespaces = [lb, client, segment, real];
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const inside = (namespace: string, ...command: string[]): string =>
  execFileSync('nsenter', [`--net=/run/netns/${namespace}`, ...command], { encoding: 'utf8' });
const macOf = (namespace: string, name: string): string =>
  JSON.parse(ip('-n', namespace, '-j', 'link', 'show', name))[0].address;

let folder: string;
let bpffs: string;

function leg(namespace: string, name: string, other: string, port: string): void {
  ip('link', 'add', name, 'netns', namespace, 'type', 'veth', 'peer', 'name', port, 'netns', other);
  ip('-n', namespace, 'link', 'set', name, 'up');
  ip('-n', other, 'link', 'set', port, 'up');
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilotfish-egress-'));
  bpffs = join(folder, 'bpf');
  mkdirSync(bpffs);
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
  for (const name of namespaces) {
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  leg(lb, 'eth0', client, 'eth0');
  leg(lb, 'eth1', segment, 'lb1');
  leg(real, 'eth0', segment, 'real0');
  ip('-n', segment, 'link', 'add', 'br0', 'type', 'bridge');
  for (const port of ['lb1', 'real0']) ip('-n', segment, 'link', 'set', port, 'master', 'br0');
  ip('-n', segment, 'link', 'set', 'br0', 'up');
  ip('-n', segment, 'addr', 'add', '10.98.0.1/24', 'dev', 'br0');
  ip('-n', real, 'addr', 'add', '10.98.0.11/24', 'dev', 'eth0');
  ip('-n', lb, 'addr', 'add', '10.97.0.2/24', 'dev', 'eth0');
  ip('-n', lb, 'addr', 'add', '10.98.0.2/24', 'dev', 'eth1');
  ip('-n', client, 'addr', 'add', '10.97.0.1/24', 'dev', 'eth0');
  ip('-n', client, 'route', 'add', 'default', 'via', '10.97.0.2');
});

afterAll(() => {
  for (const name of namespaces) ip('netns', 'del', name);
  execFileSync('umount', [bpffs]);
  rmSync(folder, { recursive: true });
});

const check = [{ type: 'tcp', port: 9, interval: '100ms', timeout: '100ms', fall: 1 }];
/** Nothing answers the checks; when so little is up, all count as up. */
const state = {
  vips: {
    far: { address: '192.0.2.10', port: 5_001, protocol: 'udp', pool: 'far' },
    near: { address: '192.0.2.10', port: 5_002, protocol: 'udp', pool: 'near' },
    here: { address: '192.0.2.10', port: 5_003, protocol: 'udp', pool: 'here' },
  },
  pools: {
    far: { checks: check, reals: { r1: { address: '10.99.0.9' } } },
    near: { checks: check, encap: 'l2', reals: { r1: { address: '10.98.0.11' } } },
    here: { checks: check, reals: { r1: { address: '10.98.0.2' } } },
  },
};

interface RunningAgent {
  /** Packets counted under a reason. */
  count(reason: string): Promise<number>;
}

async function startAgent(mode: string): Promise<RunningAgent> {
  const at = (name: string): string => join(folder, `${mode}-${name}`);
  writeFileSync(at('state.yaml'), stringify(state));
  writeFileSync(
    at('agent.yaml'),
    stringify({
      name: 'lb1',
      interface: 'eth0',
      egress: 'eth1',
      gateway: '10.98.0.1',
      mode,
      source: { file: at('state.yaml') },
      pinDir: join(bpffs, mode),
      stateDir: folder,
      admin: { socket: at('agent.sock') },
    }),
  );
  const args = [`--net=/run/netns/${lb}`, process.execPath, main, 'run', '--config', at('agent.yaml')];
  const agent = spawn('nsenter', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  onTestFinished(async () => {
    await ended(agent, 'SIGTERM');
    expect((await pilotfish(['detach', '--config', at('agent.yaml')])).code).toBe(0);
  });
  const status = () => pilotfish(['status', '--config', at('agent.yaml'), '-o', 'json']);
  await until('the agent is ready', 30_000, async () => (await status()).code === 0);
  return { count: async (reason) => JSON.parse((await status()).stdout).reasons[reason] };
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

function send(port: number): void {
  inside(client, 'bash', '-c', `echo hello > /dev/udp/192.0.2.10/${port}`);
}

/** The first frame that reaches the segment while the client sends datagrams to this port; null when none does. */
async function firstOut(port: number): Promise<Uint8Array | null> {
  const file = join(folder, `${process.hrtime.bigint()}.pcap`);
  const capture = ['tcpdump', '-Q', 'in', '-i', 'lb1', '-U', '-w', file, 'ip proto 4 or dst host 192.0.2.10'];
  const tcpdump = spawn('nsenter', [`--net=/run/netns/${segment}`, ...capture], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  onTestFinished(() => ended(tcpdump, 'SIGKILL'));
  await once(tcpdump.stderr, 'data');
  for (let round = 0; round < 20; round++) {
    send(port);
    await sleep(100);
    const [first] = readPcap(readFileSync(file), file).frames;
    if (first !== undefined) return first.data;
  }
  return null;
}

/** What the veth needs to take frames that XDP redirects to it. */
function gro(on: boolean): void {
  inside(segment, 'ethtool', '-K', 'lb1', 'gro', on ? 'on' : 'off');
}

describe.skipIf(needs('tcpdump', 'ethtool'))('packets that come in by one interface', () => {
  it.each(['driver', 'generic'])('leave by the other one, in %s mode', async (mode) => {
    gro(mode === 'driver');
    const agent = await startAgent(mode);

    const tunnelled = parseEthernet((await firstOut(5_001)) ?? new Uint8Array());
    expect(tunnelled).toMatchObject({ from: macOf(lb, 'eth1'), to: macOf(segment, 'br0'), type: 0x0800 });
    const outer = parseIpv4(tunnelled.payload);
    expect(outer).toMatchObject({ to: '10.99.0.9', protocol: 4, ttl: 64, checksumOk: true });
    expect(outer.from).toMatch(/^172\.16\./);
    expect(parseIpv4(outer.payload)).toMatchObject({ from: '10.97.0.1', to: '192.0.2.10', protocol: 17 });

    const plain = parseEthernet((await firstOut(5_002)) ?? new Uint8Array());
    expect(plain).toMatchObject({ from: macOf(lb, 'eth1'), to: macOf(real, 'eth0'), type: 0x0800 });
    expect(parseIpv4(plain.payload)).toMatchObject({ from: '10.97.0.1', to: '192.0.2.10', protocol: 17, ttl: 64 });

    expect(await agent.count('local_real')).toBe(0);
    send(5_003);
    await until(
      'a packet for a real that is this host goes up',
      5_000,
      async () => (await agent.count('local_real')) === 1,
    );
  });

  it('vanish in driver mode when the veth cannot send them, as the agent warns', async () => {
    gro(false);
    const agent = await startAgent('driver');
    expect(await firstOut(5_001)).toBeNull();
    expect(await agent.count('forwarded')).toBeGreaterThan(0);
    gro(true);
    expect(await firstOut(5_001)).not.toBeNull();
  });
});
