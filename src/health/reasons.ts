import { getSystemErrorMessage } from 'node:util';
import { messageOf } from '../core/errors.ts';

/** Words that operators know from their other tools, where libuv has its own. */
const familiar: Readonly<Record<string, string>> = {
  EHOSTUNREACH: 'no route to host',
};

/** Why a connection failed, in words: what the system says without the call, address and port that Node adds. */
export function connectionReason(error: unknown): string {
  if (!(error instanceof Error)) return messageOf(error);
  const { code, errno }: NodeJS.ErrnoException = error;
  const known = code === undefined ? undefined : familiar[code];
  return known ?? (errno === undefined ? error.message : getSystemErrorMessage(errno));
}
