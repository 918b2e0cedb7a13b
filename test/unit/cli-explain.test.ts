import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AdminServer } from '../../src/admin/server.ts';
import { explainInForce } from '../../src/agent-explain.ts';
import type { StateSources } from '../../src/agent-state.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { pilotfish } from '../support/command.ts';
import { A, allUp, D, entryOf, flow, flowCache, hash, observations, slot, state } from '../support/explain.ts';
import { writeBucket } from '../support/flow-buckets.ts';
import { InForce, snapshotOf } from '../support/in-force.ts';

describe('pilotfish explain', () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'pilotfish-explain-'));
    await writeFile(join(directory, 'state.yaml'), JSON.stringify(state));
  });

  afterAll(() => rm(directory, { recursive: true, force: true }));

  const offline = (...words: string[]) => pilotfish(['explain', ...words, '--state', join(directory, 'state.yaml')]);

  it('explains from a file, for a person', async () => {
    expect(await offline(flow)).toEqual({
      code: 0,
      stdout: [
        `${flow}, by the file alone: every real is taken as up`,
        '',
        'VIP          web-443: 192.0.2.10, port 443, tcp; matched by its own port',
        'Pool         web: 3 reals, new flows go to 1',
        `Ring         the flow's hash is ${hash}, its slot ${slot} of 65537, which is ${A} (r1)'s`,
        '',
        'REAL  ADDRESS    WEIGHT  STATE   HEALTH  SHARE    NEW FLOWS  WHY',
        'r1    10.0.0.11     100  active  up      100.0 %  yes        up: nobody checks without an agent',
        'r2    10.0.0.12       0  active  up      0.0 %    no         weight 0: keeps the flows it has',
        'r3    10.0.0.13     100  drain   up      0.0 %    no         drained by people: keeps the flows it has',
        '',
        'Flow cache   not looked at: only an agent has one',
        `Next packet  goes to ${A} (r1): by the ring`,
        `New flow     a SYN goes to ${A} (r1): by the ring`,
        `Sent         by ipip, 172.16.235.11 > ${A}; packets may have the MTU less 20 bytes`,
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  it('explains from a file, for a program', async () => {
    const { code, stdout } = await offline(flow, '-o', 'json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ lb: null, problems: [], hash, slot, owner: A, cache: null });
  });

  it.each([
    [
      'tcp 1.2.3.4:5 > 192.0.2.10:444',
      'VIP          none for this port and protocol; the nearest of this address is web-443: port 443',
    ],
    ['udp 1.2.3.4:5 > 192.0.2.10:444', 'the nearest of this address is web-443: tcp, not udp; port 443'],
    ['tcp 1.2.3.4:5 > 192.0.2.99:443', 'VIP          none: no VIP has this address'],
    ['tcp 1.2.3.4:5 > 192.0.2.99:443', 'Next packet  is passed up to the host itself (not_vip)'],
    ['tcp 1.2.3.4:5 > 192.0.2.11:99', 'matched by its address alone, as it serves every port'],
    ['tcp 1.2.3.4:5 > 192.0.2.11:22', 'which nobody has: the ring is empty'],
    ['tcp 1.2.3.4:5 > 192.0.2.11:22', 'is dropped (no_real): no real of the pool takes new flows'],
    ['udp 1.2.3.4:5 > 192.0.2.12:53', `New flow     goes to ${A} (r1): by the ring`],
  ])('says of "%s": %s', async (text, line) => {
    const { code, stdout } = await offline(text);
    expect(code).toBe(0);
    expect(stdout).toContain(line);
  });

  it.each([
    [
      ['tcp', '198.51.100.7:40000'],
      'PF_USAGE: "tcp 198.51.100.7:40000": has no source > destination\n  fix: write all of it in quotes',
    ],
    [[`${flow} syn`], `PF_USAGE: "${flow} syn": "syn" is not part of a flow\n  fix: write ${flow}\n`],
    [[flow, '--socket', '/run/x'], "option '--socket <path>' cannot be used with option '--state <file>'"],
  ])('refuses %j', async (words, message) => {
    const { code, stderr } = await offline(...words);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it('lists every mistake of a file', async () => {
    const path = join(directory, 'bad.yaml');
    await writeFile(path, 'vips: {a: {port: 1}, b: {}}');
    const { code, stderr } = await pilotfish(['explain', flow, '--state', path]);
    expect([code, stderr.split('\n', 1)[0]]).toEqual([2, `PF_STATE: ${path} has 7 mistakes:`]);
  });

  it('says that no agent answers', async () => {
    const { code, stderr } = await pilotfish(['explain', flow, '--socket', join(directory, 'none.sock')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^PF_AGENT: no agent answers on .*none\.sock: .*ENOENT/);
  });

  describe('by an agent', () => {
    let admin: AdminServer;
    let socket: string;
    let view: (text: string) => unknown;

    beforeEach(async () => {
      socket = join(directory, 'agent.sock');
      view = () => null;
      const log = pino({ level: 'silent' });
      admin = await AdminServer.listen(
        socket,
        { notReady: () => [], state: () => null, explain: (text) => view(text) },
        log,
      );
    });

    afterEach(() => admin.close());

    const online = (...options: string[]) => pilotfish(['explain', flow, '--socket', socket, ...options]);

    async function drained(): Promise<StateSources> {
      const store = new MemoryMapStore();
      const inForce = new InForce(store);
      const first = await inForce.put(snapshotOf(state), observations(allUp));
      const [number] = [...(first.status.observed?.reals.keys() ?? [])];
      writeBucket(store, 0, [entryOf(number ?? 0)]);
      const reals = { r1: { address: A, state: 'drain' }, r4: { address: D } };
      const pools = { ...state.pools, web: { ...state.pools.web, reals } };
      return inForce.put(snapshotOf({ ...state, pools }), observations(allUp));
    }

    it('tells what the flow cache makes of it, and what is wrong with the LB', async () => {
      const sources = await drained();
      view = (text) => ({ lb: 'lb1', problems: ['the sky falls'], ...explainInForce(text, sources, flowCache) });
      const { code, stdout } = await online();
      expect(code).toBe(0);
      expect(stdout.split('\n').slice(0, 3)).toEqual([`${flow}, on LB lb1`, '  ! the sky falls', '']);
      expect(stdout.split('\n').slice(-8)).toEqual([
        '',
        `Flow cache   CPU 0 remembers the flow at ${A} (r1)`,
        `Next packet  on CPU 0 goes to ${A} (r1): the flow cache remembers it`,
        `             on any other CPU goes to ${D} (r4): by the ring`,
        `New flow     a SYN goes to ${D} (r4): by the ring`,
        `Sent         by ipip, 172.16.235.11 > ${A}; packets of more than 1480 bytes are too big`,
        `             by ipip, 172.16.235.11 > ${D}; packets of more than 1480 bytes are too big`,
        '',
      ]);
      expect(JSON.parse((await online('-o', 'json')).stdout)).toMatchObject({
        lb: 'lb1',
        problems: ['the sky falls'],
        hash,
      });
    });

    it('passes on why the agent cannot', async () => {
      const sources = await drained();
      const none = { ...sources, status: { ...sources.status, snapshot: null, target: null, observed: null } };
      view = (text) => explainInForce(text, none, flowCache);
      const { code, stderr } = await online();
      expect(code).toBe(1);
      expect(stderr).toMatch(/^PF_AGENT: the agent on .* answers: no state is in force on this LB yet\n {2}fix: /);
    });
  });
});
