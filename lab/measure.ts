/** What connections say about a change: pure, shared by the demo and the tests. */
import type { Connection } from './drivers/connect.ts';

/**
 * Source port of the first of many connections whose shares are measured. The real of a flow follows from its 5-tuple and
 * the seed, so with ports that stay the same a share is no matter of chance: left to the kernel, one in a hundred
 * samples of 2,000 is more than 3 points off. Below the kernel’s own range.
 */
export const FIRST_PORT = 20_000;

export interface Share {
  readonly real: string;
  /** Percent of the connections that were answered. */
  readonly measured: number;
  /** Percent of the weight. */
  readonly expected: number;
}

/** How the answered connections were spread, beside the weights. */
export function shares(connections: readonly Connection[], weights: Readonly<Record<string, number>>): Share[] {
  const answered = connections.filter((c) => c.real !== undefined);
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  return Object.entries(weights).map(([real, weight]) => ({
    real,
    measured: (100 * answered.filter((c) => c.real === real).length) / Math.max(1, answered.length),
    expected: (100 * weight) / total,
  }));
}

/** The largest distance between a measured and an expected share, in points. */
export function worstShare(of: readonly Share[]): number {
  return of.reduce((worst, { measured, expected }) => Math.max(worst, Math.abs(measured - expected)), 0);
}

/** When the last connection that failed was started, or null. */
export function lastFailure(connections: readonly Connection[]): number | null {
  return connections.findLast((c) => c.error !== undefined)?.start ?? null;
}

/** When the first connection after a moment that a real answered was started, or null. */
export function firstAnswer(connections: readonly Connection[], real: string, after: number): number | null {
  return connections.find((c) => c.real === real && c.start >= after)?.start ?? null;
}

/** When the last connection that a real answered was started, or null. */
export function lastAnswer(connections: readonly Connection[], real: string): number | null {
  return connections.findLast((c) => c.real === real)?.start ?? null;
}

export interface CheckTimes {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly fall: number;
}

/** Share of the interval that a check may be late by jitter. */
const JITTER = 0.1;

/** The promise: a killed real gets no new connection later than this after it died, in milliseconds. */
export function drainDeadline({ intervalMs, timeoutMs, fall }: CheckTimes): number {
  return fall * intervalMs + timeoutMs + JITTER * intervalMs + 1_000;
}
