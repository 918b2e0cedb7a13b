import { connect, isIP } from 'node:net';
import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Checker, CheckResult } from './checker.ts';
import { connectionReason } from './reasons.ts';

/** Succeeds when the real completes the TCP handshake; sends and reads nothing. */
export const tcpChecker: Checker<Extract<ResolvedCheck, { type: 'tcp' }>> = (address, check, signal) => {
  // A name would be resolved by DNS, on a thread pool and outside the timeout.
  if (isIP(address) === 0) return Promise.resolve({ ok: false, reason: `"${address}" is not an IP address` });
  const { promise, resolve } = Promise.withResolvers<CheckResult>();
  const started = performance.now();
  const socket = connect({ host: address, port: check.port });

  function finish(result: CheckResult): void {
    clearTimeout(timer);
    signal.removeEventListener('abort', abandon);
    // Before the handshake there is nothing to reset, and resetAndDestroy would wait for it.
    socket.destroy();
    resolve(result);
  }
  function abandon(): void {
    finish({ ok: false, reason: 'abandoned' });
  }

  // Timers run before sockets are polled: after a stall of the process an answer may be waiting, and it counts.
  const timer = setTimeout(
    () => setImmediate(finish, { ok: false, reason: `timeout after ${check.timeoutMs} ms` }),
    check.timeoutMs,
  );
  socket.once('connect', () => {
    const latencyMs = performance.now() - started;
    // An ordinary close would leave a TIME_WAIT for each check, thousands a second.
    socket.resetAndDestroy();
    finish({ ok: true, latencyMs });
  });
  socket.on('error', (error) => finish({ ok: false, reason: connectionReason(error) }));
  signal.addEventListener('abort', abandon);
  return promise;
};
