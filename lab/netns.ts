/** Running commands, in this machine’s own network namespace or in one of the lab’s. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { PilotfishError } from '../src/core/errors.ts';

export interface Outcome {
  /** The exit code; 128 + signal number is not imitated: a command that was killed has -1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Settings of the person’s own stores and proxies, which tools would prefer to what the lab tells them. */
function leadsAway(variable: string): boolean {
  return /^ETCD|_PROXY$/i.test(variable);
}

/** Root shells without a login often lack the sbin folders, where half of the tools live. */
export const commandEnv: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([variable]) => !leadsAway(variable))),
  PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`,
};

/**
 * How to start a command inside a namespace. Not `ip netns exec`: that mounts a fresh /sys over the old one and so
 * hides the BPF file system. nsenter replaces itself by the command, so the process id is the command’s own.
 */
export function inNamespace(namespace: string, command: string, args: readonly string[]): [string, string[]] {
  return ['nsenter', [`--net=/run/netns/${namespace}`, command, ...args]];
}

/** Runs a command to its end; a failure is an outcome like any other. */
export function tryRun(command: string, args: readonly string[], input = ''): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: commandEnv, maxBuffer: 256 * 1024 * 1024 };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stdout, stderr: stderr === '' && error !== null ? error.message : stderr });
    });
    // A command that ends without reading its input has said why by its exit code.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Runs a command to its end and returns what it printed. @throws PF_LAB when it fails */
export async function run(command: string, args: readonly string[], input = ''): Promise<string> {
  const outcome = await tryRun(command, args, input);
  if (outcome.code !== 0) {
    throw new PilotfishError('PF_LAB', `\`${[command, ...args].join(' ')}\` failed: ${outcome.stderr.trim()}`, {
      fix: 'Run `pilotfish lab down` and then `pilotfish lab up`; if it fails again, run the command by hand.',
    });
  }
  return outcome.stdout;
}

export function tryRunIn(namespace: string, command: string, args: readonly string[], input = ''): Promise<Outcome> {
  return tryRun(...inNamespace(namespace, command, args), input);
}

/** @throws PF_LAB when the command fails */
export function runIn(namespace: string, command: string, args: readonly string[], input = ''): Promise<string> {
  return run(...inNamespace(namespace, command, args), input);
}

/** Many `ip` commands in one process; they stop at the first that fails. */
export function ipBatch(lines: readonly string[], namespace?: string): Promise<string> {
  const input = `${lines.join('\n')}\n`;
  return namespace === undefined ? run('ip', ['-batch', '-'], input) : runIn(namespace, 'ip', ['-batch', '-'], input);
}

/** The inode by which the kernel names a network namespace, `null` when there is none of that name. */
export async function namespaceInode(namespace: string): Promise<number | null> {
  try {
    return (await stat(`/run/netns/${namespace}`)).ino;
  } catch {
    return null;
  }
}
