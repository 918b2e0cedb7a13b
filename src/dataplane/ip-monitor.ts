import { type ChildProcess, spawn } from 'node:child_process';
import type { Logger } from 'pino';

const RESTART_MS = 10_000;
/** `ip` does not say when it listens; what changed before that, nobody tells. */
const LISTENS_MS = 1_000;

/** Tells when links, addresses or neighbours of this host change, and not how: whoever wants to know reads them. */
export class IpMonitor {
  readonly #onChange: () => void;
  readonly #log: Logger;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #listens: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(onChange: () => void, log: Logger) {
    this.#onChange = onChange;
    this.#log = log;
    this.#start();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#restart);
    clearTimeout(this.#listens);
    this.#child?.kill();
  }

  #start(): void {
    // Not `dev`: that filter goes by index, and an interface that is made anew has another one.
    const child: ChildProcess = spawn('ip', ['monitor', 'link', 'address', 'neigh'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    // First of all: where descriptors are used up there is neither a process nor a stream.
    child.on('error', (err) => this.#log.warn({ err }, 'ip monitor cannot be started; its host is polled only'));
    child.stdout?.on('data', this.#onChange);
    this.#listens = setTimeout(this.#onChange, LISTENS_MS);
    child.on('close', () => {
      if (!this.#closed) this.#restart = setTimeout(() => this.#start(), RESTART_MS);
    });
    this.#child = child;
  }
}
