/** Long-lived processes of the lab: started detached, with a log file, and found again by a later run of the lab. */
import { spawn } from 'node:child_process';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PilotfishError } from '../src/core/errors.ts';
import { commandEnv, inNamespace } from './netns.ts';
import { packageRoot, runDir } from './paths.ts';
import { until } from './until.ts';

/** In the environment of every process that the lab starts, so that the next lab finds it whatever happened. */
export const marker = `PILOTFISH_LAB=${runDir}`;

export interface Command {
  /** Unique in the lab; names the log and the pid file. */
  readonly name: string;
  /** Absent: this machine’s own namespace. */
  readonly namespace?: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Where standard output goes, if not into the log. */
  readonly stdout?: string;
}

/** Field 22 of /proc/<pid>/stat, by which a process differs from a later one of the same number (proc(5)). */
async function startTime(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

export class LabProcess {
  readonly #command: Command;
  readonly logFile: string;
  readonly #pidFile: string;

  constructor(command: Command) {
    this.#command = command;
    this.logFile = join(runDir, 'log', `${command.name}.log`);
    this.#pidFile = join(runDir, 'pid', command.name);
  }

  /** The process’s id while it lives, also when another run of the lab started it. */
  async pid(): Promise<number | null> {
    const recorded = await readFile(this.#pidFile, 'utf8').catch(() => '');
    const [pid, started] = recorded.split(' ');
    if (pid === undefined || started === undefined) return null;
    return (await startTime(Number(pid))) === started ? Number(pid) : null;
  }

  /** @throws PF_LAB when it runs already or cannot be started */
  async start(): Promise<void> {
    const { name, namespace, command, args } = this.#command;
    if ((await this.pid()) !== null) throw new PilotfishError('PF_LAB', `${name} is already running`);
    for (const folder of ['log', 'pid']) await mkdir(join(runDir, folder), { recursive: true });
    const [file, argv] = namespace === undefined ? [command, args] : inNamespace(namespace, command, args);
    const [variable, value] = marker.split('=') as [string, string];
    await using log = await open(this.logFile, 'a');
    await using out = await open(this.#command.stdout ?? this.logFile, 'a');
    const child = spawn(file, argv, {
      cwd: packageRoot,
      env: { ...commandEnv, [variable]: value },
      detached: true,
      stdio: ['ignore', out.fd, log.fd],
    });
    const pid = await new Promise<number>((resolve, reject) => {
      child.once('spawn', () => resolve(child.pid as number));
      child.once('error', (cause) =>
        reject(new PilotfishError('PF_LAB', `${name}: cannot start ${file}: ${cause.message}`, { cause })),
      );
    });
    child.unref();
    await writeFile(this.#pidFile, `${pid} ${await startTime(pid)}`);
  }

  /** Waits for `ready`. @throws PF_LAB with the end of the log when the process dies before, or the time is over */
  async waitUntil(ready: (pid: number) => Promise<boolean>, what: string, timeoutMs?: number): Promise<void> {
    const { name } = this.#command;
    const check = async () => {
      const pid = await this.pid();
      if (pid === null) throw new PilotfishError('PF_LAB', `${name} ended at its start`);
      return ready(pid);
    };
    try {
      await until(check, { what: `${name} ${what}`, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    } catch (cause) {
      // The whole log goes with the lab if the lab cannot be built.
      throw new PilotfishError('PF_LAB', `${messageOf(cause)}; its log ends:\n${await this.#logTail()}`, { cause });
    }
  }

  /** Sends a signal and waits until the process is gone; nothing happens if it does not run. */
  async end(signal: NodeJS.Signals, timeoutMs = 10_000): Promise<void> {
    const pid = await this.pid();
    if (pid === null) return;
    send(pid, signal);
    await until(async () => (await this.pid()) === null, {
      what: `${this.#command.name} (process ${pid}) has ended after ${signal}`,
      timeoutMs,
    });
    await rm(this.#pidFile, { force: true });
  }

  /** Whether a line of its log is this. */
  async hasLogged(line: string): Promise<boolean> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    return text.split('\n').includes(line);
  }

  async #logTail(): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-20).join('\n');
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended by itself, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Kills processes and waits until none is left. */
export async function killAll(pids: readonly number[]): Promise<void> {
  for (const pid of pids) send(pid, 'SIGKILL');
  await until(async () => (await Promise.all(pids.map(startTime))).every((time) => time === null), {
    what: `the processes ${pids.join(', ')} of an earlier lab have ended`,
  });
}
