import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { messageOf, PilotfishError } from '../core/errors.ts';
import type { NativeAddon } from './native/binding.ts';
import { attempt, type Doing } from './native/errors.ts';
import { BpfMap } from './native/map.ts';
import { BpfObject } from './native/object.ts';
import { BpfLink, BpfProgram } from './native/program.ts';

export type { LinkInfo, MapEntries, MapInfo, ProgramInfo, TestRunResult } from './native/binding.ts';
export { VerifierError } from './native/errors.ts';
export type { BpfMap } from './native/map.ts';
export type { BpfObject } from './native/object.ts';
export { isBpffs } from './native/pin.ts';
export type { BpfLink, BpfProgram, TestRunOptions, XdpMode } from './native/program.ts';

/**
 * The kernel's BPF objects as bytes and descriptors, over the addon in native/. The only file that loads it.
 *
 * Handles own a descriptor until `close`, which may be called again; any other call then throws PilotfishError. All
 * buffers must have exactly the map's sizes. Byte order is the business of the caller: keys and values are C structs as
 * the program sees them. What resolves a promise runs on libuv's worker pool (4 threads unless UV_THREADPOOL_SIZE).
 */

let loaded: NativeAddon | undefined;

function addon(): NativeAddon {
  loaded ??= loadAddon();
  return loaded;
}

function loadAddon(): NativeAddon {
  const path = fileURLToPath(new URL('../../build/pilotfish.node', import.meta.url));
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    throw existsSync(path)
      ? new PilotfishError('PF_ADDON', `the native addon ${path} cannot be loaded: ${messageOf(cause)}`, {
          fix: 'Install libbpf 1.x (Debian: libbpf1), then build anew on this machine: npm run build.',
          cause,
        })
      : new PilotfishError('PF_ADDON', `the native addon ${path} is not there`, {
          fix: 'Build it: npm run build.',
          cause,
        });
  }
}

/**
 * Opens a compiled BPF object file (ELF); nothing enters the kernel before `load`.
 * @throws PilotfishError PF_OBJECT
 */
export function openObject(path: string): BpfObject {
  const doing: Doing = { code: 'PF_OBJECT', what: `BPF object ${path}`, fixes: { ENOENT: 'Build it: npm run build.' } };
  return attempt(doing, () => new BpfObject(addon().openObject(path), path));
}

export interface NewMap {
  readonly type: 'array' | 'hash' | 'lru_hash' | 'percpu_array' | 'percpu_hash' | 'lpm_trie';
  /** At most 15 characters reach the kernel. */
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_... bits. */
  readonly flags?: number;
}

/**
 * A map of its own. To go into an array of maps it must have the type, sizes and flags of the inner map that the object
 * file names there.
 */
export function createMap(map: NewMap): BpfMap {
  const { type, name, keySize, valueSize, maxEntries, flags = 0 } = map;
  const doing: Doing = { code: 'PF_MAP', what: `new map ${name}` };
  return attempt(doing, () => new BpfMap(addon().createMap(type, name, keySize, valueSize, maxEntries, flags)));
}

/** Ends what BpfMap.mmap began: all views of it become empty. False when it is no such memory, or not any more. */
export function unmap(view: ArrayBufferView): boolean {
  return addon().unmap(view.buffer);
}

/** Null when nothing is pinned there. @throws PilotfishError PF_PIN, PF_CAPABILITY */
export function openPinnedMap(path: string): BpfMap | null {
  return attempt(opening(path), () => wrap(addon().openPinnedMap(path), (native) => new BpfMap(native)));
}

/** Null when nothing is pinned there. @throws PilotfishError PF_PIN, PF_CAPABILITY */
export function openPinnedProgram(path: string): BpfProgram | null {
  return attempt(opening(path), () => wrap(addon().openPinnedProgram(path), (native) => new BpfProgram(native)));
}

/** Null when nothing is pinned there. @throws PilotfishError PF_PIN, PF_CAPABILITY */
export function openPinnedLink(path: string): BpfLink | null {
  return attempt(opening(path), () => wrap(addon().openPinnedLink(path), (native) => new BpfLink(native)));
}

function wrap<Native, Handle>(native: Native | null, make: (native: Native) => Handle): Handle | null {
  return native === null ? null : make(native);
}

function opening(path: string): Doing {
  return { code: 'PF_PIN', what: `pin ${path}`, fixes: { EACCES: 'Run as the owner of the pin, or change its mode.' } };
}

/** How many values a per-CPU entry has: CPUs that could ever be online. */
export function possibleCpus(): number {
  return attempt({ code: 'PF_KERNEL', what: 'counting CPUs' }, () => addon().possibleCpus());
}

/**
 * Bytes from the start of an array map, as this kernel lays it out, to its first value. Null when the kernel does not say: it was
 * built without BTF.
 */
export function arrayValueOffset(): number | null {
  return attempt({ code: 'PF_KERNEL', what: 'reading the kernel’s BTF' }, () => addon().arrayValueOffset());
}

/** The interface of that name in this network namespace; null when there is none. */
export function interfaceIndex(name: string): number | null {
  return attempt({ code: 'PF_INTERFACE', what: `interface ${name}` }, () => addon().interfaceIndex(name));
}

/** Of the library in use, which may be newer than the one built against: `1.1`. */
export function versions(): { readonly libbpf: string } {
  return { libbpf: addon().libbpfVersion().replace(/^v/, '') };
}
