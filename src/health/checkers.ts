import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Checker } from './checker.ts';
import { tcpChecker } from './tcp.ts';

/** Every type of check has its entry; the compiler refuses a missing one. */
const checkers: { readonly [T in ResolvedCheck['type']]: Checker<Extract<ResolvedCheck, { type: T }>> } = {
  tcp: tcpChecker,
};

/** Runs a check of any type once. */
export const runCheck: Checker<ResolvedCheck> = (address, check, signal) =>
  checkers[check.type](address, check, signal);
