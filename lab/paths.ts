import { join } from 'node:path';

/** The source checkout. */
export const packageRoot = join(import.meta.dirname, '..');

/** Everything a running lab keeps in files: logs, sockets, etcd’s data, pid files. One lab per machine. */
export const runDir = '/run/pilotfish-lab';

export const bpffs = '/sys/fs/bpf';

/** Pins of the lab’s own programs while they are being attached. */
export const labPinDir = join(bpffs, 'pilotfish-lab');

/** The announce hook of the LBs, and what keeps two of them from running it at once. */
export const ecmpScript = join(packageRoot, 'lab/ecmp.sh');
export const ecmpLock = join(runDir, 'ecmp.lock');

/** Where the agent of one LB pins its program, maps and link. */
export function pinDirOf(lb: string): string {
  return join(bpffs, `pilotfish-${lb}`);
}

/** Whether an entry of bpffs is one that some lab, of whatever size, may have made. */
export function isLabPinDir(entry: string): boolean {
  return /^pilotfish-(lab|lb\d+)$/.test(entry);
}

/** A program that the lab brings along, compiled. */
export function bpfObject(name: 'decap' | 'xdp-pass' | 'encap-static'): string {
  return join(packageRoot, 'build/lab', `${name}.bpf.o`);
}

/** A program that runs inside of the lab, in a process of its own. */
export function driverFile(name: string): string {
  return join(packageRoot, 'lab/drivers', `${name}.ts`);
}
