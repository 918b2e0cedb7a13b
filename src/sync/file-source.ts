import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { messageOf, PilotfishError } from '../core/errors.ts';
import { parseYaml } from '../yaml-file.ts';
import { keysOfStateFile } from './file-state.ts';
import { FolderWatch } from './folder-watch.ts';
import { Handover, tell } from './handover.ts';
import type { SettledFile, SettleTimes } from './settled-file.ts';
import { SettlingReader } from './settled-file.ts';
import type { KeySet, Source, SourceListener, SourceStatus } from './source.ts';

/** All in milliseconds. */
export interface FileTimes extends SettleTimes {
  /** The file is looked at this often even if nothing was noticed: network file systems do not tell of others’ writes. */
  readonly pollMs: number;
}

const fileTimes: FileTimes = { settleMs: 50, restlessMs: 5_000, pollMs: 2_000 };

const LONGEST_REASON = 300;

/** The first of the mistakes that a message lists, and how many there are besides. */
function inOneLine(message: string): string {
  const [what = '', first = '', ...more] = message.split('\n').map((line) => line.trim());
  const text = `${what} ${first}`.trim().slice(0, LONGEST_REASON);
  return more.length === 0 ? text : `${text} (and ${more.length} more)`;
}

/**
 * The desired state in a YAML or JSON file. Follows edits in place, renames onto it, links that come to lead elsewhere,
 * and removals of file or folder. A file that is missing, empty or cannot be understood changes nothing.
 */
export class FileSource implements Source {
  readonly #path: string;
  readonly #log: Logger;
  readonly #times: FileTimes;
  readonly #reader: SettlingReader;
  readonly #watch: FolderWatch;
  readonly #closing = new AbortController();
  #running: Promise<void> | null = null;
  #status: SourceStatus = { state: 'connecting' };
  #keys: KeySet | null = null;
  /** Modification time in milliseconds, or one more than before where that is not later: no two states share one. */
  #number = 0;

  /** @param options.path absolute */
  constructor(options: { readonly path: string; readonly log: Logger }, times: Partial<FileTimes> = {}) {
    this.#path = options.path;
    this.#log = options.log;
    this.#times = { ...fileTimes, ...times };
    this.#reader = new SettlingReader(this.#path, this.#times);
    this.#watch = new FolderWatch(this.#log);
  }

  start(listener: SourceListener): void {
    this.#running ??= this.#run(listener);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#watch.wake();
    await this.#running;
  }

  async #run(listener: SourceListener): Promise<void> {
    const handover = new Handover(listener, this.#log);
    const { signal } = this.#closing;
    tell(listener, this.#status, this.#log);
    while (!signal.aborted) {
      await this.#watch.follow(this.#path);
      const status = await this.#look(handover);
      if (signal.aborted) break;
      if (status !== null) this.#become(status, listener);
      await this.#watch.changed(this.#times.pollMs);
    }
    this.#watch.close();
    handover.close();
  }

  /** @returns what has become of the source; null when the file is as it was */
  async #look(handover: Handover): Promise<SourceStatus | null> {
    try {
      const file = await this.#reader.next(this.#closing.signal);
      if (file === null) return null;
      this.#take(file, handover);
      // Whoever hears that the source is current has its keys already.
      await turn();
      return { state: 'current', endpoint: this.#path };
    } catch (error) {
      return this.#lost(error);
    }
  }

  #take({ text, modifiedMs }: SettledFile, handover: Handover): void {
    const keys = keysOfStateFile(parseYaml(text, this.#path, 'PF_STATE'), this.#path);
    if (isDeepStrictEqual(keys, this.#keys)) return;
    this.#keys = keys;
    this.#number = Math.max(modifiedMs, this.#number + 1);
    handover.keys(() => keys, { generation: `file:${this.#path}`, number: this.#number });
  }

  #lost(error: unknown): SourceStatus {
    const reason = inOneLine(messageOf(error));
    const before = this.#status;
    if (before.state !== 'lost' || before.reason !== reason) {
      const fix = error instanceof PilotfishError ? error.fix : undefined;
      this.#log.warn(
        { source: 'file', path: this.#path, reason, fix },
        'the state file cannot be used; what is in force stays',
      );
    }
    return { state: 'lost', reason, since: before.state === 'lost' ? before.since : Date.now() };
  }

  #become(status: SourceStatus, listener: SourceListener): void {
    if (isDeepStrictEqual(status, this.#status)) return;
    if (this.#status.state === 'lost' && status.state === 'current')
      this.#log.info({ source: 'file', path: this.#path }, 'the state file can be used now');
    this.#status = status;
    tell(listener, status, this.#log);
  }
}
