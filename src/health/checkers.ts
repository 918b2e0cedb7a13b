import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Checker } from './checker.ts';
import { httpChecker } from './http.ts';
import { httpsChecker } from './https.ts';
import { tcpChecker } from './tcp.ts';

type CheckerOf<T extends ResolvedCheck['type']> = Checker<Extract<ResolvedCheck, { type: T }>>;

/** Every type of check has its entry; the compiler refuses a missing one. */
const checkers: { readonly [T in ResolvedCheck['type']]: CheckerOf<T> } = {
  tcp: tcpChecker,
  http: httpChecker,
  https: httpsChecker,
};

/** Runs a check of any type once. */
export const runCheck: Checker<ResolvedCheck> = (address, check, signal) => {
  // The table pairs each type with its checker, which the compiler cannot follow through a lookup.
  const checker = checkers[check.type] as Checker<ResolvedCheck>;
  return checker(address, check, signal);
};
