import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BpfLink, openObject, openPinnedLink } from './native.ts';
import { removeIfThere } from './pins.ts';

/**
 * The program that passes everything, on interfaces whose drivers send redirected frames only beside an XDP program.
 * It is always the same, so the next agent takes it over by leaving it alone. One link for each interface:
 *
 *     <pinDir>/egress/<interface index>
 */

const objectPath = fileURLToPath(new URL('../../build/pass.bpf.o', import.meta.url));
const directory = (pinDir: string): string => join(pinDir, 'egress');
const linkPath = (pinDir: string, ifindex: number): string => join(directory(pinDir), String(ifindex));

/** Whether it is attached to this interface, by this agent or an earlier one. */
export function hasPass(pinDir: string, ifindex: number): boolean {
  const link = openPinnedLink(linkPath(pinDir, ifindex));
  const attached = link?.info.ifindex === ifindex;
  link?.close();
  return attached;
}

/**
 * Attaches it in driver mode and pins it, so that it outlives the agent. Never takes the place of another program.
 * Some NICs start anew by this, and have no link for some seconds.
 *
 * @throws PilotfishError PF_ATTACH, PF_PIN, PF_OBJECT, PF_CAPABILITY
 */
export async function attachPass(pinDir: string, ifindex: number): Promise<void> {
  const object = openObject(objectPath);
  let link: BpfLink | undefined;
  try {
    await object.load();
    const program = object.program('pilotfish_pass');
    link = program.attachXdp(ifindex, 'driver');
    program.close();
    mkdirSync(directory(pinDir), { recursive: true, mode: 0o700 });
    // One that somebody detached may be there still.
    removeIfThere(unlinkSync, linkPath(pinDir, ifindex));
    link.pin(linkPath(pinDir, ifindex));
  } finally {
    link?.close();
    object.close();
  }
}

/**
 * Detaches it from the interfaces chosen and removes the pins.
 *
 * @returns what was removed, in words
 */
export function removePasses(pinDir: string, isChosen: (ifindex: number) => boolean): string[] {
  if (!existsSync(directory(pinDir))) return [];
  const removed: string[] = [];
  // Only what is ours by name, as everywhere under pinDir.
  const pinned = readdirSync(directory(pinDir)).filter((name) => /^\d+$/.test(name));
  for (const ifindex of pinned.map(Number).filter(isChosen)) {
    const path = linkPath(pinDir, ifindex);
    const link = openPinnedLink(path);
    if (link === null) continue;
    removed.push(`program ${link.info.progId} from interface index ${link.info.ifindex}`);
    link.detach();
    link.close();
    if (removeIfThere(unlinkSync, path)) removed.push(`pin ${path}`);
  }
  removeIfThere(rmdirSync, directory(pinDir));
  return removed;
}
