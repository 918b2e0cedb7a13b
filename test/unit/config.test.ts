import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig, readConfig } from '../../src/config.ts';
import { PilotfishError } from '../../src/core/errors.ts';
import { parseYaml } from '../../src/yaml-file.ts';

const least = { name: 'lb1', interface: 'eth0', source: { etcd: { endpoints: ['127.0.0.1:2379'] } } };

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pilotfish-config-'));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

function failure(tree: unknown): PilotfishError {
  try {
    parseConfig(tree, 'agent.yaml');
  } catch (error) {
    if (error instanceof PilotfishError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

function etcd(changes: object): object {
  return { ...least, source: { etcd: { ...least.source.etcd, ...changes } } };
}

describe('a good configuration', () => {
  it('gets every default', () => {
    expect(parseConfig(least, 'agent.yaml')).toEqual({
      name: 'lb1',
      interface: 'eth0',
      gateway: undefined,
      mtu: undefined,
      source: { etcd: { endpoints: ['127.0.0.1:2379'], prefix: '/pilotfish/v1/' } },
      pinDir: '/sys/fs/bpf/pilotfish',
      mode: 'auto',
      flowCache: { entriesPerCpu: 1_048_576 },
      admin: { socket: '/run/pilotfish/agent.sock' },
      announce: undefined,
      stateDir: '/var/lib/pilotfish',
      log: { level: 'info' },
      onEmpty: 'keep',
      limits: { vips: 4_096, pools: 1_024, reals: 16_384 },
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
        gateway: '10.0.0.1',
        mtu: 1_600,
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
        flowCache: { entriesPerCpu: 5_000 },
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
        limits: { vips: 10 },
      },
      'agent.yaml',
    );
    expect(config).toMatchObject({
      gateway: '10.0.0.1',
      mtu: 1_600,
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
      flowCache: { entriesPerCpu: 8_192 },
      onEmpty: 'clear',
      limits: { vips: 10, pools: 1_024, reals: 16_384 },
    });
  });

  it.each([
    [1, 1_024],
    [1_024, 1_024],
    [1_025, 2_048],
  ])('rounds %d flow cache entries up to %d', (given, entriesPerCpu) => {
    expect(parseConfig({ ...least, flowCache: { entriesPerCpu: given } }, 'a').flowCache).toEqual({ entriesPerCpu });
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

describe('mistakes', () => {
  it.each<[string, unknown, string, string, string]>([
    [
      'no interface',
      { ...least, interface: undefined },
      'interface',
      'is missing',
      'add it, for example interface: eth0',
    ],
    [
      'a source that is none',
      { ...least, source: 'etcd' },
      'source',
      'must be an object',
      'write source as an object with the fields etcd, file',
    ],
    [
      'an empty file',
      null,
      '',
      'must be an object',
      'write the configuration as an object with the fields name, interface',
    ],
    [
      'an unknown field',
      { ...least, iface: 'eth0' },
      'iface',
      'is not a known field',
      'remove it; the fields here are name, interface',
    ],
    ['a misspelt field', { ...least, gatway: '10.0.0.1' }, 'gatway', 'is not a known field', 'did you mean "gateway"?'],
    [
      'an inner one',
      etcd({ endpoint: 'x' }),
      'source.etcd.endpoint',
      'is not a known field',
      'did you mean "endpoints"?',
    ],
    [
      'two sources',
      { ...least, source: { ...least.source, file: '/etc/pilotfish/state.yaml' } },
      'source.file',
      'stands beside etcd',
      'keep one of the two',
    ],
    [
      'a relative state file',
      { ...least, source: { file: 'state.yaml' } },
      'source.file',
      'is not an absolute path',
      'write a path that starts with a slash',
    ],
    [
      'Consul',
      { ...least, source: { ...least.source, consul: {} } },
      'source.consul',
      'is not supported by this version',
      'remove it',
    ],
    [
      'no endpoints',
      etcd({ endpoints: [] }),
      'source.etcd.endpoints',
      'must be a list of at least one',
      'write a list of endpoints',
    ],
    [
      'an endpoint without port',
      etcd({ endpoints: ['etcd'] }),
      'source.etcd.endpoints[0]',
      'is not an endpoint',
      'write host and client port, such as 127.0.0.1:2379',
    ],
    [
      'a plain endpoint with TLS',
      etcd({ endpoints: ['http://a:1'], tls: {} }),
      'source.etcd.endpoints[0]',
      'is without TLS although tls is set',
      'write https:// instead',
    ],
    [
      'a certificate without key',
      etcd({ tls: { cert: '/c' } }),
      'source.etcd.tls.key',
      'is missing',
      'cert and key go together',
    ],
    [
      'a user without password',
      etcd({ username: 'lb' }),
      'source.etcd.username',
      'and password go together',
      'write both, or neither',
    ],
    [
      'two passwords',
      etcd({ username: 'lb', password: 'a', passwordFile: '/dev/null' }),
      'source.etcd.passwordFile',
      'stands beside a password',
      'keep one of the two',
    ],
    [
      'a password file that is not there',
      etcd({ username: 'lb', passwordFile: '/nonexistent/x' }),
      'source.etcd.passwordFile',
      'cannot be read: ENOENT',
      'check the path and the rights of the file',
    ],
    [
      'an interface name',
      { ...least, interface: 'a very long name' },
      'interface',
      'is not the name of an interface',
      'write a name that `ip link` shows',
    ],
    [
      'a gateway',
      { ...least, gateway: 'router' },
      'gateway',
      'is not an IP address',
      'write an address such as 192.0.2.10',
    ],
    [
      'an MTU',
      { ...least, mtu: '1500' },
      'mtu',
      'must be a whole number from 576 to 65535',
      'write 1500 without quotes',
    ],
    [
      'a mode',
      { ...least, mode: 'native' },
      'mode',
      'must be "auto" or "driver" or "generic"',
      'use one of: auto, driver, generic',
    ],
    [
      'a relative path',
      { ...least, pinDir: 'bpf' },
      'pinDir',
      'is not an absolute path',
      'write a path that starts with a slash',
    ],
    [
      'a way in without a way out',
      { ...least, announce: { join: ['true'] } },
      'announce.leave',
      'must be a list of at least one',
      'write a list of the command and its arguments',
    ],
    [
      'a hook as one text',
      { ...least, announce: { join: 'ip route add', leave: ['true'] } },
      'announce.join',
      'must be a list of at least one',
      'write a list of the command and its arguments',
    ],
    [
      'an argument that is no text',
      { ...least, announce: { join: ['sleep', 1], leave: ['true'] } },
      'announce.join[1]',
      'must be a text that is not empty',
      'write it in quotes',
    ],
    [
      'what happens at a stop',
      { ...least, announce: { join: ['true'], leave: ['true'], onStop: 'go' } },
      'announce.onStop',
      'must be "stay" or "leave"',
      'use one of: stay, leave',
    ],
    [
      'a time without a unit',
      { ...least, announce: { join: ['true'], leave: ['true'], timeout: 10 } },
      'announce.timeout',
      'must be a duration with its unit',
      'write "10ms" or "10s"',
    ],
    [
      'a relative state directory',
      { ...least, stateDir: 'state' },
      'stateDir',
      'is not an absolute path',
      'write a path that starts with a slash',
    ],
    [
      'a name',
      { ...least, name: 'lb 1' },
      'name',
      'is not a name',
      'use 1 to 63 letters, digits, dots, underscores or hyphens',
    ],
    [
      'too many reals',
      { ...least, limits: { reals: 65_536 } },
      'limits.reals',
      'must be a whole number from 1 to 65535',
      'choose a number from 1 to 65535',
    ],
  ])('%s', (_what, tree, place, message, fix) => {
    const error = failure(tree);
    expect(error.code).toBe('PF_CONFIG');
    const [first, mistake, remedy, ...rest] = error.message.split('\n');
    expect(first).toBe('agent.yaml has 1 mistake:');
    expect(mistake).toContain(`  ${place === '' ? '' : `${place}: `}${message}`);
    expect(remedy).toContain(`    fix: ${fix}`);
    expect(rest).toEqual([]);
  });

  it('are all listed', () => {
    const { message } = failure({ interface: 1, mode: 'x', onEmpty: 'x', log: { level: 'x' }, source: { etcd: {} } });
    expect(message.split('\n')[0]).toBe('agent.yaml has 5 mistakes:');
  });

  it('never show a password', () => {
    expect(failure(etcd({ username: 'lb', password: 12_345 })).message).not.toContain('12345');
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

  it.each([
    ['a number and a text', '1: a\n"1": b\n', 'line 2, column 1'],
    ['an inner one, in JSON', '{"a": {"b": 1,\n "b": 2}}', 'line 2, column 2'],
  ])('refuses a key that stands twice: %s', (_what, text, place) => {
    expect(() => parseYaml(text, 'agent.yaml', 'PF_CONFIG')).toThrow(`${place}: Map keys must be unique`);
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
