import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Snapshot } from '../../src/core/model.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { HostImage } from '../../src/core/target.ts';
import { buildTarget } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import type { Attachment, AttachOptions } from '../../src/dataplane/attachment.ts';
import { attach, checkPinDir, describeFound, detach, servingProgram } from '../../src/dataplane/attachment.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { maps, variables } from '../../src/dataplane/layout.gen.ts';
import { mapShapes } from '../../src/dataplane/map-store.ts';
import { createMap, interfaceIndex, openPinnedLink, openPinnedMap } from '../../src/dataplane/native.ts';
import type { LoadedProgram } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { thrownBy } from '../support/thrown-by.ts';

/** On a veth pair and a bpf file system of the test’s own. */

/** What is pinned under maps/. */
const pinned = Object.keys({ ...maps, ...variables });

const left = `pfk${process.pid}a`;
const right = `pfk${process.pid}b`;
const directory = mkdtempSync(join(tmpdir(), 'pilotfish-attachment-'));
const bpffs = join(directory, 'bpffs');
const pinDir = join(bpffs, 'pilotfish');

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

function addPair(): void {
  ip('link', 'add', left, 'type', 'veth', 'peer', 'name', right);
}

function removePair(): void {
  if (interfaceIndex(left) !== null) ip('link', 'del', left);
}

/** Enum of IFLA_XDP_ATTACHED in linux/if_link.h. */
const attachedModes: Readonly<Record<number, string>> = { 1: 'driver', 2: 'generic' };

/** What is attached to an interface, as iproute2 sees it. */
function attached(name: string): { mode: string; id: number } | null {
  const [link] = JSON.parse(ip('-j', 'link', 'show', 'dev', name)) as {
    xdp?: { mode: number; prog: { id: number } };
  }[];
  return link?.xdp === undefined ? null : { mode: attachedModes[link.xdp.mode] ?? '?', id: link.xdp.prog.id };
}

let logged: Record<string, unknown>[];
const log = pino({ base: null }, { write: (line: string) => logged.push(JSON.parse(line)) });

async function load(): Promise<LoadedProgram> {
  const loaded = await loadProgram({ vips: 1, pools: 1, reals: 1, flowsPerCpu: 8 });
  onTestFinished(() => {
    loaded.program.close();
    loaded.object.close();
  });
  return loaded;
}

function attachTo(loaded: LoadedProgram, changed: Partial<AttachOptions> = {}): Attachment {
  const attachment = attach(loaded, { interface: left, mode: 'auto', pinDir, log, ...changed });
  onTestFinished(() => attachment.close());
  return attachment;
}

function pinnedLink(): { id: number; progId: number; ifindex: number } | null {
  const link = openPinnedLink(join(pinDir, 'link'));
  const info = link?.info ?? null;
  link?.close();
  return info;
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

describe('attaching', () => {
  it('takes driver mode where it can, and pins program, maps and link', async () => {
    const loaded = await load();
    expect(describeFound(pinDir)).toBeNull();
    const attachment = attachTo(loaded);
    expect(attachment).toMatchObject({ mode: 'driver', replaced: false });
    expect(attached(left)).toEqual({ mode: 'driver', id: loaded.program.id });
    expect(readdirSync(pinDir).sort()).toEqual(['link', 'maps', 'program']);
    expect(readdirSync(join(pinDir, 'maps')).sort()).toEqual(pinned.toSorted());
    expect(describeFound(pinDir)).toContain(
      `program ${loaded.program.id} attached to interface index ${interfaceIndex(left)}`,
    );
    expect(logged).toEqual([]);
  });

  it('lasts when every handle is closed', async () => {
    const loaded = await load();
    const { id } = loaded.program;
    attachTo(loaded).close();
    loaded.program.close();
    loaded.object.close();
    expect(attached(left)).toEqual({ mode: 'driver', id });
  });

  it('takes generic mode when asked to', async () => {
    const loaded = await load();
    expect(attachTo(loaded, { mode: 'generic' })).toMatchObject({ mode: 'generic', replaced: false });
    expect(attached(left)).toEqual({ mode: 'generic', id: loaded.program.id });
  });

  it('falls back to generic mode, with a warning, at an MTU that the driver refuses', async () => {
    for (const name of [left, right]) ip('link', 'set', name, 'mtu', '4000');
    const loaded = await load();
    expect(attachTo(loaded)).toMatchObject({ mode: 'generic', replaced: false });
    expect(attached(left)).toEqual({ mode: 'generic', id: loaded.program.id });
    expect(logged).toMatchObject([{ level: 40, interface: left }]);
    expect(logged[0]?.msg).toContain('generic');
  });

  it('does not fall back when driver mode was asked for', async () => {
    for (const name of [left, right]) ip('link', 'set', name, 'mtu', '4000');
    const loaded = await load();
    const error = thrownBy(() => attachTo(loaded, { mode: 'driver' }));
    expect(error.code).toBe('PF_ATTACH');
    expect(error.fix).toContain('MTU');
    expect(attached(left)).toBeNull();
    expect(existsSync(join(pinDir, 'link'))).toBe(false);
  });

  it('names an interface that is not there', async () => {
    const loaded = await load();
    const error = thrownBy(() => attachTo(loaded, { interface: 'pfk-none' }));
    expect(error).toMatchObject({ code: 'PF_INTERFACE' });
    expect(error.message).toContain('pfk-none');
  });

  it.each(['driver', 'generic'] as const)('leaves another XDP program in %s mode alone and says so', async (mode) => {
    const other = await load();
    const link = other.program.attachXdp(interfaceIndex(left) ?? 0, mode);
    onTestFinished(() => link.close());
    const error = thrownBy(() => attachTo(other));
    expect(error.code).toBe('PF_ATTACH');
    expect(error.fix).toContain('detach it first');
    expect(attached(left)).toEqual({ mode, id: other.program.id });
    expect(pinnedLink()).toBeNull();
    expect(logged).toEqual([]);
  });

  it('gets over pins that a start left behind before it had a link', async () => {
    const first = await load();
    mkdirSync(join(pinDir, 'maps'), { recursive: true });
    first.program.pin(join(pinDir, 'program'));
    first.object.map('.data.reals').pin(join(pinDir, 'maps', 'reals'));
    const second = await load();
    expect(attachTo(second)).toMatchObject({ replaced: false });
    expect(attached(left)?.id).toBe(second.program.id);
  });
});

describe('pins of maps that an earlier version had', () => {
  const pinFormer = (loaded: LoadedProgram): void => {
    mkdirSync(join(pinDir, 'maps'), { recursive: true });
    for (const name of ['hot_tags', 'reasons', 'events', 'budgets'])
      loaded.object.map('cpu_state').pin(join(pinDir, 'maps', name));
  };

  it('go when the program is attached', async () => {
    const loaded = await load();
    pinFormer(loaded);
    attachTo(loaded);
    expect(readdirSync(join(pinDir, 'maps')).sort()).toEqual(pinned.toSorted());
  });

  it('go when it is taken off', async () => {
    const loaded = await load();
    attachTo(loaded);
    pinFormer(loaded);
    detach(pinDir);
    expect(existsSync(pinDir)).toBe(false);
  });
});

describe('attaching again', () => {
  it('replaces the program under the same link, and the pins with it', async () => {
    const first = await load();
    attachTo(first);
    const before = pinnedLink();
    const second = await load();
    expect(attachTo(second)).toMatchObject({ mode: 'kept', replaced: true });
    expect(pinnedLink()).toEqual({ ...before, progId: second.program.id });
    expect(attached(left)).toEqual({ mode: 'driver', id: second.program.id });

    second.store.put('settings', indexKey(0), new Uint8Array(mapShapes.settings.valueSize).fill(7));
    const settings = openPinnedMap(join(pinDir, 'maps', 'settings'));
    expect(settings?.get(indexKey(0))).toEqual(second.store.get('settings', indexKey(0)));
    settings?.close();
  });

  it('keeps a replaced program attached when its predecessor closes everything', async () => {
    const first = await load();
    const firstAttachment = attachTo(first);
    const second = await load();
    attachTo(second);
    firstAttachment.close();
    first.program.close();
    first.object.close();
    expect(attached(left)?.id).toBe(second.program.id);
  });

  it('moves to another interface', async () => {
    attachTo(await load());
    const second = await load();
    expect(attachTo(second, { interface: right })).toMatchObject({ mode: 'driver', replaced: false });
    expect(attached(left)).toBeNull();
    expect(attached(right)?.id).toBe(second.program.id);
    expect(pinnedLink()?.ifindex).toBe(interfaceIndex(right));
  });

  it('starts anew on an interface that was deleted and made again', async () => {
    attachTo(await load());
    removePair();
    expect(describeFound(pinDir)).toContain('whose interface is gone');
    addPair();
    const second = await load();
    expect(attachTo(second)).toMatchObject({ mode: 'driver', replaced: false });
    expect(attached(left)?.id).toBe(second.program.id);
    expect(pinnedLink()?.ifindex).toBe(interfaceIndex(left));
  });
});

describe('an earlier program', () => {
  const tunnels = [{ address: '192.0.2.1', guePort: 6_080 }];
  const host: HostImage = {
    mtu: 1_500,
    gatewayMac: '02:00:00:00:00:01',
    ownMac: '02:00:00:00:00:02',
    local: new Set(),
    neighbours: new Map(),
    tunnels,
    own: new Set(),
  };

  async function fill(dataPlane: MapDataPlane, state: Snapshot): Promise<void> {
    const target = buildTarget(state, host, allUp(state), new Map());
    for (const op of plan(target, dataPlane.observe())) await dataPlane.apply(op);
  }

  it('serves when it is attached and has a VIP', async () => {
    expect(servingProgram(pinDir)).toBeNull();
    const loaded = await load();
    const attachment = attachTo(loaded);
    expect(servingProgram(pinDir)).toBeNull();
    const dataPlane = new MapDataPlane(loaded.store, new RingBuilder());
    await fill(dataPlane, snapshot([], []));
    // It has the end of a tunnel.
    expect(servingProgram(pinDir)).toBeNull();
    const web = pool('web', ['10.0.0.1']);
    await fill(dataPlane, snapshot([web], [vip('web')]));
    expect(servingProgram(pinDir)).toBe(loaded.program.info.id);
    await fill(dataPlane, snapshot([], []));
    expect(servingProgram(pinDir)).toBeNull();
    await fill(dataPlane, snapshot([web], [vip('web')]));
    attachment.close();
    loaded.program.close();
    detach(pinDir);
    expect(servingProgram(pinDir)).toBeNull();
  });
});

describe('detaching', () => {
  it('removes program and pins, and says what it removed', async () => {
    const loaded = await load();
    attachTo(loaded);
    const removed = detach(pinDir);
    expect(removed[0]).toBe(`program ${loaded.program.id} from interface index ${interfaceIndex(left)}`);
    expect(removed).toHaveLength(1 + pinned.length + 2);
    expect(attached(left)).toBeNull();
    expect(existsSync(pinDir)).toBe(false);
    expect(detach(pinDir)).toEqual([]);
  });

  it('does so too while another process holds the link', async () => {
    attachTo(await load()).close();
    const native = new URL('../../src/dataplane/native.ts', import.meta.url).href;
    const script = `
      import { openPinnedLink } from ${JSON.stringify(native)};
      globalThis.link = openPinnedLink(${JSON.stringify(join(pinDir, 'link'))});
      console.log(link.info.ifindex);
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    try {
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      expect(Number(said)).toBe(interfaceIndex(left));
      detach(pinDir);
      expect(child.exitCode).toBeNull();
      expect(attached(left)).toBeNull();
      expect(existsSync(pinDir)).toBe(false);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });

  it('removes the pins of a link whose interface is gone', async () => {
    attachTo(await load());
    removePair();
    expect(detach(pinDir).length).toBeGreaterThan(0);
    expect(existsSync(pinDir)).toBe(false);
  });

  it('leaves what others have pinned in the directory', async () => {
    attachTo(await load());
    const foreign = createMap({ type: 'array', name: 'foreign', keySize: 4, valueSize: 4, maxEntries: 1 });
    const paths = [join(pinDir, 'foreign'), join(pinDir, 'maps', 'foreign')];
    for (const path of paths) foreign.pin(path);
    foreign.close();
    const removed = detach(pinDir);
    expect(removed.filter((what) => what.includes('foreign'))).toEqual([]);
    expect(attached(left)).toBeNull();
    expect(readdirSync(pinDir).sort()).toEqual(['foreign', 'maps']);
    expect(readdirSync(join(pinDir, 'maps'))).toEqual(['foreign']);
  });
});

describe('the pin directory', () => {
  it('must be on a bpf file system', () => {
    expect(() => checkPinDir(pinDir)).not.toThrow();
    const error = thrownBy(() => checkPinDir(join(directory, 'pilotfish')));
    expect(error.code).toBe('PF_BPFFS');
    expect(error.message).toContain(directory);
    expect(error.fix).toContain('mount -t bpf');
    expect(thrownBy(() => checkPinDir(join(directory, 'none', 'pilotfish'))).code).toBe('PF_BPFFS');
  });
});
