import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import type { AgentState } from '../../src/agent-state.ts';
import { fetchState } from '../../src/cli/agent-client.ts';
import type { AgentConfig } from '../../src/config.ts';
import { parseConfig } from '../../src/config.ts';
import { detach, servingProgram } from '../../src/dataplane/attachment.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { openPinnedMap } from '../../src/dataplane/native.ts';
import { decodeReal } from '../../src/dataplane/records.ts';
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
let pinDir: string;
let agents = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilotfish-agent-'));
  bpffs = join(folder, 'bpf');
  pinDir = join(bpffs, 'pilotfish');
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
      pinDir,
      stateDir: folder,
      admin: { socket },
      flowCache: { entriesPerCpu: 1_024 },
    },
    'agent.yaml',
  );
  const command = [...inLb, process.execPath, child, JSON.stringify(change(config))];
  const agent = spawn('nsenter', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(agent, 'close');
  const end = async (signal: NodeJS.Signals) => {
    agent.kill(signal);
    await ended;
  };
  const kill = () => end('SIGKILL');
  onTestFinished(kill);
  /** Replaced as a whole: no half of it is ever read. */
  const write = (tree: object) => {
    writeFileSync(`${state}.new`, stringify(tree));
    renameSync(`${state}.new`, state);
  };
  return { output: agent.stdout, socket, write, kill, stop: () => end('SIGTERM') };
}

/** Takes connections on every address of the namespace. */
async function startListener(): Promise<void> {
  const listener = spawn('nsenter', [...inLb, process.execPath, '--eval', LISTEN], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void listener.kill('SIGKILL'));
  await once(listener.stdout, 'data');
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
    await startListener();
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

  describe('after another one', () => {
    const quick = { interval: '1s', fastInterval: '100ms', timeout: '200ms' };
    const slow = { interval: '60s', fastInterval: '30s', rise: 10, fall: 10 };
    const stateOf = (times: object, pool: object = {}) => ({
      vips: { web: { address: '192.0.2.10', port: 80, protocol: 'tcp', pool: 'web' } },
      pools: {
        web: {
          minHealthy: '0%',
          checks: [{ type: 'tcp', port: 8_080, ...times }],
          reals: { r1: { address: '10.99.0.2' }, r2: { address: '10.99.0.77' } },
          ...pool,
        },
      },
    });
    const concluded = { r1: { health: 'up', slots: 65_537 }, r2: { health: 'down', slots: 0 } };
    const isKnown = ({ pools }: AgentState) => pools[0]?.reals.every(({ health }) => health !== 'unknown') ?? false;
    const nothing = { health: 'unknown', slots: 0 };

    /** Health and slots of the reals once it is as wanted. */
    async function realsOf({ socket }: { readonly socket: string }, isAsWanted: (state: AgentState) => boolean) {
      let state: AgentState | null = null;
      await until('the agent is as wanted', 20_000, async () => {
        state = await fetchState(socket).catch(() => null);
        return state !== null && isAsWanted(state);
      });
      const reals = (state as AgentState | null)?.pools[0]?.reals ?? [];
      return Object.fromEntries(reals.map(({ id, health, slots }) => [id, { health, slots }]));
    }

    /** An agent that has judged all reals, and has stopped as agents do. */
    async function judgeAndStop(): Promise<void> {
      await startListener();
      const agent = startAgent();
      agent.write(stateOf(quick));
      expect(await realsOf(agent, (state) => state.ready && isKnown(state))).toEqual(concluded);
      await agent.stop();
    }

    it('goes by what that one concluded until it has judged for itself, while its program forwards', async () => {
      await judgeAndStop();
      // Killed as soon as it forwards, twice: what it has got itself it hands on.
      for (let life = 0; life < 2; life++) {
        const agent = startAgent();
        agent.write(stateOf(slow));
        expect(await realsOf(agent, ({ ready }) => ready)).toEqual(concluded);
        await until('that is kept', 5_000, async () => {
          const held = JSON.parse(readFileSync(join(folder, 'lb1.observations.json'), 'utf8'));
          return held.program === servingProgram(pinDir);
        });
        await agent.kill();
      }
      detach(pinDir);
      const last = startAgent();
      last.write(stateOf(slow));
      expect(await realsOf(last, ({ ready }) => ready)).toEqual({ r1: nothing, r2: nothing });
    });

    it('goes by it also when the state comes back only after a while', async () => {
      await judgeAndStop();
      const agent = startAgent();
      const isWaiting = ({ problems }: AgentState) => problems.some((problem) => problem.includes('has no VIP'));
      await realsOf(agent, isWaiting);
      // Longer than first checks may take.
      await sleep(5_500);
      agent.write(stateOf(slow));
      expect(await realsOf(agent, ({ ready }) => ready)).toEqual(concluded);
    });

    it('takes over no sooner than it has the MAC addresses of reals with encap l2', async () => {
      const mac = '02:00:00:00:00:77';
      // So many that they are not asked all at once.
      const addresses = Array.from({ length: 150 }, (_, n) => `10.99.0.${100 + n}`);
      const neighbours = (verb: string) =>
        addresses.map((address) => `neigh ${verb} ${address} lladdr ${mac} dev eth0\n`).join('');
      execFileSync('ip', ['-n', lb, '-batch', '-'], { input: neighbours('replace') });
      onTestFinished(() => void execFileSync('ip', ['-n', lb, '-batch', '-'], { input: neighbours('del') }));
      const silent = addresses.map((address, n) => [`r${n}`, { address }] as const);
      const reals = { ...Object.fromEntries(silent), up: { address: '10.99.0.2' } };
      await startListener();
      const first = startAgent();
      first.write(stateOf(quick, { reals }));
      await realsOf(first, (state) => state.ready && isKnown(state));
      await first.stop();
      const before = servingProgram(pinDir);
      const agent = startAgent();
      // That nearly all are down is not minded.
      agent.write(stateOf(slow, { reals, encap: 'l2', minHealthy: '100%' }));
      await realsOf(agent, ({ attached }) => attached !== null);
      expect(servingProgram(pinDir)).not.toBe(before);
      const { size } = structs.pf_real;
      const values = openPinnedMap(join(pinDir, 'maps', 'reals'))?.entries().values ?? new Uint8Array();
      const records = Array.from({ length: 160 }, (_, n) => decodeReal(values.subarray(n * size, (n + 1) * size)));
      const found = records.flatMap((record) =>
        record.address !== null && record.encap.kind === 'l2' ? [record.encap.mac] : [],
      );
      expect(found).toEqual(addresses.map(() => mac));
    });
  });
});
