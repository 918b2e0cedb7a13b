import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Address } from '../core/model.ts';

/** A `reason` is for people: lower case, without address and port, no full stop. */
export type CheckResult =
  | { readonly ok: true; readonly latencyMs: number }
  | { readonly ok: false; readonly reason: string }
  /** This host could not ask, such as when it has no descriptor or port left: that says nothing about the real. */
  | { readonly ok: null; readonly reason: string };

/**
 * One type of check, in a file of its own and entered in checkers.ts. It never rejects: whatever goes wrong is a
 * result. It keeps `timeoutMs` itself, counted from the call. When `signal` fires it lets go of everything at once and
 * resolves with any result: nobody looks at it any more.
 */
export type Checker<C extends ResolvedCheck> = (
  address: Address,
  check: C,
  signal: AbortSignal,
) => Promise<CheckResult>;
