import { mkdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { PilotfishError } from '../core/errors.ts';
import { maps, structs, variables } from './layout.gen.ts';
import type { BpfLink } from './native.ts';
import { interfaceIndex, isBpffs, openPinnedLink, openPinnedMap } from './native.ts';
import { removePasses } from './pass.ts';
import { removeIfThere } from './pins.ts';
import type { LoadedProgram } from './program.ts';
import { decodeReal } from './records.ts';

/**
 * Program, maps and link in bpffs, so that forwarding outlives the agent:
 *
 *     <pinDir>/link  <pinDir>/program  <pinDir>/maps/<name>
 *
 * What makes an egress interface ready is beside it: see pass.ts.
 */

export type Mode = 'driver' | 'generic';

export interface AttachOptions {
  readonly interface: string;
  readonly mode: Mode | 'auto';
  readonly pinDir: string;
  readonly log: Logger;
}

export interface Attachment {
  readonly mode: Mode | 'kept';
  /** True when a running program was replaced without a gap. */
  readonly replaced: boolean;
  /** Closes this process’s handle; forwarding goes on. */
  close(): void;
}

/** By the name of the pin, the one that the object has it by. */
const pinnedMaps: readonly (readonly [pin: string, map: string])[] = [
  ...Object.keys(maps).map((name) => [name, name] as const),
  ...Object.entries(variables).map(([name, { section }]) => [name, section] as const),
];

/** Maps that earlier versions pinned. */
const FORMER_MAPS = ['hot_tags', 'reasons', 'events', 'budgets'];

const linkPath = (pinDir: string): string => join(pinDir, 'link');

/** @throws PilotfishError PF_BPFFS */
export function checkPinDir(pinDir: string): void {
  if (isBpffs(dirname(pinDir))) return;
  throw new PilotfishError(
    'PF_BPFFS',
    `${dirname(pinDir)} is not a bpf file system, so nothing can be pinned under ${pinDir}`,
    {
      fix: 'mount -t bpf bpf /sys/fs/bpf, or set pinDir in agent.yaml to a folder directly under a mounted one',
    },
  );
}

/** What an earlier agent left behind, in words; null when there is nothing. */
export function describeFound(pinDir: string): string | null {
  const link = openPinnedLink(linkPath(pinDir));
  if (link === null) return null;
  const { progId, ifindex } = link.info;
  link.close();
  return ifindex === 0
    ? `a link at ${linkPath(pinDir)} whose interface is gone`
    : `program ${progId} attached to interface index ${ifindex}, pinned at ${linkPath(pinDir)}`;
}

/**
 * Id of an earlier agent’s program that is still attached and has VIPs to serve; null when there is none. Its directory cannot be
 * read without CAP_SYS_ADMIN, but some address has to be served, and by some real: the end of a tunnel alone has none.
 */
export function servingProgram(pinDir: string): number | null {
  const link = openPinnedLink(linkPath(pinDir));
  if (link === null) return null;
  const { progId, ifindex } = link.info;
  link.close();
  return ifindex !== 0 && hasVips(pinDir) ? progId : null;
}

function hasVips(pinDir: string): boolean {
  const { size } = structs.pf_real;
  const reals = pinnedValues(pinDir, 'reals');
  const numbers = Array.from({ length: reals.length / size }, (_, number) => number);
  const hasReal = numbers.some((n) => decodeReal(reals.subarray(n * size, (n + 1) * size)).address !== null);
  return hasReal && pinnedValues(pinDir, 'address_filter').some((byte) => byte !== 0);
}

/** All values of a pinned variable; empty when it is not there. */
function pinnedValues(pinDir: string, name: keyof typeof variables): Uint8Array {
  const map = openPinnedMap(join(pinDir, 'maps', name));
  if (map === null) return new Uint8Array();
  try {
    return map.entries().values;
  } finally {
    map.close();
  }
}

/** EOPNOTSUPP without native XDP; what drivers answer that have none at this MTU: EINVAL, and ERANGE (veth). */
const UNSUPPORTED: readonly number[] = [constants.errno.EOPNOTSUPP, constants.errno.EINVAL, constants.errno.ERANGE];

function attachAnew(loaded: LoadedProgram, ifindex: number, options: AttachOptions): { link: BpfLink; mode: Mode } {
  if (options.mode !== 'auto') return { link: loaded.program.attachXdp(ifindex, options.mode), mode: options.mode };
  try {
    return { link: loaded.program.attachXdp(ifindex, 'driver'), mode: 'driver' };
  } catch (error) {
    const { code, errno = 0 } = ((error as Error).cause ?? {}) as { code?: string; errno?: number };
    if (!UNSUPPORTED.includes(errno)) throw error;
    options.log.warn(
      { interface: options.interface, err: error, code },
      'the driver has no native XDP (or not at this MTU); falling back to generic mode, which is several times slower',
    );
    return { link: loaded.program.attachXdp(ifindex, 'generic'), mode: 'generic' };
  }
}

/**
 * Puts the loaded program in charge of the interface and pins it. An earlier agent’s link is updated in place, so no
 * packet finds no program.
 *
 * @throws PilotfishError PF_INTERFACE, PF_ATTACH, PF_PIN
 */
export function attach(loaded: LoadedProgram, options: AttachOptions): Attachment {
  const ifindex = interfaceIndex(options.interface);
  if (ifindex === null)
    throw new PilotfishError('PF_INTERFACE', `interface ${options.interface} is gone`, {
      fix: 'bring it back and restart the agent',
    });
  const found = openPinnedLink(linkPath(options.pinDir));
  if (found !== null && found.info.ifindex === ifindex) {
    found.update(loaded.program);
    repin(loaded, null, options.pinDir);
    return { mode: 'kept', replaced: true, close: () => found.close() };
  }
  if (found !== null) {
    found.detach();
    found.close();
    unlinkSync(linkPath(options.pinDir));
  }
  // There when packets left by this interface before.
  removePasses(options.pinDir, (index) => index === ifindex);
  const { link, mode } = attachAnew(loaded, ifindex, options);
  repin(loaded, link, options.pinDir);
  return { mode, replaced: false, close: () => link.close() };
}

/** @param link null: the pinned one stays */
function repin(loaded: LoadedProgram, link: BpfLink | null, pinDir: string): void {
  mkdirSync(join(pinDir, 'maps'), { recursive: true, mode: 0o700 });
  for (const name of FORMER_MAPS) removeIfThere(unlinkSync, join(pinDir, 'maps', name));
  for (const [name, ofObject] of pinnedMaps) {
    const path = join(pinDir, 'maps', name);
    removeIfThere(unlinkSync, path);
    loaded.object.map(ofObject).pin(path);
  }
  removeIfThere(unlinkSync, join(pinDir, 'program'));
  loaded.program.pin(join(pinDir, 'program'));
  link?.pin(linkPath(pinDir));
}

/**
 * Takes the program off the interface, and what made the egress interface ready off that one, and removes every pin.
 *
 * @returns what was removed, in words; empty when there was nothing
 */
export function detach(pinDir: string): string[] {
  const removed: string[] = [];
  const found = openPinnedLink(linkPath(pinDir));
  if (found !== null) {
    removed.push(`program ${found.info.progId} from interface index ${found.info.ifindex}`);
    // Detached, not only unpinned: an agent that still runs holds the link too.
    found.detach();
    found.close();
  }
  removed.push(...removePasses(pinDir, () => true));
  // Only what is ours by name: a mistyped pin directory must not cost somebody else's pins.
  const names = [...pinnedMaps.map(([name]) => name), ...FORMER_MAPS];
  const pins = [...names.map((name) => join(pinDir, 'maps', name)), join(pinDir, 'program'), linkPath(pinDir)];
  for (const pin of pins) if (removeIfThere(unlinkSync, pin)) removed.push(`pin ${pin}`);
  for (const directory of [join(pinDir, 'maps'), pinDir]) removeIfThere(rmdirSync, directory);
  return removed;
}
