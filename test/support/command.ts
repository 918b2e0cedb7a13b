import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: string;
  /** The input comes this late, in milliseconds. */
  readonly inputAfter?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs it in another world, such as `['nsenter', '--net=/run/netns/x']`. */
  readonly prefix?: readonly string[];
}

/** Runs `pilotfish` with these arguments as a process of its own. */
export async function pilotfish(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [command = '', ...rest] = [...(options.prefix ?? []), process.execPath, main, ...args];
  const child = spawn(command, rest, { env: { ...process.env, PILOTFISH_DEBUG: '', ...options.env } });
  setTimeout(() => child.stdin.end(options.input), options.inputAfter ?? 0);
  const [[code], stdout, stderr] = await Promise.all([
    once(child, 'close') as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, stdout, stderr };
}
