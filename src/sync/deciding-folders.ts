import { readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** As many symbolic links as the kernel follows in one path (path_resolution(7)). */
const MAX_LINKS = 40;

/** Where the symbolic link leads; null when it is none; undefined when it is not there or may not be seen. */
async function linkTarget(path: string): Promise<string | null | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EINVAL' ? null : undefined;
  }
}

/**
 * The folders whose entries decide what an absolute path leads to: those of each symbolic link on the way, and that of
 * the file itself. Where the way ends early, the last folder that is there is where it will go on.
 */
export async function decidingFolders(path: string): Promise<Set<string>> {
  const folders = new Set<string>();
  const steps = path.split('/');
  let at = '/';
  let links = 0;
  while (steps.length > 0) {
    const step = steps.shift()!;
    const here = step === '..' ? dirname(at) : join(at, step);
    const target = here === at || step === '..' ? null : await linkTarget(here);
    if (target === null && steps.length > 0) {
      at = here;
      continue;
    }
    folders.add(at);
    if (typeof target !== 'string' || ++links > MAX_LINKS) break;
    steps.unshift(...target.split('/'));
    if (target.startsWith('/')) at = '/';
  }
  return folders;
}
