import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join, relative } from 'node:path';
import { PilotfishError } from '../src/core/errors.ts';
import { commandEnv } from './netns.ts';
import { bpfObject, packageRoot } from './paths.ts';

const commands = [
  'bpftool',
  'curl',
  'etcd',
  'etcdctl',
  'ethtool',
  'flock',
  'ip',
  'mount',
  'nginx',
  'nsenter',
  'sysctl',
  'taskset',
  'tc',
  'umount',
  'unshare',
];

const agentParts = [
  'build/pilotfish.bpf.o',
  'build/pilotfish-trace.bpf.o',
  'build/clock.bpf.o',
  'build/pass.bpf.o',
  'build/pilotfish.node',
].map((part) => join(packageRoot, part));

async function isMissing(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => false,
    () => true,
  );
}

async function isNoCommand(command: string): Promise<boolean> {
  const folders = (commandEnv.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const missing = await Promise.all(folders.map((folder) => isMissing(join(folder, command), constants.X_OK)));
  return missing.every(Boolean);
}

/** @throws PF_LAB unless the process is root */
export function requireRoot(): void {
  const uid = process.geteuid?.();
  if (uid === 0) return;
  throw new PilotfishError(
    'PF_LAB',
    `the lab makes network namespaces and loads BPF programs, but runs as user ${uid}`,
    {
      fix: 'Run it as root: sudo env "PATH=$PATH" followed by the same command.',
    },
  );
}

/** @throws PF_LAB naming everything that is missing at once */
export async function requireParts(agents: boolean): Promise<void> {
  const files = [bpfObject('decap'), bpfObject('xdp-pass'), ...(agents ? agentParts : [])];
  const noCommand = await Promise.all(commands.map(isNoCommand));
  const noFile = await Promise.all(files.map((file) => isMissing(file, constants.R_OK)));
  const missing = [
    ...commands.filter((_, index) => noCommand[index]),
    ...files.filter((_, index) => noFile[index]).map((file) => relative(packageRoot, file)),
  ];
  if (missing.length === 0) return;
  throw new PilotfishError('PF_LAB', `the lab misses ${missing.join(', ')}`, {
    fix: `Run \`npm run setup\` in ${packageRoot}: it installs the tools and builds the rest.`,
  });
}
