import { statfs } from 'node:fs/promises';
import { run } from './netns.ts';
import { bpffs } from './paths.ts';

/** BPF_FS_MAGIC of linux/magic.h. */
const bpffsMagic = 0xcafe4a11;

export async function isBpffsMounted(): Promise<boolean> {
  return (await statfs(bpffs)).type === bpffsMagic;
}

export async function mountBpffs(): Promise<void> {
  await run('mount', ['-t', 'bpf', 'bpf', bpffs]);
}
