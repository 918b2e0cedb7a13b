import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig, readConfig } from '../../src/config.ts';
import { parseYaml } from '../../src/yaml-file.ts';
import { etcd, failure, least } from '../support/agent-config.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pilotfish-config-'));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe('a good configuration', () => {
  it('gets every default', () => {
    expect(parseConfig(least, 'agent.yaml')).toEqual({
      name: 'lb1',
      interface: 'eth0',
      egress: undefined,
      gateway: undefined,
      mtu: undefined,
      decap: [],
      source: { etcd: { endpoints: ['127.0.0.1:2379'], prefix: '/pilotfish/v1/' } },
      pinDir: '/sys/fs/bpf/pilotfish',
      mode: 'auto',
      flowCache: { entriesPerCpu: 1_048_576, newFlowsPerSecond: 500_000, hotFlows: true, longestIdleMs: 7_440_000 },
      admin: { socket: '/run/pilotfish/agent.sock' },
      announce: undefined,
      stateDir: '/var/lib/pilotfish',
      log: { level: 'info' },
      onEmpty: 'keep',
      limits: { vips: 4_096, pools: 1_024, reals: 16_384, clients: 100_000, serverIds: 32_768 },
    });
  });

  it('takes the host’s name where none is given', () => {
    const { name: _, ...unnamed } = least;
    expect(parseConfig(unnamed, 'agent.yaml').name).toBe(hostname());
  });

  it('takes every field', () => {
    const config = parseConfig(
      {
        name: 'lb1',
        interface: 'eth0.10',
        egress: 'eth1',
        gateway: '10.0.0.1',
        mtu: 1_600,
        decap: { addresses: ['2001:DB8::1', '192.0.2.1'], guePort: 6_635 },
        source: {
          etcd: {
            endpoints: ['https://etcd-1.example:2379', '[2001:db8::1]:2379'],
            prefix: '/fleet/a',
            username: 'lb',
            password: 'secret',
            tls: { ca: '/etc/ca.pem', cert: '/etc/cert.pem', key: '/etc/key.pem' },
          },
        },
        pinDir: '/sys/fs/bpf/lb1',
        mode: 'generic',
        flowCache: { entriesPerCpu: 5_000, newFlowsPerSecond: 1_000_000_000, hotFlows: false, longestIdle: '8h' },
        admin: { socket: '/run/lb1.sock' },
        announce: {
          join: ['birdc', 'enable', 'pf'],
          leave: ['birdc', 'disable', 'pf'],
          timeout: '3s',
          onStop: 'leave',
        },
        stateDir: '/srv/pilotfish',
        log: { level: 'debug' },
        onEmpty: 'clear',
        limits: { vips: 10_240, clients: 1_000_000, serverIds: 100 },
      },
      'agent.yaml',
    );
    expect(config).toMatchObject({
      egress: 'eth1',
      gateway: '10.0.0.1',
      mtu: 1_600,
      decap: [
        { address: '192.0.2.1', guePort: 6_635 },
        { address: '2001:db8::1', guePort: 6_635 },
      ],
      source: {
        etcd: { prefix: '/fleet/a/', auth: { username: 'lb', password: 'secret' }, tls: { key: '/etc/key.pem' } },
      },
      mode: 'generic',
      announce: {
        join: ['birdc', 'enable', 'pf'],
        leave: ['birdc', 'disable', 'pf'],
        timeoutMs: 3_000,
        onStop: 'leave',
      },
      stateDir: '/srv/pilotfish',
      flowCache: { entriesPerCpu: 5_000, newFlowsPerSecond: 1_000_000_000, hotFlows: false, longestIdleMs: 28_800_000 },
      onEmpty: 'clear',
      limits: { vips: 10_240, pools: 1_024, reals: 16_384, clients: 1_000_000, serverIds: 100 },
    });
  });

  it.each([
    [1, 1_024],
    [1_024, 1_024],
    [1_150_000, 1_150_000],
  ])('makes of %d flow cache entries %d', (given, entriesPerCpu) => {
    expect(parseConfig({ ...least, flowCache: { entriesPerCpu: given } }, 'a').flowCache).toEqual({
      entriesPerCpu,
      newFlowsPerSecond: 500_000,
      hotFlows: true,
      longestIdleMs: 7_440_000,
    });
  });

  it('opens GUE tunnels on the port that GUE has', () => {
    const decap = { addresses: ['192.0.2.1'] };
    expect(parseConfig({ ...least, decap }, 'a').decap).toEqual([{ address: '192.0.2.1', guePort: 6_080 }]);
  });

  it.each([
    ['a file', { file: '/srv/state.json' }, '/srv/state.json'],
    ['no source', undefined, '/etc/pilotfish/state.yaml'],
    ['an empty source', {}, '/etc/pilotfish/state.yaml'],
  ])('takes %s for its state', (_what, source, file) => {
    expect(parseConfig({ ...least, source }, 'agent.yaml').source).toEqual({ file });
  });

  it('reads a password from its file', async () => {
    const path = join(directory, 'password');
    await writeFile(path, 'from the file\n');
    expect(parseConfig(etcd({ username: 'lb', passwordFile: path }), 'a').source).toMatchObject({
      etcd: { auth: { username: 'lb', password: 'from the file' } },
    });
  });
});

describe('the reference', () => {
  const text = readFileSync(new URL('../../docs/reference/config.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| (`.+?) \|/gm)].flatMap(([, cell = '']) => cell.replaceAll('`', '').split(', '));

  it('has every setting that there is', () => {
    const documented = new Set(rows.map((row) => row.split('.')[0]));
    expect([...documented].sort()).toEqual(Object.keys(parseConfig(least, 'agent.yaml')).sort());
  });

  it('has none that there is not', () => {
    const tree: Record<string, unknown> = {};
    for (const row of rows.filter((name) => name !== 'source')) {
      const path = row.split('.');
      const last = path.pop() ?? '';
      let parent = tree;
      for (const step of path) {
        parent[step] = parent[step] ?? {};
        parent = parent[step] as Record<string, unknown>;
      }
      // Wrong for every setting, but a mistake of another kind.
      parent[last] = [];
    }
    const { message } = failure(tree);
    expect(message.split('\n').length).toBeGreaterThan(2 * 20);
    expect(message).not.toContain('is not a known field');
  });
});

describe('readConfig', () => {
  it('reads YAML', async () => {
    const path = join(directory, 'agent.yaml');
    await writeFile(path, 'name: lb1\ninterface: eth0\nsource: {etcd: {endpoints: ["127.0.0.1:2379"]}}\n');
    expect(readConfig(path)).toEqual(parseConfig(least, path));
  });

  it('says that a file is not there', () => {
    const path = join(directory, 'none.yaml');
    expect(() => readConfig(path)).toThrow(
      expect.objectContaining({ code: 'PF_CONFIG', message: expect.stringContaining(path) }),
    );
  });

  it('names line and column of every syntax error', () => {
    expect(() => parseYaml('a: 1\na: 2\nb: [1\nc: "x\n', 'agent.yaml', 'PF_CONFIG')).toThrow(
      expect.objectContaining({
        code: 'PF_CONFIG',
        message: expect.stringMatching(/line 2, column 1: Map keys must be unique\n.*line \d+, column \d+: /),
      }),
    );
  });

  it.each(['>', '|', ']', '}', '"a" ', '*', '&a &', '!', '%', '@', '`'])(
    'quotes no password that starts with %s and is written without quotes',
    (start) => {
      const messageOf = (end: string): string => {
        try {
          return JSON.stringify(parseYaml(`etcd:\n  other: ${start}hunter2${end}\n`, 'agent.yaml', 'PF_CONFIG'));
        } catch (error) {
          return (error as Error).message;
        }
      };
      const messages = ['', '\n  more: 1', ': b'].map(messageOf).filter((message) => message.includes('not YAML'));
      expect(messages.join('\n')).not.toContain('hunter2');
    },
  );

  it.each([
    ['a number and a text', '1: a\n"1": b\n', 'line 2, column 1'],
    ['an inner one, in JSON', '{"a": {"b": 1,\n "b": 2}}', 'line 2, column 2'],
  ])('refuses a key that stands twice: %s', (_what, text, place) => {
    expect(() => parseYaml(text, 'agent.yaml', 'PF_CONFIG')).toThrow(`${place}: Map keys must be unique`);
  });

  it.each([
    ['007', '7'],
    ['0x10', '16'],
    ['1.10', '1.1'],
    ['12345678901234567890', '12345678901234567000'],
    ['True', 'true'],
    ['~', 'null'],
  ])('refuses the key %s, which would become another name', (key, name) => {
    const message = `line 2, column 3: The key ${key} would become ${name}: write it in quotes`;
    expect(() => parseYaml(`web:\n  ${key}: {}\n`, 'state.yaml', 'PF_STATE')).toThrow(message);
    expect(parseYaml(`web:\n  "${key}": {}\n`, 'state.yaml', 'PF_STATE')).toEqual({ web: { [key]: {} } });
  });

  it('takes keys that are the same without quotes', () => {
    const tree = { '1': 1, '42': 1, '1.5': 1, '10.0.0.1': 1, true: 1, '1_0': 1 };
    const text = Object.keys(tree).map((key) => `${key}: 1\n`);
    expect(parseYaml(text.join(''), 'state.yaml', 'PF_STATE')).toEqual(tree);
  });

  it('names the place of an alias of nothing, and not its name, which may be a password', () => {
    expect(() => parseYaml('a: {b: &b 1}\nc: *b\npassword: *hunter2', 'agent.yaml', 'PF_CONFIG')).toThrow(
      'agent.yaml is not YAML:\n  line 3, column 11: An alias has no anchor before it',
    );
  });

  it('refuses an alias inside of what it stands for', () => {
    expect(() => parseYaml('a: &a [*a]', 'agent.yaml', 'PF_CONFIG')).toThrow(/cannot be unfolded: [^\n]*$/);
  });

  it('refuses aliases that unfold without end', () => {
    const bomb = [
      'a: &a [1,1,1,1,1,1,1,1,1]',
      ...'bcdefgh'.split('').map((n, i) => `${n}: &${n} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`),
    ];
    expect(() => parseYaml(bomb.join('\n'), 'agent.yaml', 'PF_CONFIG')).toThrow(
      expect.objectContaining({ code: 'PF_CONFIG', message: expect.stringContaining('cannot be unfolded') }),
    );
  });
});
