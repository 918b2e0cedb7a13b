import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { StateFile, stateOf } from '../support/state-file.ts';

/** An agent's configuration whose state is the file. */
async function agentOf(file: StateFile): Promise<string> {
  const path = join(file.folder, 'agent.yaml');
  await writeFile(path, `interface: eth0\nsource: {file: ${file.path}}\n`);
  return path;
}

async function get(file: StateFile, ...args: string[]): Promise<CommandResult> {
  return pilotfish(['get', ...args, '--config', await agentOf(file)]);
}

const noStore = ({ path }: StateFile) =>
  [
    `PF_USAGE: the desired state is the file ${path}: there is no store, and no fleet`,
    `  fix: edit the file (\`pilotfish check -f ${path}\` shows its mistakes), or name a store with --etcd`,
    '',
  ].join('\n');

describe('commands where the state is a file', () => {
  it('get shows what is in the file', async () => {
    await using file = await StateFile.make();
    await file.write(
      `${stateOf(80)}overrides: {web: {r1: {state: drain}}}\n`.replace(
        'web: {}',
        'web: {reals: {r1: {address: 10.0.0.11}}}',
      ),
    );
    expect(await get(file, 'vips')).toEqual({
      code: 0,
      stdout: 'VIP  ADDRESS     PORT  PROTOCOL  POOL\nweb  192.0.2.10  80    tcp       web\n',
      stderr: '',
    });
    expect((await get(file, 'reals')).stdout).toBe(
      'POOL  REAL  ADDRESS    WEIGHT  STATE\nweb   r1    10.0.0.11     100  drain\n',
    );
  });

  it('get goes by the limits of the agent', async () => {
    await using file = await StateFile.make();
    await file.write('pools: {a: {}, b: {}}');
    const config = await agentOf(file);
    await appendFile(config, 'limits: {pools: 1}\n');
    const { stdout, stderr } = await pilotfish(['get', 'pools', '--config', config]);
    expect(stdout.split('\n').map((line) => line.split(' ', 1)[0])).toEqual(['POOL', 'a', '']);
    expect(stderr).toBe('1 mistake in the file: see `pilotfish get rejected`\n');
  });

  it('get shows what of the file is refused, names that are none included', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80).replace('vips:', 'vips:\n  bad/name: {}').replace('80', '"80"'));
    const { stdout } = await get(file, 'rejected', '-o', 'json');
    expect(JSON.parse(stdout)).toEqual([
      expect.objectContaining({ path: 'desired/vips/bad%2Fname', message: 'has "bad%2Fname", which is not a name' }),
      expect.objectContaining({ path: 'desired/vips/web: port', value: '"80"', fix: 'write 80 without quotes' }),
    ]);
    expect((await get(file, 'pools')).stderr).toBe('2 mistakes in the file: see `pilotfish get rejected`\n');
  });

  it.each([
    [
      'a misspelt section',
      'vip: {}\npool: {}\n',
      'is not a desired state:\n  vip is not a known section (found {})\n  pool is',
    ],
    ['an empty file', '', 'is empty\n  fix: write {} if there shall be no VIPs and no pools'],
    ['a syntax error', 'vips: {', 'is not YAML:\n  line 1, column 8: '],
  ])('get refuses %s, as the agent does', async (_what, content, message) => {
    await using file = await StateFile.make();
    await file.write(content);
    const { code, stdout, stderr } = await get(file, 'vips');
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`PF_STATE: ${file.path} ${message}`);
  });

  it('what needs a store says that there is none', async () => {
    await using file = await StateFile.make();
    await file.write(stateOf(80));
    expect(await get(file, 'lbs')).toEqual({ code: 2, stdout: '', stderr: noStore(file) });
    const apply = await pilotfish(['apply', '-f', file.path, '--config', await agentOf(file)]);
    expect(apply).toEqual({ code: 2, stdout: '', stderr: noStore(file) });
    const prefixed = await get(file, 'vips', '--prefix', '/x/');
    expect(prefixed.code).toBe(2);
    expect(prefixed.stderr).toContain(`PF_USAGE: --prefix "/x/" is for a store, and the desired state is the file`);
  });
});
