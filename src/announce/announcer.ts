import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { backoffMs } from '../core/backoff.ts';
import { messageOf } from '../core/errors.ts';
import { runHook } from './hook.ts';
import type { LeftMark } from './left-mark.ts';
import type { AnnounceConfig } from './settings.ts';

const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 30_000;
/** A person's word is noticed after this time at the latest. */
const LOOK_MS = 1_000;

/** Whether routers send packets to this LB, as far as this host knows. */
export type AnnounceState =
  /** agent.yaml has no hook: somebody else decides. */
  | { readonly state: 'no-hook' }
  /** The agent has not been ready yet. */
  | { readonly state: 'waiting' }
  /** At its start, or since a person's word that it is out was taken back. */
  | { readonly state: 'joining' }
  /** The hook failed; it is tried again. */
  | { readonly state: 'failed'; readonly reason: string }
  | { readonly state: 'joined' }
  /** By a person; `since` is wall-clock milliseconds. */
  | { readonly state: 'left'; readonly since: number };

export interface AnnouncerOptions {
  /** Undefined: there are no hooks, and nothing is ever run. */
  readonly hooks: AnnounceConfig | undefined;
  readonly mark: LeftMark;
  readonly log: Logger;
  /** Milliseconds before the first retry; default 1,000. */
  readonly retryFirstMs?: number;
}

type Hook = 'join' | 'leave';

/**
 * The agent's part in announcing this LB: once it is ready it is in, unless a person has taken the LB out.
 * Level-triggered: hooks run until the last one and the mark agree, also when commands of persons run theirs at the same
 * time. It never leaves because something fails: forwarding does not need the agent.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | null = null;
  /** The hook that succeeded last, here or for the person who set the mark; null when that is not known. */
  #last: Hook | null = null;
  #failure: string | null = null;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  get state(): AnnounceState {
    if (this.#options.hooks === undefined) return { state: 'no-hook' };
    if (this.#failure !== null) return { state: 'failed', reason: this.#failure };
    const since = this.#options.mark.since();
    if (since !== null) return { state: 'left', since };
    if (this.#last === 'join') return { state: 'joined' };
    return { state: this.#running === null ? 'waiting' : 'joining' };
  }

  /** This LB can do its work. Only the first call counts. */
  ready(): void {
    const { hooks } = this.#options;
    if (hooks !== undefined) this.#running ??= this.#run(hooks);
  }

  /**
   * Ends the tries to join, after a hook that is under way and what undoes it where a person's word came meanwhile.
   *
   * @param options.leave a person stops the agent: leave too if agent.yaml says so. The next start joins again.
   */
  async stop(options: { readonly leave: boolean }): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    const { hooks, log } = this.#options;
    if (!options.leave || hooks?.onStop !== 'leave' || this.#leftByPerson()) return;
    try {
      // Also without a join of this process: one before it, which crashed, may have joined.
      await runHook('leave', hooks);
      log.info('left the paths of the routers (announce.onStop: leave)');
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'the leave hook failed; routers may go on sending packets here');
    }
  }

  /** False also where that cannot be known: to leave twice does no harm. */
  #leftByPerson(): boolean {
    const { mark, log } = this.#options;
    try {
      return mark.since() !== null;
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'nobody knows whether a person has taken this LB out; it leaves now');
      return false;
    }
  }

  async #run(hooks: AnnounceConfig): Promise<void> {
    const { log, retryFirstMs = RETRY_FIRST_MS } = this.#options;
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      let wait = LOOK_MS;
      try {
        await this.#bringAbout(hooks);
        this.#failure = null;
        failures = 0;
      } catch (error) {
        const reason = messageOf(error);
        if (this.#failure !== reason) log.error({ reason }, 'an announce hook failed; it is tried again');
        this.#failure = reason;
        wait = backoffMs(failures++, retryFirstMs, RETRY_MAX_MS, Math.random());
      }
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  async #bringAbout(hooks: AnnounceConfig): Promise<void> {
    const { mark, log } = this.#options;
    const before = this.#last;
    let wanted = this.#wanted();
    // Whoever set the mark runs the hook. It is run here only after a join of this process that failed or came later.
    if (wanted === 'leave' && this.#failure === null) this.#last = 'leave';
    for (; wanted !== this.#last; wanted = this.#wanted()) {
      this.#last = null;
      await runHook(wanted, hooks);
      this.#last = wanted;
    }
    if (wanted === before) return;
    if (wanted === 'join') log.info('joined the paths of the routers');
    else log.info({ mark: mark.path }, 'a person has taken this LB out; it stays out until `pilotfish join`');
  }

  #wanted(): Hook {
    return this.#options.mark.since() === null ? 'join' : 'leave';
  }
}
