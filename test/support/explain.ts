import type { RealObservation } from '../../src/core/health-state.ts';
import type { Observation, RealKey } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';

/** What tests of explanations share: a state, verdicts on its reals, and a flow whose hash is published. */

/** The first published vector of the flow hash: docs/reference/flow-hash.md. */
export const flow = 'tcp 198.51.100.7:40000 > 192.0.2.10:443';
/** The default one. */
export const seed = '70696c6f7466697368';
export const [hash, slot] = ['310cd5040beb3e08', 12_557] as const;

export const [A, B, C, D] = ['10.0.0.11', '10.0.0.12', '10.0.0.13', '10.0.0.14'] as const;
export const state = {
  vips: {
    'web-443': { address: '192.0.2.10', port: 443, protocol: 'tcp', pool: 'web' },
    'web-8443': { address: '192.0.2.10', port: 8443, protocol: 'tcp', pool: 'web' },
    all: { address: '192.0.2.11', port: 0, protocol: 'tcp', pool: 'web' },
    'all-22': { address: '192.0.2.11', port: 22, protocol: 'tcp', pool: 'idle' },
    dns: { address: '192.0.2.12', port: 53, protocol: 'udp', pool: 'web' },
  },
  pools: {
    web: {
      checks: [{ type: 'tcp', port: 80 }],
      reals: { r1: { address: A }, r2: { address: B, weight: 0 }, r3: { address: C, state: 'drain' } },
    },
    idle: {},
  },
};
export const since = Date.UTC(2026, 0, 2, 3, 4, 5);

export function observations(of: Readonly<Record<string, Observation>>): Map<RealKey, RealObservation> {
  return new Map(
    Object.entries(of).map(([address, observation]) => {
      const reason = { up: 'answers', down: 'connection refused', unknown: 'not yet judged' }[observation];
      return [realKey('web', address), { pool: 'web', address, observation, reason, since }] as const;
    }),
  );
}

export const allUp = { [A]: 'up', [B]: 'up', [C]: 'up', [D]: 'up' } as const;
/** Of maps in memory: one bucket of 8 entries for their one CPU. */
export const flowCache = { flowsPerCpu: 8, tickMs: 2_000, tick: () => 100 };

/** An entry of the flow cache that remembers the flow at a real, as bpf/layout.h has it. */
export function entryOf(real: number, generation = 0, ofHash = BigInt(`0x${hash}`), tick = 100): bigint {
  return (ofHash & 0x7fff_ffffn) | (BigInt(tick) << 31n) | (BigInt(real) << 41n) | (BigInt(generation) << 57n);
}
