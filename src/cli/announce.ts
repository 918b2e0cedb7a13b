import { setTimeout as sleep } from 'node:timers/promises';
import { runHook } from '../announce/hook.ts';
import { LeftMark } from '../announce/left-mark.ts';
import type { AnnounceConfig } from '../announce/settings.ts';
import { type AgentConfig, readConfig } from '../config.ts';
import { messageOf, PilotfishError } from '../core/errors.ts';
import { readPinnedForwarded } from '../dataplane/pinned-counters.ts';
import { fetchState } from './agent-client.ts';
import { refuseShortWait } from './options.ts';
import { counted } from './output.ts';

export interface LeaveOptions {
  readonly config: string;
  readonly wait?: boolean;
  /** Seconds. */
  readonly timeout: number;
}

export interface JoinOptions {
  readonly config: string;
  readonly force?: boolean;
}

/** Seconds. No packet for this long: the routers have taken it in. */
const STILL = 2;
const POLL_MS = 100;

function hooksOf({ announce }: AgentConfig, path: string): AnnounceConfig {
  if (announce !== undefined) return announce;
  throw new PilotfishError('PF_CONFIG', `${path} has no announce hooks, so nothing can take this LB out or back`, {
    fix: 'add announce: {join: [command, argument], leave: [command, argument]} with commands that change your routers',
  });
}

/** Resolves when nothing was forwarded for a while. @throws PilotfishError PF_ANNOUNCE when the time is over */
async function waitUntilStill({ name, pinDir }: AgentConfig, timeoutSeconds: number): Promise<void> {
  const end = performance.now() + timeoutSeconds * 1_000;
  let last = readPinnedForwarded(pinDir);
  let changedAt = performance.now();
  let late = 0n;
  while (performance.now() - changedAt < STILL * 1_000) {
    if (performance.now() > end) {
      throw new PilotfishError(
        'PF_ANNOUNCE',
        `${name} has left, but ${counted(Number(late), 'packet')} came since, the last ` +
          `${Math.round(performance.now() - changedAt)} ms ago, and ${timeoutSeconds} s are over`,
        { fix: 'look at the routes of every router before it, or wait longer with --timeout', retryable: true },
      );
    }
    await sleep(POLL_MS);
    const now = readPinnedForwarded(pinDir);
    if (now === last) continue;
    // A new agent's program counts from 0.
    late += last !== null && now !== null && now > last ? now - last : (now ?? 0n);
    last = now;
    changedAt = performance.now();
  }
}

/**
 * Takes this LB out of the routers' paths until `pilotfish join`. It goes on forwarding what still comes.
 * @throws PilotfishError PF_USAGE, PF_CONFIG, PF_ANNOUNCE
 */
export async function runLeave(options: LeaveOptions): Promise<number> {
  if (options.wait === true) refuseShortWait(options.timeout, STILL);
  const config = readConfig(options.config);
  const hooks = hooksOf(config, options.config);
  const mark = new LeftMark(config.stateDir, config.name);
  const before = mark.since();
  // First, so that an agent that is about to join sees it.
  mark.set();
  try {
    await runHook('leave', hooks);
  } catch (error) {
    if (before !== null) throw error;
    mark.clear();
    throw new PilotfishError('PF_ANNOUNCE', messageOf(error), {
      fix: 'mend the hook and leave again, or take back what it may have done with `pilotfish join`',
      retryable: true,
      cause: error,
    });
  }
  console.log(`${config.name} has left the routers' paths; \`pilotfish join\` takes it back`);
  if (options.wait !== true) return 0;
  await waitUntilStill(config, options.timeout);
  console.log(`${config.name} forwards nothing any more`);
  return 0;
}

/**
 * Takes this LB back into the routers' paths.
 * @throws PilotfishError PF_CONFIG, PF_AGENT, PF_ANNOUNCE
 */
export async function runJoin(options: JoinOptions): Promise<number> {
  const config = readConfig(options.config);
  const hooks = hooksOf(config, options.config);
  if (options.force !== true) {
    const { ready, problems } = await fetchState(config.admin.socket);
    if (!ready)
      throw new PilotfishError('PF_ANNOUNCE', `${config.name} is not ready: ${problems.join('; ')}`, {
        fix: 'wait until `pilotfish status` says that it is ready, or join all the same with --force',
        retryable: true,
      });
  }
  await runHook('join', hooks);
  new LeftMark(config.stateDir, config.name).clear();
  console.log(`${config.name} has joined the routers' paths`);
  return 0;
}
