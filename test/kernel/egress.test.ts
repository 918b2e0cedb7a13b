import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import type { AgentState } from '../../src/agent-state.ts';
import { readPcap } from '../../src/dataplane/pcap.ts';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { parseEthernet, parseIpv4 } from '../support/frames.ts';
import { needs } from '../support/require.ts';
import { until } from '../support/until.ts';

/**
 * client -- eth0 [LB] eth1 -- a segment with the gateway and a real: packets come in by one interface and leave by the
 * other. The agent is a process, and what the segment gets is captured there. Of eth2, by which packets may leave as
 * well, the other end port2 is on the LB too, in a bridge that leads on to the real.
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
  leg(lb, 'eth2', lb, 'port2');
  leg(real, 'eth2', lb, 'out2');
  ip('-n', lb, 'link', 'add', 'br2', 'type', 'bridge');
  for (const port of ['port2', 'out2']) ip('-n', lb, 'link', 'set', port, 'master', 'br2');
  ip('-n', lb, 'link', 'set', 'br2', 'up');
  ip('-n', lb, 'addr', 'add', '10.96.0.2/24', 'dev', 'eth2');
  ip('-n', real, 'addr', 'add', '10.96.0.1/24', 'dev', 'eth2');
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

const byEth1 = { egress: 'eth1', gateway: '10.98.0.1' };
const byEth2 = { egress: 'eth2', gateway: '10.96.0.1' };

/** One LB, whose agent may be started several times. */
class Lb {
  readonly #config: string;
  #agent: ChildProcess | undefined;
  /** What it logged at info or above since it was started last. */
  #logged = '';

  constructor() {
    this.#config = join(mkdtempSync(join(folder, 'lb-')), 'agent.yaml');
    onTestFinished(async () => {
      await this.end('SIGTERM');
      expect((await this.run('detach')).code).toBe(0);
    });
  }

  get pinDir(): string {
    return join(bpffs, basename(dirname(this.#config)));
  }

  /** Resolves when it is ready. */
  async start(fields: object): Promise<void> {
    const at = (name: string): string => join(dirname(this.#config), name);
    writeFileSync(at('state.yaml'), stringify(state));
    const common = { name: 'lb1', interface: 'eth0', source: { file: at('state.yaml') }, stateDir: folder };
    const own = { pinDir: this.pinDir, admin: { socket: at('agent.sock') } };
    writeFileSync(this.#config, stringify({ ...common, ...own, ...fields }));
    const args = [`--net=/run/netns/${lb}`, process.execPath, main, 'run', '--config', this.#config];
    this.#agent = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#logged = '';
    this.#agent.stdout?.on('data', (chunk: Buffer) => {
      this.#logged += chunk;
    });
    await until('the agent is ready', 30_000, async () => (await this.run('status')).code === 0);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#agent !== undefined) await ended(this.#agent, signal);
  }

  /** A command on that host. */
  run(command: string, ...args: readonly string[]): Promise<CommandResult> {
    const prefix = ['nsenter', `--net=/run/netns/${lb}`];
    return pilotfish([command, '--config', this.#config, ...args], { prefix });
  }

  async state(): Promise<AgentState> {
    return JSON.parse((await this.run('status', '-o', 'json')).stdout);
  }

  /** Packets counted under a reason. */
  async count(reason: string): Promise<number | undefined> {
    return (await this.state()).reasons[reason];
  }

  logs(message: string): Record<string, unknown>[] {
    const lines = this.#logged.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line)).filter(({ msg }) => String(msg).includes(message));
  }
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

/** The first frame that arrives there while the client sends datagrams to this port; null when none does. */
async function firstOut(port: number, namespace = segment, name = 'lb1'): Promise<Uint8Array | null> {
  const file = join(folder, `${process.hrtime.bigint()}.pcap`);
  const capture = ['tcpdump', '-Q', 'in', '-i', name, '-U', '-w', file, 'ip proto 4 or dst host 192.0.2.10'];
  const tcpdump = spawn('nsenter', [`--net=/run/netns/${namespace}`, ...capture], {
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
    const agent = new Lb();
    await agent.start({ ...byEth1, mode });

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
    const agent = new Lb();
    await agent.start({ ...byEth1, mode: 'driver' });
    expect(agent.logs('or GRO on')).toMatchObject([{ level: 40, interface: 'eth1' }]);
    expect((await agent.state()).egress).toEqual({ interface: 'eth1', program: 'unseen', programOn: null });
    expect(await firstOut(5_001)).toBeNull();
    expect(await agent.count('forwarded')).toBeGreaterThan(0);
    gro(true);
    expect(await firstOut(5_001)).not.toBeNull();
  });
});

/** What is attached to an interface of the LB. */
function attached(name: string): { id: number; name: string; mode: number } | null {
  const [{ xdp }] = JSON.parse(ip('-n', lb, '-d', '-j', 'link', 'show', 'dev', name));
  return xdp === undefined ? null : { id: xdp.prog.id, name: xdp.prog.name, mode: xdp.mode };
}

describe.skipIf(needs('tcpdump'))('the program that has the egress interface send', () => {
  const arrives = async (): Promise<boolean> => (await firstOut(5_001, real, 'eth2')) !== null;

  it('is attached by the agent, forwards on without it, and is taken over by the next one', async () => {
    const agent = new Lb();
    await agent.start(byEth2);
    expect((await agent.state()).egress).toEqual({ interface: 'eth2', program: 'own', programOn: 'port2' });
    expect((await agent.run('status')).stdout).toMatch(/^ {2}egress {6}eth2, .* XDP program of this LB on port2$/m);
    const program = attached('port2');
    expect(program).toMatchObject({ name: 'pilotfish_pass', mode: 1 });
    expect(attached('eth2')).toBeNull();
    expect(await arrives()).toBe(true);

    await agent.end('SIGKILL');
    expect(attached('port2')).toEqual(program);
    expect(await arrives()).toBe(true);

    await agent.start(byEth2);
    expect((await agent.state()).egress?.program).toBe('own');
    expect(attached('port2')).toEqual(program);
    expect(await arrives()).toBe(true);
    await agent.end('SIGTERM');
    expect(attached('port2')).toEqual(program);

    expect((await agent.run('detach')).stdout).toContain(`removed program ${program?.id} from interface index`);
    expect([attached('eth0'), attached('port2')]).toEqual([null, null]);
    expect(existsSync(agent.pinDir)).toBe(false);
  });

  it.each([
    ['is taken out of agent.yaml', { gateway: '10.97.0.1' }],
    ['is another one', byEth1],
  ])('goes when egress %s', async (_, fields) => {
    const agent = new Lb();
    await agent.start(byEth2);
    expect(attached('port2')?.name).toBe('pilotfish_pass');
    await agent.end('SIGTERM');
    await agent.start(fields);
    expect(attached('port2')).toBeNull();
    expect(existsSync(join(agent.pinDir, 'egress'))).toBe(false);
    expect(agent.logs('packets do not leave there any more')).toHaveLength(1);
  });

  it('is none in generic mode, but for a link that is in driver mode yet', async () => {
    const agent = new Lb();
    await agent.start(byEth2);
    await agent.end('SIGTERM');
    await agent.start({ ...byEth2, mode: 'generic' });
    expect(attached('eth0')?.mode).toBe(1);
    expect(attached('port2')?.name).toBe('pilotfish_pass');
    expect(await arrives()).toBe(true);
    await agent.end('SIGTERM');
    await agent.run('detach');
    await agent.start({ ...byEth2, mode: 'generic' });
    expect(attached('eth0')?.mode).toBe(2);
    expect((await agent.state()).egress).toEqual({ interface: 'eth2', program: 'unneeded', programOn: null });
    expect(attached('port2')).toBeNull();
    expect(await arrives()).toBe(true);
  });

  it('is not put in the place of another one, which serves as well', async () => {
    const pass = fileURLToPath(new URL('../../build/lab/xdp-pass.bpf.o', import.meta.url));
    ip('-n', lb, 'link', 'set', 'dev', 'port2', 'xdpdrv', 'obj', pass, 'sec', 'xdp');
    onTestFinished(() => void ip('-n', lb, 'link', 'set', 'dev', 'port2', 'xdpdrv', 'off'));
    const foreign = attached('port2');
    expect(foreign?.name).toBe('pass');
    const agent = new Lb();
    await agent.start(byEth2);
    expect((await agent.state()).egress).toEqual({ interface: 'eth2', program: 'foreign', programOn: 'port2' });
    expect((await agent.run('status')).stdout).toContain('somebody else on port2');
    expect(await arrives()).toBe(true);
    await agent.end('SIGTERM');
    expect((await agent.run('detach')).code).toBe(0);
    expect(attached('port2')).toEqual(foreign);
  });

  it('is an alarm of a ready LB where it cannot be', async () => {
    const pass = fileURLToPath(new URL('../../build/lab/xdp-pass.bpf.o', import.meta.url));
    ip('-n', lb, 'link', 'set', 'dev', 'port2', 'xdpgeneric', 'obj', pass, 'sec', 'xdp');
    onTestFinished(() => void ip('-n', lb, 'link', 'set', 'dev', 'port2', 'xdpgeneric', 'off'));
    const agent = new Lb();
    await agent.start(byEth2);
    const { code, stdout } = await agent.run('status');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}! packets may not leave by eth2, as there is no native XDP program on port2/m);
    expect(stdout).toMatch(/^ {2}egress {6}eth2, which may not send: see above$/m);
    expect(await arrives()).toBe(false);
  });
});
