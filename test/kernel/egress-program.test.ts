import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { attach, detach } from '../../src/dataplane/attachment.ts';
import { Egress, type EgressOptions } from '../../src/dataplane/egress.ts';
import { interfaceIndex, openPinnedLink } from '../../src/dataplane/native.ts';
import { removePasses } from '../../src/dataplane/pass.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { until } from '../support/until.ts';

/** Which program the agent puts where, on a veth pair and a bpf file system of the test’s own: packets leave by `out`. */

const out = `pfg${process.pid}a`;
const other = `pfg${process.pid}b`;
const directory = mkdtempSync(join(tmpdir(), 'pilotfish-egress-program-'));
const bpffs = join(directory, 'bpffs');
const pinDir = join(bpffs, 'pilotfish');

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const indexOf = (name: string): number => interfaceIndex(name) ?? -1;

function addPair(): void {
  ip('link', 'add', out, 'type', 'veth', 'peer', 'name', other);
  for (const name of [out, other]) ip('link', 'set', name, 'up');
}

function removePair(): void {
  if (interfaceIndex(out) !== null) ip('link', 'del', out);
}

/** Name and mode (1: driver, 2: generic) of what is attached to an interface, as iproute2 sees it. */
function attached(name: string): { mode: number; name: string } | null {
  const [link] = JSON.parse(ip('-d', '-j', 'link', 'show', 'dev', name)) as {
    xdp?: { mode: number; prog: { name: string } };
  }[];
  return link?.xdp === undefined ? null : { mode: link.xdp.mode, name: link.xdp.prog.name };
}

const pass = { mode: 1, name: 'pilotfish_pass' };

let logged: Record<string, unknown>[];
const log = pino({ base: null }, { write: (line: string) => logged.push(JSON.parse(line)) });

async function open(options: Partial<EgressOptions> = {}): Promise<Egress> {
  const egress = await Egress.open({ interface: out, mode: 'auto', pinDir, log, ...options });
  onTestFinished(() => egress.close());
  return egress;
}

function pinnedLink(ifindex: number): number | null {
  const link = openPinnedLink(join(pinDir, 'egress', String(ifindex)));
  const id = link?.info.id ?? null;
  link?.close();
  return id;
}

/** Somebody else’s program; what is returned takes it off. */
async function attachForeign(name: string, mode: 'driver' | 'generic'): Promise<() => void> {
  const loaded = await loadProgram({ vips: 1, pools: 1, reals: 1, flowsPerCpu: 8 });
  const link = loaded.program.attachXdp(indexOf(name), mode);
  loaded.program.close();
  loaded.object.close();
  onTestFinished(() => link.close());
  return () => link.close();
}

beforeAll(() => {
  mkdirSync(bpffs);
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
});

afterAll(() => {
  execFileSync('umount', [bpffs]);
  rmSync(directory, { recursive: true });
});

beforeEach(() => {
  logged = [];
  addPair();
});

afterEach(() => {
  removePair();
  rmSync(pinDir, { recursive: true, force: true });
});

describe('the program that makes an egress interface ready', () => {
  it('goes to the other end of a veth, is pinned, and outlives the agent', async () => {
    const egress = await open();
    expect(egress.state).toEqual({ interface: out, program: 'own', programOn: other });
    expect(egress.problems).toEqual([]);
    expect(egress.programIndex).toBe(indexOf(other));
    await egress.close();
    expect([attached(out), attached(other)]).toEqual([null, pass]);
    expect(readdirSync(join(pinDir, 'egress'))).toEqual([String(indexOf(other))]);
    expect(logged).toMatchObject([{ level: 30, interface: out, program: 'own', programOn: other }]);
  });

  it('is taken over by the next agent as it is', async () => {
    await (await open()).close();
    const link = pinnedLink(indexOf(other));
    expect(link).not.toBeNull();
    expect((await open()).state.program).toBe('own');
    expect(pinnedLink(indexOf(other))).toBe(link);
    expect(attached(other)).toEqual(pass);
  });

  it('is for frames of every size', async () => {
    for (const name of [out, other]) ip('link', 'set', name, 'mtu', '9000');
    expect((await open({ mode: 'driver' })).state.program).toBe('own');
    expect(attached(other)).toEqual(pass);
  });

  it('finds its way by another name of the interface', async () => {
    ip('link', 'property', 'add', 'dev', out, 'altname', `${out}-too`);
    expect((await open({ interface: `${out}-too` })).state.program).toBe('own');
  });

  it('leaves the program of somebody else alone, and takes its place once it is gone', async () => {
    const takeOff = await attachForeign(other, 'driver');
    const egress = await open();
    expect(egress.state).toEqual({ interface: out, program: 'foreign', programOn: other });
    expect(egress.problems).toEqual([]);
    expect(attached(other)?.name).toBe('pilotfish');
    expect(existsSync(join(pinDir, 'egress'))).toBe(false);
    expect(logged).toMatchObject([{ level: 30, program: 'foreign' }]);
    takeOff();
    egress.watch();
    await until('it is seen', 5_000, () => egress.state.program === 'own');
    expect(attached(other)).toEqual(pass);
  });

  it('leaves one in generic mode alone too, which is no help, and says so', async () => {
    const takeOff = await attachForeign(other, 'generic');
    const egress = await open();
    expect(egress.state.program).toBe('missing');
    expect(egress.problems).toEqual([
      expect.stringMatching(new RegExp(`may not leave by ${out}, as .* on ${other}, its other end: .* generic mode`)),
    ]);
    expect(attached(other)).toMatchObject({ mode: 2, name: 'pilotfish' });
    expect(logged).toMatchObject([{ level: 40, interface: out, programOn: other }]);
    takeOff();
    egress.watch();
    await until('it is seen', 5_000, () => egress.state.program === 'own');
    expect(egress.problems).toEqual([]);
  });

  it('is missed, with a reason, where the driver refuses it', async () => {
    removePair();
    ip('link', 'add', out, 'numtxqueues', '4', 'type', 'veth', 'peer', 'name', other, 'numrxqueues', '1');
    const egress = await open();
    expect(egress.state.program).toBe('missing');
    expect(egress.problems.join()).toContain('ENOSPC');
    expect(egress.problems.join()).toContain('mode: generic needs none');
    expect(logged).toMatchObject([{ level: 40, reason: expect.stringContaining('ENOSPC') }]);
    // Nobody tries again and again: a NIC may lose its link each time.
    egress.watch();
    await egress.close();
    expect(logged).toHaveLength(1);
    expect(existsSync(join(pinDir, 'egress'))).toBe(false);
  });

  it('that was detached meanwhile is missed, and not put back against the will of who did it', async () => {
    const egress = await open();
    detach(pinDir);
    egress.watch();
    await until('it is missed', 5_000, () => egress.problems.length > 0);
    expect(egress.problems.join()).toContain('restart the agent');
    await egress.close();
    expect(attached(other)).toBeNull();
    expect(existsSync(pinDir)).toBe(false);
    expect((await open()).state.program).toBe('own');
  });

  it('is the business of whoever sees it, when the other end is in another network namespace', async () => {
    const namespace = `pfg-${process.pid}`;
    ip('netns', 'add', namespace);
    onTestFinished(() => void ip('netns', 'del', namespace));
    ip('link', 'set', other, 'netns', namespace);
    const egress = await open();
    expect(egress.state).toEqual({ interface: out, program: 'unseen', programOn: null });
    expect(egress.problems).toEqual([]);
    expect(logged).toMatchObject([{ level: 40, interface: out, msg: expect.stringContaining('or GRO on') }]);
  });

  it('is not needed in generic mode, nor for a tap', async () => {
    expect((await open({ mode: 'generic' })).state).toEqual({ interface: out, program: 'unneeded', programOn: null });
    const tap = `pfg${process.pid}t`;
    ip('tuntap', 'add', tap, 'mode', 'tap');
    onTestFinished(() => void ip('link', 'del', tap));
    expect((await open({ interface: tap })).state.program).toBe('unneeded');
    expect([attached(out), attached(other), attached(tap)]).toEqual([null, null, null]);
    expect(logged).toEqual([]);
  });
});

describe('an interface that nothing can leave by', () => {
  it('is refused', async () => {
    await expect(open({ interface: 'lo' })).rejects.toThrow('egress lo carries no Ethernet frames');
    const vxlan = `pfg${process.pid}v`;
    ip('link', 'add', vxlan, 'type', 'vxlan', 'id', '7', 'dstport', '4789');
    onTestFinished(() => void ip('link', 'del', vxlan));
    await expect(open({ interface: vxlan })).rejects.toThrow('is a vxlan, which cannot send what XDP redirects to it');
    expect((await open({ interface: vxlan, mode: 'generic' })).state.program).toBe('unneeded');
  });
});

describe('taking it away', () => {
  it('is part of detaching', async () => {
    await open();
    const link = openPinnedLink(join(pinDir, 'egress', String(indexOf(other))));
    const { progId } = link?.info ?? { progId: 0 };
    link?.close();
    expect(detach(pinDir)).toEqual([
      `program ${progId} from interface index ${indexOf(other)}`,
      `pin ${join(pinDir, 'egress', String(indexOf(other)))}`,
    ]);
    expect(attached(other)).toBeNull();
    expect(existsSync(pinDir)).toBe(false);
  });

  it('leaves the chosen ones, and what is not ours by name', async () => {
    await open();
    const theirs = join(pinDir, 'egress', 'theirs');
    mkdirSync(theirs);
    expect(removePasses(pinDir, (index) => index !== indexOf(other))).toEqual([]);
    expect(attached(other)).toEqual(pass);
    expect(removePasses(pinDir, () => true)).toHaveLength(2);
    expect(attached(other)).toBeNull();
    expect(readdirSync(join(pinDir, 'egress'))).toEqual(['theirs']);
  });

  it('works when the interface is gone', async () => {
    await open();
    removePair();
    expect(detach(pinDir).join()).toContain('from interface index 0');
    expect(existsSync(pinDir)).toBe(false);
  });

  it('makes room for the program itself where packets come in from now on', async () => {
    await open();
    const loaded = await loadProgram({ vips: 1, pools: 1, reals: 1, flowsPerCpu: 8 });
    const attachment = attach(loaded, { interface: other, mode: 'driver', pinDir, log });
    onTestFinished(() => {
      attachment.close();
      loaded.program.close();
      loaded.object.close();
    });
    expect(attached(other)).toEqual({ mode: 1, name: 'pilotfish' });
    expect(existsSync(join(pinDir, 'egress'))).toBe(false);
  });
});
