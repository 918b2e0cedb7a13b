import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Checker } from './checker.ts';
import { exchange } from './exchange.ts';
import { probe } from './probe.ts';

/** Sends one request over a connection of its own and judges the answer. */
export const httpChecker: Checker<Extract<ResolvedCheck, { type: 'http' }>> = (address, check, signal) =>
  probe(address, check, signal, (connection) => exchange(connection, connection.socket, address, check));
