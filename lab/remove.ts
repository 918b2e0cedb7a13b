/** Removes every trace of a lab, also of one that was killed while it was being built. Needs no memory of it. */
import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isBpffsMounted } from './bpffs.ts';
import { namespaceInode, run, tryRun } from './netns.ts';
import { bpffs, isLabPinDir, runDir } from './paths.ts';
import { killAll, marker } from './process.ts';
import { readState } from './state.ts';
import { isLabNamespace, rootLeg } from './topology.ts';

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** The namespaces of a lab that exist now, of whatever size it was. */
export async function labNamespaces(): Promise<string[]> {
  return (await namesIn('/run/netns')).filter(isLabNamespace);
}

/**
 * A process belongs to the lab if it lives in one of its namespaces, or carries the lab’s mark. The second finds etcd
 * and what was started while no pid file was written yet; the first finds what rewrites its own environment (nginx).
 */
export async function labProcesses(): Promise<number[]> {
  const inodes = await Promise.all((await labNamespaces()).map(namespaceInode));
  const namespaces = new Set(inodes.filter((inode) => inode !== null).map((inode) => `net:[${inode}]`));
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const ours = await Promise.all(
    pids.map(async (pid) => {
      try {
        if (namespaces.has(await readlink(`/proc/${pid}/ns/net`))) return true;
        return (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0').includes(marker);
      } catch {
        return false; // it has ended meanwhile, or is a kernel thread
      }
    }),
  );
  return pids.filter((pid, index) => ours[index] && pid !== process.pid);
}

/** True if there was anything to remove. Idempotent. */
export async function removeLab(): Promise<boolean> {
  const state = await readState();
  const pids = await labProcesses();
  const namespaces = await labNamespaces();
  await killAll(pids);
  // At once: the end of a namespace takes its devices away only some time later.
  const link = await tryRun('ip', ['link', 'delete', rootLeg.device]);
  await Promise.all(namespaces.map((namespace) => run('ip', ['netns', 'delete', namespace])));

  const pins = (await isBpffsMounted()) ? (await namesIn(bpffs)).filter(isLabPinDir) : [];
  await Promise.all(pins.map((pin) => rm(join(bpffs, pin), { recursive: true, force: true })));
  if (state?.mountedBpffs === true && (await isBpffsMounted())) await run('umount', [bpffs]);
  await rm(runDir, { recursive: true, force: true });
  return state !== null || pids.length + namespaces.length + pins.length > 0 || link.code === 0;
}
