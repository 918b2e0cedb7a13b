import type { Observation, Pool, Real, RealKey, Snapshot, Vip } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';

/** Parsed state as tests write it: only what matters to them. */

export function real(address: string, fields: Partial<Real> = {}): Real {
  return { id: address, address, weight: 100, state: 'active', serverIds: [], ...fields };
}

export function pool(name: string, reals: readonly (string | Real)[], fields: Partial<Pool> = {}): Pool {
  return {
    name,
    encap: 'ipip',
    guePort: 6080,
    gueChecksum: true,
    checks: [],
    minHealthy: 0.5,
    onDown: 'keep',
    removeAfterMs: 300_000,
    reals: reals.map((r) => (typeof r === 'string' ? real(r) : r)),
    ...fields,
  };
}

/** What a VIP does that asks for nothing beyond the plain way. */
export const plainOptions = {
  hash: '5-tuple',
  flowCache: true,
  udpTimeoutMs: 30_000,
  quic: 'off',
  tcpServerId: false,
  udpStableRouting: false,
  icmpEcho: true,
  fragments: 'drop',
  clients: [],
} as const satisfies Partial<Vip>;

export function vip(name: string, fields: Partial<Vip> = {}): Vip {
  return {
    name,
    address: '192.0.2.10',
    port: 80,
    protocol: 'tcp',
    pool: 'web',
    ...plainOptions,
    ...fields,
  };
}

let revision = 0;

export function snapshot(pools: readonly Pool[], vips: readonly Vip[] = []): Snapshot {
  return {
    revision: { generation: 'test', number: ++revision },
    settings: { seed: '70696c6f7466697368', outerSource: { v4: '172.16.0.0/16', v6: '100::/64' } },
    vips: new Map(vips.map((v) => [v.name, v])),
    pools: new Map(pools.map((p) => [p.name, p])),
    rejected: [],
  };
}

export function verdicts(poolName: string, of: Readonly<Record<string, Observation>>): Map<RealKey, Observation> {
  return new Map(Object.entries(of).map(([address, verdict]) => [realKey(poolName, address), verdict]));
}
