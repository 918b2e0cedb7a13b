import type { Socket } from 'node:net';
import { connect, isIP } from 'node:net';
import type { Address } from '../core/model.ts';
import type { CheckResult } from './checker.ts';
import { connectionFailure } from './reasons.ts';

/** One connection to a real with a deadline. Whichever of the calls comes first decides; all others do nothing. */
export interface Probe {
  /** Connected. Its errors are for those who use it: only they know what was going on. */
  readonly socket: Socket;
  /** Fires when the probe is over, whatever the result: everything built upon the socket has to go. */
  readonly over: AbortSignal;
  /** What is waited for from now on, for the reason of a timeout: `for a response`. */
  waitFor(what: string): void;
  pass(): void;
  fail(reason: string): void;
}

/**
 * Connects, and once connected has `proceed` find out what it wants to know.
 * @param address an IP address: a name would be resolved by DNS, on a thread pool and outside the timeout
 * @param signal abandons the probe
 */
export function probe(
  address: Address,
  { port, timeoutMs }: { readonly port: number; readonly timeoutMs: number },
  signal: AbortSignal,
  proceed: (probe: Probe) => void,
): Promise<CheckResult> {
  if (isIP(address) === 0) return Promise.resolve({ ok: false, reason: `"${address}" is not an IP address` });
  const { promise, resolve } = Promise.withResolvers<CheckResult>();
  const started = performance.now();
  const over = new AbortController();
  let waitingFor = 'for the connection';
  let connected = false;

  // Half-open, because an end by the real would otherwise be answered by one from here, after which a reset fails.
  const socket = connect({ host: address, port, allowHalfOpen: true });

  function finish(result: CheckResult): void {
    if (over.signal.aborted) return;
    clearTimeout(timer);
    signal.removeEventListener('abort', abandon);
    // An ordinary close would leave a TIME_WAIT for each check, thousands a second. Before the handshake there is
    // nothing to reset, and resetAndDestroy would wait for it.
    if (connected) socket.resetAndDestroy();
    else socket.destroy();
    over.abort();
    resolve(result);
  }
  function abandon(): void {
    finish({ ok: false, reason: 'abandoned' });
  }
  function expire(): void {
    finish({ ok: false, reason: `timeout after ${timeoutMs} ms waiting ${waitingFor}` });
  }

  // A timer that fires late says that this thread stood still. The real gets that time back, and with it a look at
  // what it has sent meanwhile, since timers run before sockets are read.
  let timer = setTimeout(() => {
    const lateMs = performance.now() - started - timeoutMs;
    timer = setTimeout(expire, Math.max(1, Math.min(lateMs, timeoutMs)));
  }, timeoutMs);

  const self: Probe = {
    socket,
    over: over.signal,
    waitFor: (what) => {
      waitingFor = what;
    },
    pass: () => finish({ ok: true, latencyMs: performance.now() - started }),
    fail: (reason) => finish({ ok: false, reason }),
  };
  socket.once('connect', () => {
    connected = true;
    proceed(self);
  });
  socket.on('error', (error) => {
    if (!connected) finish(connectionFailure(error));
  });
  signal.addEventListener('abort', abandon);
  return promise;
}
