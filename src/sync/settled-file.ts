import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorMessage } from 'node:util';
import { PilotfishError } from '../core/errors.ts';

/** Seven times what 16,384 reals take. A larger file is another one, and reading it could exhaust the memory. */
const MAX_MIB = 8;

/** All in milliseconds. */
export interface SettleTimes {
  /** A file that did not change for this long is taken for complete. */
  readonly settleMs: number;
  /** A file that changes on and on for this long is reported. */
  readonly restlessMs: number;
}

export interface SettledFile {
  readonly text: string;
  /** Wall-clock milliseconds of its last modification, as the file system says. */
  readonly modifiedMs: number;
}

/** What the path leads to at one moment. */
interface Look {
  /** Two equal ones: nobody wrote, moved or removed the file in between. */
  readonly stamp: string;
  readonly modifiedMs: number;
  readonly problem: PilotfishError | null;
}

function unreadable(path: string, cause: unknown): PilotfishError {
  const { code, errno = 0 } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT')
    return new PilotfishError('PF_STATE', `${path} is not there`, {
      fix: 'write the file, or name another one as source.file in agent.yaml',
      cause,
    });
  return new PilotfishError('PF_STATE', `${path} cannot be read: ${getSystemErrorMessage(errno)} (${code})`, {
    fix: 'check the path and the rights of the file',
    cause,
  });
}

function kindOf(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a named pipe';
  return stats.isSocket() ? 'a socket' : 'a device';
}

function problemOf(path: string, stats: BigIntStats): PilotfishError | null {
  if (!stats.isFile())
    return new PilotfishError('PF_STATE', `${path} is ${kindOf(stats)} and not a file`, {
      fix: 'name a file as source.file in agent.yaml',
    });
  if (stats.size > MAX_MIB * 2 ** 20)
    return new PilotfishError(
      'PF_STATE',
      `${path} has ${stats.size} bytes, and a state file has at most ${MAX_MIB} MiB`,
      {
        fix: 'check that it is the state file',
      },
    );
  return null;
}

function lookAt(path: string, stats: BigIntStats): Look {
  const { dev, ino, size, mode, mtimeNs, ctimeNs, mtimeMs } = stats;
  return {
    stamp: [dev, ino, size, mode, mtimeNs, ctimeNs].join(':'),
    modifiedMs: Number(mtimeMs),
    problem: problemOf(path, stats),
  };
}

async function look(path: string): Promise<Look> {
  try {
    return lookAt(path, await stat(path, { bigint: true }));
  } catch (error) {
    const problem = unreadable(path, error);
    return { stamp: problem.message, modifiedMs: 0, problem };
  }
}

/** @returns null when the file is not what `expected` saw, or was changed while it was read */
async function readAs(path: string, expected: Look): Promise<string | null> {
  // Without O_NONBLOCK, opening a pipe that has taken the place of the file would wait for its writer for ever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const unchanged = async () => lookAt(path, await file.stat({ bigint: true })).stamp === expected.stamp;
  try {
    if (!(await unchanged())) return null;
    const text = await file.readFile('utf8');
    return (await unchanged()) ? text : null;
  } finally {
    await file.close();
  }
}

/** Reads a file that others write, after they seem to have finished. */
export class SettlingReader {
  readonly #path: string;
  readonly #times: SettleTimes;
  /** What the last answer was about. */
  #known: string | null = null;

  constructor(path: string, times: SettleTimes) {
    this.#path = path;
    this.#times = times;
  }

  /**
   * The file when it has not changed for a while; null when it is the one of the last answer (or failure), or when the
   * signal aborted.
   *
   * @throws PilotfishError PF_STATE when there is no file that can be read
   */
  async next(signal: AbortSignal): Promise<SettledFile | null> {
    const { settleMs, restlessMs } = this.#times;
    const since = performance.now();
    let seen = await look(this.#path);
    if (seen.stamp === this.#known) return null;
    while (performance.now() - since < restlessMs) {
      await sleep(settleMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return null;
      const now = await look(this.#path);
      const text = now.stamp === seen.stamp ? await this.#read(now) : null;
      if (text !== null) return { text, modifiedMs: now.modifiedMs };
      seen = now;
    }
    throw new PilotfishError('PF_STATE', `${this.#path} has been changing for ${restlessMs} ms without a pause`, {
      fix: 'write it less often, or write another file and rename it',
    });
  }

  async #read(found: Look): Promise<string | null> {
    if (found.problem !== null) {
      this.#known = found.stamp;
      throw found.problem;
    }
    try {
      const text = await readAs(this.#path, found);
      if (text !== null) this.#known = found.stamp;
      return text;
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }
}
