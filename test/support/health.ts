import type { CheckTarget, ResolvedCheck } from '../../src/core/check-targets.ts';

type Resolved<T extends ResolvedCheck['type']> = Extract<ResolvedCheck, { type: T }>;

const timing = {
  port: 80,
  intervalMs: 2_000,
  timeoutMs: 1_000,
  fastIntervalMs: 500,
  downIntervalMs: 2_000,
  rise: 2,
  fall: 3,
} as const;

const request = {
  method: 'GET',
  path: '/',
  host: null,
  headers: [],
  status: [{ from: 200, to: 399 }],
  body: null,
} as const;

export function tcpCheck(changes: Partial<Resolved<'tcp'>> = {}): Resolved<'tcp'> {
  return { type: 'tcp', ...timing, ...changes };
}

export function httpCheck(changes: Partial<Resolved<'http'>> = {}): Resolved<'http'> {
  return { type: 'http', ...timing, ...request, ...changes };
}

export function httpsCheck(changes: Partial<Resolved<'https'>> = {}): Resolved<'https'> {
  return { type: 'https', ...timing, ...request, sni: null, verify: true, ...changes };
}

export function checkTarget(address: string, changes: Partial<Resolved<'tcp'>> = {}, pool = 'web'): CheckTarget {
  return { pool, address, checks: [tcpCheck(changes)] };
}
