import { CommanderError } from 'commander';
import { type ErrorCode, messageOf, PilotfishError } from '../core/errors.ts';

export const exitCodes = { done: 0, failed: 1, usage: 2 } as const;

const usageErrors: readonly ErrorCode[] = ['PF_USAGE', 'PF_CONFIG', 'PF_STATE', 'PF_PCAP'];

/** The words of the command line’s library in the form of ours. */
function usageError(error: CommanderError): PilotfishError {
  const [message = '', hint] = error.message.replace(/^error: /, '').split('\n');
  return new PilotfishError('PF_USAGE', message, {
    fix: hint?.replace(/^\(Did you mean (.*)\?\)$/, 'did you mean "$1"?') ?? 'see --help of the command',
    cause: error,
  });
}

function describe(error: unknown): string {
  if (error instanceof PilotfishError) return error.describe();
  return `unexpected error: ${messageOf(error)}\n  fix: run it again with PILOTFISH_DEBUG=1 and report what it prints`;
}

/** Prints what was thrown for a person, and returns the exit code. */
export function reportError(thrown: unknown): number {
  if (thrown instanceof CommanderError && /^commander\.(help|version)/.test(thrown.code))
    return thrown.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  const error = thrown instanceof CommanderError ? usageError(thrown) : thrown;
  if (process.env.PILOTFISH_DEBUG === '1') console.error(error);
  else console.error(describe(error));
  return error instanceof PilotfishError && usageErrors.includes(error.code) ? exitCodes.usage : exitCodes.failed;
}
