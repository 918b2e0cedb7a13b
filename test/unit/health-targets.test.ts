import { describe, expect, it } from 'vitest';
import { checkTargets } from '../../src/core/check-targets.ts';
import type { Check, Pool, Real, Snapshot, Vip } from '../../src/core/model.ts';
import { tcpCheck } from '../support/health.ts';

function pool(name: string, checks: readonly Check[], reals: readonly Partial<Real>[]): Pool {
  return {
    name,
    encap: 'ipip',
    checks,
    minHealthy: 0.5,
    onDown: 'keep',
    removeAfterMs: 0,
    reals: reals.map((real, n) => ({ id: `r${n}`, address: `10.0.0.${n + 1}`, weight: 100, state: 'active', ...real })),
  };
}

function vip(name: string, port: number, poolName: string): Vip {
  return { name, address: '192.0.2.10', port, protocol: 'tcp', pool: poolName };
}

function snapshot(pools: readonly Pool[], vips: readonly Vip[]): Snapshot {
  return {
    revision: { generation: 'g', number: 1 },
    settings: { seed: '00', outerSource: { v4: '172.16.0.0/16', v6: '100::/64' } },
    vips: new Map(vips.map((one) => [one.name, one])),
    pools: new Map(pools.map((one) => [one.name, one])),
    rejected: [],
  };
}

const vipPort: Check = { ...tcpCheck(), port: null };

describe('checkTargets', () => {
  it('resolves the port of the VIP that uses the pool and keeps a port of its own', () => {
    const checks = [vipPort, tcpCheck({ port: 8080 })];
    const targets = checkTargets(snapshot([pool('web', checks, [{}])], [vip('v', 443, 'web'), vip('x', 53, 'dns')]));
    expect(targets).toEqual([
      { pool: 'web', address: '10.0.0.1', checks: [tcpCheck({ port: 443 }), tcpCheck({ port: 8080 })] },
    ]);
  });

  it('leaves out a pool that no VIP uses when its checks take the VIP’s port', () => {
    const state = snapshot([pool('idle', [vipPort], [{}]), pool('own', [vipPort, tcpCheck({ port: 81 })], [{}])], []);
    expect(checkTargets(state)).toEqual([{ pool: 'own', address: '10.0.0.1', checks: [tcpCheck({ port: 81 })] }]);
  });

  it('checks reals in every state and of every weight', () => {
    const reals: Partial<Real>[] = [{}, { state: 'drain' }, { state: 'maintenance' }, { weight: 0 }];
    const targets = checkTargets(snapshot([pool('web', [tcpCheck()], reals)], []));
    expect(targets.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']);
  });

  it('names a real once for each pool it is in', () => {
    const state = snapshot([pool('a', [tcpCheck()], [{}]), pool('b', [tcpCheck()], [{}])], []);
    expect(checkTargets(state).map((target) => target.pool)).toEqual(['a', 'b']);
  });

  it('ignores a VIP on every port when the checks have a port of their own', () => {
    const state = snapshot([pool('web', [tcpCheck({ port: 9 })], [{}])], [vip('any', 0, 'web')]);
    expect(checkTargets(state)[0]!.checks[0]!.port).toBe(9);
  });
});
