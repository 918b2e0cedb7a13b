import { describe, expect, it } from 'vitest';
import { checkTargets } from '../../src/core/check-targets.ts';
import type { Check } from '../../src/core/model.ts';
import { tcpCheck } from '../support/health.ts';
import { pool, real, snapshot, vip } from '../support/model.ts';

const poolOf = (name: string, checks: readonly Check[], reals = [real('10.0.0.1')]) => pool(name, reals, { checks });
const vipPort: Check = { ...tcpCheck(), port: null };

describe('checkTargets', () => {
  it('resolves the port of the VIP that uses the pool and keeps a port of its own', () => {
    const checks = [vipPort, tcpCheck({ port: 8080 })];
    const targets = checkTargets(
      snapshot([poolOf('web', checks)], [vip('v', { port: 443 }), vip('x', { port: 53, pool: 'dns' })]),
    );
    expect(targets).toEqual([
      { pool: 'web', address: '10.0.0.1', checks: [tcpCheck({ port: 443 }), tcpCheck({ port: 8080 })] },
    ]);
  });

  it('leaves out a pool that no VIP uses when its checks take the VIP’s port', () => {
    const state = snapshot([poolOf('idle', [vipPort]), poolOf('own', [vipPort, tcpCheck({ port: 81 })])], []);
    expect(checkTargets(state)).toEqual([{ pool: 'own', address: '10.0.0.1', checks: [tcpCheck({ port: 81 })] }]);
  });

  it('checks reals in every state and of every weight', () => {
    const reals = [
      real('10.0.0.1'),
      real('10.0.0.2', { state: 'drain' }),
      real('10.0.0.3', { state: 'maintenance' }),
      real('10.0.0.4', { weight: 0 }),
    ];
    const targets = checkTargets(snapshot([poolOf('web', [tcpCheck()], reals)]));
    expect(targets.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']);
  });

  it('names a real once for each pool it is in', () => {
    const state = snapshot([poolOf('a', [tcpCheck()]), poolOf('b', [tcpCheck()])]);
    expect(checkTargets(state).map((target) => target.pool)).toEqual(['a', 'b']);
  });

  it('ignores a VIP on every port when the checks have a port of their own', () => {
    const state = snapshot([poolOf('web', [tcpCheck({ port: 9 })])], [vip('any', { port: 0 })]);
    expect(checkTargets(state)[0]!.checks[0]!.port).toBe(9);
  });

  it('gives a pool that only the clients of a VIP name that VIP’s port', () => {
    const clients = [{ prefix: '198.51.100.0/24', pool: 'near' }];
    const pools = [poolOf('web', [vipPort]), poolOf('near', [vipPort]), poolOf('far', [vipPort])];
    const targets = checkTargets(snapshot(pools, [vip('v', { port: 443, clients })]));
    expect(targets.map(({ pool, checks }) => [pool, checks.map(({ port }) => port)])).toEqual([
      ['web', [443]],
      ['near', [443]],
    ]);
  });

  it('gives such a pool no port of a VIP on every port', () => {
    const clients = [{ prefix: '198.51.100.0/24', pool: 'near' }];
    const targets = checkTargets(snapshot([poolOf('near', [vipPort])], [vip('v', { port: 0, clients })]));
    expect(targets).toEqual([]);
  });
});
