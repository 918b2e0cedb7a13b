import { messageOf, PilotfishError } from '../core/errors.ts';

/** What went wrong with a request to etcd, as far as the caller or the reader can act on it. */
export type StoreFailure =
  | 'refused'
  | 'unreachable'
  | 'timeout'
  | 'tls'
  | 'auth'
  | 'token'
  | 'forbidden'
  | 'no-leader'
  | 'lease-lost'
  | 'compacted'
  | 'conflict'
  | 'too-large'
  | 'closed'
  | 'other';

/** `PF_STORE` with the endpoint that failed and a reason that a program can tell apart. */
export class StoreError extends PilotfishError {
  readonly kind: StoreFailure;
  readonly endpoint: string;
  /** The message without the endpoint in front. */
  readonly reason: string;

  constructor(kind: StoreFailure, endpoint: string, reason: string, cause?: unknown) {
    super('PF_STORE', `etcd at ${endpoint}: ${reason}`, {
      fix: fixes[kind],
      retryable: kind !== 'tls' && kind !== 'auth' && kind !== 'forbidden',
      cause,
    });
    this.kind = kind;
    this.endpoint = endpoint;
    this.reason = reason;
  }
}

const fixes: Record<StoreFailure, string> = {
  refused: 'Start etcd there, or correct the endpoint (host and client port, usually 2379).',
  unreachable:
    'Check host name, route and firewalls, and the scheme of the endpoint: https where the store speaks TLS, else http.',
  timeout: 'Check that the member is healthy (etcdctl endpoint health) and that the network to it is not blocked.',
  tls: 'Check the scheme of the endpoint (https or http), the CA, and the client certificate and key.',
  auth: 'Check user name and password, or give them if this store asks for them.',
  token: 'The login expired; the next request logs in again.',
  forbidden: 'Grant the user a role with the needed rights on the prefix (etcdctl role grant-permission --prefix).',
  'no-leader': 'Wait until the cluster has a quorum again, or start its missing members.',
  'lease-lost':
    'The next lease is granted by itself; check the clock and the load of the etcd members if this repeats.',
  compacted: 'The state is listed anew; nothing has to be done.',
  conflict: 'Read the newest state and run the command again.',
  'too-large': 'Keep each value below the store’s limit (--max-request-bytes, 1.5 MiB by default).',
  closed: 'The request was given up because the program ends.',
  other: 'Look into the log of the etcd member.',
};

/**
 * etcd and gRPC tell errors apart by text only, and the client library keeps just that; the first match wins, so
 * the words of etcd come before those of the transport.
 */
const patterns: readonly (readonly [RegExp, StoreFailure, string])[] = [
  [/requested lease not found/, 'lease-lost', 'the lease has expired or was revoked'],
  [/required revision has been compacted/, 'compacted', 'the history was compacted meanwhile'],
  [/request is too large|larger than max/, 'too-large', 'a value is larger than the store takes'],
  [/permission denied/i, 'forbidden', 'the user may not use these keys'],
  [/authentication failed, invalid user ID or password/, 'auth', 'user name or password is wrong'],
  [/user name is empty/, 'auth', 'the store asks for a user name and a password'],
  [/stale authentication token|invalid auth token|auth store is old/i, 'token', 'the login is no longer valid'],
  [/etcdserver: no leader/, 'no-leader', 'the cluster has no leader'],
  [/etcdserver: request timed out/, 'no-leader', 'the cluster did not agree in time; it may lack a quorum'],
  [
    /certificate|altnames|wrong version number|SSL routines|EPROTO|ERR_SSL|before secure TLS connection/i,
    'tls',
    'TLS failed',
  ],
  [/ECONNREFUSED/, 'refused', 'connection refused'],
  [/ENOTFOUND|EAI_AGAIN|Name resolution/, 'unreachable', 'the host name does not resolve'],
  [/EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/, 'unreachable', 'no route to the host'],
  [/DEADLINE_EXCEEDED|Deadline exceeded|GRPCDeadlineExceeded/i, 'timeout', 'no answer in time'],
  [/CANCELLED/, 'closed', 'the request was cancelled'],
  [/UNAVAILABLE|ECONNRESET|Connection dropped|socket hang up/, 'unreachable', 'the connection was lost'],
];

const detailed = new Set<StoreFailure>(['tls']);

/** Words what a call to `endpoint` threw; an error that is worded already passes through. */
export function storeError(error: unknown, endpoint: string): StoreError {
  if (error instanceof StoreError) {
    return error;
  }
  const text = messageOf(error);
  for (const [pattern, kind, reason] of patterns) {
    if (pattern.test(text)) {
      return new StoreError(kind, endpoint, detailed.has(kind) ? `${reason}: ${lastError(text)}` : reason, error);
    }
  }
  return new StoreError('other', endpoint, text, error);
}

/** gRPC wraps the transport's own words: "14 UNAVAILABLE: No connection established. Last error: Error: ...". */
function lastError(text: string): string {
  return text.replace(/^.*Last error: (Error: )?/s, '').replace(/\s*\(\d{4}-\d\d-\d\dT.*$/s, '');
}
