import { once } from 'node:events';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { fetchState } from '../../src/cli/agent-client.ts';
import { formatTable } from '../../src/cli/output.ts';
import { pilotfish } from '../support/command.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pilotfish-cli-'));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

async function file(name: string, content: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

const good = `
vips:
  web-443: {address: 192.0.2.10, port: 443, protocol: tcp, pool: web}
pools:
  web: {reals: {r1: {address: 10.0.0.11, weight: 100}, r2: {address: 10.0.0.12}}}
`;

describe('the command line', () => {
  it.each([
    [['--help'], 0, 'stdout', 'Exit codes: 0 done, 1 failed, 2 wrong usage or invalid input.'],
    [['apply', '--help'], 0, 'stdout', 'pilotfish apply -f state.yaml --dry-run'],
    [['--version'], 0, 'stdout', packageJson.version],
    [[], 2, 'stderr', 'Usage: pilotfish'],
    [['chek'], 2, 'stderr', `PF_USAGE: unknown command 'chek'\n  fix: did you mean "check"?`],
    [
      ['check'],
      2,
      'stderr',
      `PF_USAGE: required option '-f, --file <file>' not specified\n  fix: see --help of the command`,
    ],
    [['check', '-f', 'x', '--fix'], 2, 'stderr', "PF_USAGE: unknown option '--fix'"],
    [['get', 'vip'], 2, 'stderr', 'PF_USAGE: unknown word "vip"\n  fix: did you mean "vips"?'],
    [['get', 'vips', '-o', 'xml'], 2, 'stderr', "argument 'xml' is invalid. Allowed choices are table, json, yaml."],
    [['get', 'vips', '--etcd', 'a:1', '--config', 'b'], 2, 'stderr', 'cannot be used with'],
    [['get', 'vips', '--etcd', 'a:1,,b:2'], 2, 'stderr', 'PF_USAGE: --etcd "a:1,,b:2" has an empty endpoint'],
    [
      ['get', 'vips', '--config', '/nonexistent/agent.yaml'],
      2,
      'stderr',
      'PF_CONFIG: /nonexistent/agent.yaml cannot be read: ENOENT',
    ],
    [['leave', '--timeout', '0'], 2, 'stderr', 'It must be a whole number from 1 to 86400.'],
    [
      ['leave', '--wait', '--timeout', '2'],
      2,
      'stderr',
      'PF_USAGE: --timeout 2 leaves no time for 2 s without a packet',
    ],
    [['join', '--config', '/nonexistent/agent.yaml'], 2, 'stderr', 'PF_CONFIG: /nonexistent/agent.yaml cannot be read'],
    [['lab', 'upp'], 2, 'stderr', 'PF_USAGE: unknown word "upp"\n  fix: did you mean "up"?'],
    [['lab', 'up', '--lbs', '0'], 2, 'stderr', 'It must be a whole number from 1 to 9.'],
    [['run', '--config', '/nonexistent/agent.yaml'], 2, 'stderr', 'PF_CONFIG: /nonexistent/agent.yaml cannot be read'],
  ] as const)('%j ends with %d and says so on %s', async (args, code, stream, text) => {
    const result = await pilotfish(args);
    expect(result[stream]).toContain(text);
    expect(result.code).toBe(code);
    expect(result.stderr).not.toMatch(/^\s+at /m);
  });

  it('prints the stack of an error when PILOTFISH_DEBUG asks for it', async () => {
    const { stderr } = await pilotfish(['chek'], { env: { PILOTFISH_DEBUG: '1' } });
    expect(stderr).toMatch(/^\s+at /m);
  });
});

describe('leave and join', () => {
  const agent = 'name: lb1\ninterface: eth0\nsource: {etcd: {endpoints: ["127.0.0.1:1"]}}\n';

  it.each(['leave', 'join'])('%s says what to do when there are no hooks', async (command) => {
    const path = await file('agent.yaml', agent);
    const { code, stderr } = await pilotfish([command, '--config', path]);
    expect(code).toBe(2);
    expect(stderr).toBe(
      `PF_CONFIG: ${path} has no announce hooks, so nothing can take this LB out or back\n` +
        '  fix: add announce: {join: [command, argument], leave: [command, argument]} with commands that change your routers\n',
    );
  });

  it('remember that a person took the LB out, and join only a ready LB unless forced', async () => {
    const socket = join(directory, 'agent.sock');
    const path = await file(
      'agent.yaml',
      `${agent}stateDir: ${directory}\nadmin: {socket: ${socket}}\nannounce: {join: ['true'], leave: ['true']}\n`,
    );
    expect((await pilotfish(['leave', '--config', path])).code).toBe(0);
    await access(join(directory, 'lb1.left'));

    const agentApi = createServer((_, response) => {
      response.end(JSON.stringify({ ready: false, problems: ['the moon is in the way'] }));
    });
    await once(agentApi.listen(socket), 'listening');
    try {
      const refused = await pilotfish(['join', '--config', path]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/^PF_ANNOUNCE: lb1 is not ready: the moon is in the way\n {2}fix: .*--force\n$/);
      await access(join(directory, 'lb1.left'));
      expect((await pilotfish(['join', '--force', '--config', path])).code).toBe(0);
      await expect(access(join(directory, 'lb1.left'))).rejects.toMatchObject({ code: 'ENOENT' });
    } finally {
      agentApi.close();
    }
  });
});

describe('an agent that does not answer', () => {
  let socket: string;
  let server: Server;

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  async function silent(listener: RequestListener): Promise<void> {
    socket = join(directory, 'silent.sock');
    server = createServer(listener);
    await once(server.listen(socket), 'listening');
  }

  it('is given up, with words about what to look at', async () => {
    await silent(() => {});
    expect(await pilotfish(['status', '--socket', socket])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        `PF_AGENT: the agent on ${socket} was silent for 5 s\n` +
        '  fix: look at its log, and whether its process is stopped or busy (ps, top); forwarding goes on meanwhile\n',
    });
  });

  it.each<[string, RequestListener]>([
    ['before the answer', () => {}],
    ['in the middle of it', (_, response) => void response.write('{"lb": ')],
  ])('is given up when it falls silent %s', async (_what, listener) => {
    await silent(listener);
    await expect(fetchState(socket, 500)).rejects.toMatchObject({ code: 'PF_AGENT', retryable: true });
  });
});

describe('check', () => {
  it('says that a file is good', async () => {
    const path = await file('good.yaml', good);
    expect(await pilotfish(['check', '-f', path])).toEqual({
      code: 0,
      stdout: `${path} is good: 1 VIP, 1 pool, 2 reals\n`,
      stderr: '',
    });
  });

  it('goes by the limits of an agent when it is told which', async () => {
    const path = await file('two.yaml', 'pools: {a: {}, b: {}}');
    const config = await file('small.yaml', 'interface: eth0\nlimits: {pools: 1}\n');
    expect((await pilotfish(['check', '-f', path])).code).toBe(0);
    const { code, stderr } = await pilotfish(['check', '-f', path, '--config', config]);
    expect(code).toBe(2);
    expect(stderr).toContain('pools.b: ');
  });

  it('reads the standard input, and JSON', async () => {
    const { code, stdout } = await pilotfish(['check', '-f', '-'], { input: '{"pools": {"web": {}}}' });
    expect([code, stdout]).toEqual([0, '- is good: 0 VIPs, 1 pool, 0 reals\n']);
  });

  it('waits for a standard input that is late', async () => {
    const { code, stderr } = await pilotfish(['check', '-f', '-'], {
      input: '{"pools": {"web": {}}}',
      inputAfter: 1_000,
    });
    expect([code, stderr]).toEqual([0, '']);
  });

  it('shows every mistake with place, value and fix', async () => {
    const path = await file(
      'bad.yaml',
      `${good.replace('port: 443', 'prot: 443').replace('weight: 100', 'weight: 1001')}  api: {encap: gre}\nvip: {}\n`,
    );
    const { code, stdout, stderr } = await pilotfish(['check', '-f', path]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toBe(
      [
        `PF_STATE: ${path} has 5 mistakes:`,
        '  vip: is not a known section (found {})',
        '    fix: did you mean "vips"?',
        '  pools.api.encap: must be "ipip" or "gue" or "l2" (found "gre")',
        '    fix: did you mean "gue"?',
        '  pools.web.reals.r1.weight: must be a whole number from 0 to 1000 (found 1001)',
        '    fix: choose a number from 0 to 1000',
        '  vips.web-443.prot: is not a known field (found 443)',
        '    fix: did you mean "port"?',
        '  vips.web-443.port: is missing',
        '    fix: add it, for example "port": 443',
        '',
      ].join('\n'),
    );
  });

  it.each(['', '# written by a machine\n', '---\n'])('refuses a file that says nothing: %j', async (content) => {
    const path = await file('nothing.yaml', content);
    expect(await pilotfish(['check', '-f', path])).toEqual({
      code: 2,
      stdout: '',
      stderr: `PF_STATE: ${path} is empty\n  fix: write {} if there shall be no VIPs and no pools\n`,
    });
  });

  it('names the line of a syntax error', async () => {
    const path = await file('syntax.yaml', 'vips:\n  a: {port: 1\n  b: {}\n');
    const { code, stderr } = await pilotfish(['check', '-f', path]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/PF_STATE: .*syntax\.yaml is not YAML:\n {2}line 3, column 3: /);
  });

  it('ends with 2 for a file that is not there', async () => {
    const { code, stderr } = await pilotfish(['check', '-f', join(directory, 'none.yaml')]);
    expect(code).toBe(2);
    expect(stderr).toContain('cannot be read: ENOENT');
  });
});

describe('formatTable', () => {
  it('aligns columns, numbers to the right, and shows what is absent', () => {
    const rows = [
      ['a', 1, 'x', null],
      ['bcd', 100, undefined, 'y'],
    ];
    expect(formatTable(['NAME', 'N', 'TEXT', 'LAST'], rows)).toBe(
      ['NAME    N  TEXT  LAST', 'a       1  x     -', 'bcd   100  -     y'].join('\n'),
    );
  });
});
