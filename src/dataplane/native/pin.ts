import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { PilotfishError } from '../../core/errors.ts';
import { attempt } from './errors.ts';

export function pin(native: { pin(path: string): void }, what: string, path: string): void {
  const directory = dirname(path);
  // The kernel says EPERM here, as if a capability were missing.
  if (existsSync(directory) && !isBpffs(directory)) {
    throw new PilotfishError(
      'PF_BPFFS',
      `${what} cannot be pinned at ${path}: ${directory} is not on a bpf file system`,
      {
        fix: `Choose a directory under /sys/fs/bpf, or mount one: mount -t bpf bpf ${directory}`,
      },
    );
  }
  const fixes = { EEXIST: 'Remove the old pin first.', ENOENT: `Make the directory ${directory} first.` };
  attempt({ code: 'PF_PIN', what: `pinning ${what} at ${path}`, fixes }, () => native.pin(path));
}

/** BPF_FS_MAGIC of linux/magic.h. */
const bpffsMagic = 0xcafe4a11;

/** False also where nothing is. */
export function isBpffs(path: string): boolean {
  return existsSync(path) && statfsSync(path).type === bpffsMagic;
}
