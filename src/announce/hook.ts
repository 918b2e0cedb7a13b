import { type ChildProcess, spawn } from 'node:child_process';
import { messageOf, PilotfishError } from '../core/errors.ts';
import type { AnnounceConfig } from './settings.ts';

/** Of what a hook says, enough to see why it failed. */
const SHOWN_CHARACTERS = 2_000;
/** A hook may have left a child behind that holds its standard error open. */
const LAST_WORDS_MS = 200;

function failure(what: string, why: string, stderr: string, cause?: unknown): PilotfishError {
  const said = stderr.trim();
  return new PilotfishError('PF_ANNOUNCE', `${what} ${why}${said === '' ? '' : `; it said: ${said}`}`, {
    fix: 'run the command by hand as the same user, and mend it or announce in agent.yaml',
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * Runs one of the two hooks to its end, without a shell and in a process group of its own: a hook that takes too long
 * is killed with everything that it started.
 *
 * @throws PilotfishError PF_ANNOUNCE with the end of its standard error when it fails in any way
 */
export function runHook(hook: 'join' | 'leave', config: AnnounceConfig): Promise<void> {
  const [command = '', ...args] = config[hook];
  const what = `the ${hook} hook \`${config[hook].join(' ')}\``;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child: ChildProcess = spawn(command, args, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    try {
      killGroup(child.pid);
    } catch (cause) {
      // Nobody waits for it any more.
      child.stderr?.destroy();
      child.unref();
      reject(
        failure(
          what,
          `took longer than ${config.timeoutMs} ms and cannot be killed: ${messageOf(cause)}`,
          stderr,
          cause,
        ),
      );
    }
  }, config.timeoutMs);
  // First of all: where descriptors are used up there is neither a process nor a stream.
  child.once('error', (cause) => {
    clearTimeout(timer);
    reject(failure(what, `cannot be started: ${messageOf(cause)}`, '', cause));
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-SHOWN_CHARACTERS);
  });
  child.once('exit', (code, signal) => {
    clearTimeout(timer);
    const end = (): void => {
      child.stderr?.destroy();
      if (late) reject(failure(what, `took longer than ${config.timeoutMs} ms and was killed`, stderr));
      else if (code === 0) resolve();
      else reject(failure(what, code === null ? `was ended by ${signal}` : `ended with exit code ${code}`, stderr));
    };
    if (code === 0) return end();
    const patience = setTimeout(end, LAST_WORDS_MS);
    child.once('close', () => {
      clearTimeout(patience);
      end();
    });
  });
  return promise;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // It ended in this very moment.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
