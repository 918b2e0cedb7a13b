import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Checker } from './checker.ts';
import { probe } from './probe.ts';

/** Succeeds when the real completes the TCP handshake; sends and reads nothing. */
export const tcpChecker: Checker<Extract<ResolvedCheck, { type: 'tcp' }>> = (address, check, signal) =>
  probe(address, check, signal, (connection) => connection.pass());
