import { getSystemErrorMessage } from 'node:util';
import { messageOf } from '../core/errors.ts';
import type { CheckResult } from './checker.ts';

/** Words that operators know from their other tools, where libuv or OpenSSL has its own. */
const familiar: Readonly<Record<string, string>> = {
  EHOSTUNREACH: 'no route to host',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the real does not speak TLS here',
};

/**
 * What fails on this host before anything reaches the real: no descriptor, port or memory left, a local firewall. Not
 * the codes that a message from the network causes too, such as ENETUNREACH and EACCES.
 */
const local: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'EADDRNOTAVAIL',
  'ENOBUFS',
  'ENOMEM',
  'EPERM',
  'EAFNOSUPPORT',
]);

function codeOf(error: unknown): string {
  return (error instanceof Error && (error as NodeJS.ErrnoException).code) || '';
}

/** Why a connection failed, in words: what the system or OpenSSL says without the call, address and port. */
export function connectionReason(error: unknown): string {
  if (!(error instanceof Error)) return messageOf(error);
  const { errno, reason }: NodeJS.ErrnoException & { reason?: string } = error;
  const system = errno === undefined ? error.message : getSystemErrorMessage(errno);
  return familiar[codeOf(error)] ?? reason ?? system;
}

/** The result of a check whose connection failed. */
export function connectionFailure(error: unknown): CheckResult {
  return { ok: local.has(codeOf(error)) ? null : false, reason: connectionReason(error) };
}
