import { getSystemErrorMessage } from 'node:util';
import { type ErrorCode, PilotfishError } from '../../core/errors.ts';

/** What the addon throws: see ToError in native/binding.cc. */
interface NativeFailure extends Error {
  readonly errno: number;
  /** The errno’s name, ENOTSUPP included. */
  readonly code: string;
  readonly syscall: string;
  readonly subject?: string;
  /** The cause in words, where the errno says too little. */
  readonly note?: string;
  readonly log?: string;
  readonly warnings?: string;
  /** A buffer of the wrong length: which, and the two lengths in bytes. */
  readonly part?: string;
  readonly expected?: number;
  readonly actual?: number;
  readonly done?: number;
}

/** What was being done, for the words of an error. */
export interface Doing {
  readonly code: ErrorCode;
  /** The thing worked on: `map vips`. */
  readonly what: string;
  /** What to do about a particular errno. */
  readonly fixes?: Readonly<Record<string, string>>;
  /** Set where a lack of room means that a map of so many entries is full. */
  readonly maxEntries?: number;
}

/** PF_VERIFIER with all that the verifier said. */
export class VerifierError extends PilotfishError {
  readonly log: string;

  constructor(message: string, log: string, cause: unknown) {
    super('PF_VERIFIER', message, {
      fix: 'Check that the kernel is 6.1 or newer and that the process has CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; the whole log goes into a bug report.',
      cause,
    });
    this.log = log;
  }
}

/** Runs a call of the addon; what it throws becomes a PilotfishError. */
export function attempt<T>(doing: Doing, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw worded(doing, error);
  }
}

/** The same for a call that settles later. */
export async function attemptAsync<T>(doing: Doing, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw worded(doing, error);
  }
}

function worded(doing: Doing, error: unknown): unknown {
  if (!isNativeFailure(error)) return error;
  if (error.part !== undefined) return wrongLength(doing, error);
  if (error.log !== undefined) return verifierRefusal(doing, error, error.log);
  const about = `${doing.what}: ${reason(error)}`;
  const fix = doing.fixes?.[error.code];
  if (fix === undefined && error.code === 'EPERM') {
    return new PilotfishError('PF_CAPABILITY', about, {
      fix: 'Run as root, or give the process CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.',
      cause: error,
    });
  }
  if (doing.maxEntries !== undefined && (error.code === 'E2BIG' || error.code === 'ENOSPC')) {
    return new PilotfishError('PF_MAP_FULL', `${doing.what} has room for ${doing.maxEntries} entries and no more`, {
      fix: 'Raise the limit that sizes this map and restart, or remove entries that are no longer needed.',
      cause: error,
    });
  }
  return new PilotfishError(doing.code, about, {
    ...(fix === undefined ? {} : { fix }),
    retryable: ['EAGAIN', 'EINTR', 'ENOMEM'].includes(error.code),
    cause: error,
  });
}

function isNativeFailure(error: unknown): error is NativeFailure {
  return error instanceof Error && 'errno' in error && 'syscall' in error;
}

function reason(error: NativeFailure): string {
  const words = error.note ?? getSystemErrorMessage(-error.errno) ?? 'refused';
  const after = error.done === undefined ? '' : `, after ${error.done} entries`;
  const said =
    error.warnings === undefined
      ? ''
      : `; libbpf says: ${error.warnings
          .trim()
          .replaceAll(/^libbpf: /gm, '')
          .replaceAll('\n', ' | ')}`;
  return `${words} (${error.syscall}: ${error.code}${after})${said}`;
}

function wrongLength(doing: Doing, error: NativeFailure): PilotfishError {
  const takes = `${doing.what} takes ${error.expected} bytes of ${error.part}, not ${error.actual}`;
  return new PilotfishError(doing.code, takes, {
    fix: 'The BPF object and this build do not belong together: build both anew with npm run build.',
    cause: error,
  });
}

/** Lines that the verifier appends to every log and that tell nothing about a refusal. */
const statistics = /^(processed \d+ insns|verification time|stack depth|max_states)/;

function verifierRefusal(doing: Doing, error: NativeFailure, log: string): VerifierError {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  const telling = lines.findLast((line) => !statistics.test(line)) ?? error.code;
  const program = /prog '([^']+)'/.exec(error.warnings ?? '')?.[1];
  const of = program === undefined ? doing.what : `program ${program} of ${doing.what}`;
  return new VerifierError(
    `the kernel refused ${of}: ${telling.trim()} (${Math.max(lines.length - 1, 0)} lines omitted; ${error.code})`,
    log,
    error,
  );
}
