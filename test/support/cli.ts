import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `pilotfish` with these arguments, from the sources.
 *
 * @param prefix a command that runs it in another world, such as `['nsenter', '--net=/run/netns/x']`
 */
export function cli(args: readonly string[], prefix: readonly string[] = []): Promise<CliResult> {
  const [command = '', ...rest] = [...prefix, process.execPath, main, ...args];
  return new Promise((resolve) => {
    execFile(command, rest, { timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
  });
}
