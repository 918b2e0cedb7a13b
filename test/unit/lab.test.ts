import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { summarise } from '../../lab/client.ts';
import { isLabPinDir, pinDirOf } from '../../lab/paths.ts';
import { hostsOf, isLabNamespace, maxLbs, maxReals, rootLeg, routerNamespace, topology } from '../../lab/topology.ts';

describe('the lab’s topology', () => {
  const largest = topology(maxLbs, maxReals);
  const hosts = hostsOf(largest);
  const unique = (values: string[]) => new Set(values).size === values.length;

  it('gives every host an address, a gateway, a device and a namespace of its own', () => {
    expect(hosts.length).toBe(1 + maxLbs + maxReals);
    const addresses = hosts.flatMap((host) => [host.address, host.gateway]);
    expect(unique([...addresses, rootLeg.address, rootLeg.routerAddress])).toBe(true);
    expect(unique(hosts.map((host) => host.namespace))).toBe(true);
    expect(unique([...hosts.map((host) => host.device), rootLeg.device])).toBe(true);
    expect(unique([...hosts.map((host) => host.routerDevice), rootLeg.routerDevice])).toBe(true);
  });

  it('puts host and gateway on one leg, and no other host on it', () => {
    for (const host of hosts) {
      const leg = new BlockList();
      leg.addSubnet(host.gateway, host.prefixLength);
      expect(hosts.filter((other) => leg.check(other.address)).map((other) => other.name)).toEqual([host.name]);
      expect(leg.check(rootLeg.address)).toBe(false);
    }
  });

  it('keeps device names within the 15 bytes that the kernel allows', () => {
    for (const { device, routerDevice } of hosts) {
      expect(Math.max(device.length, routerDevice.length)).toBeLessThanOrEqual(15);
    }
  });

  it('knows its own namespaces and pins from others', () => {
    expect([routerNamespace, ...hosts.map((host) => host.namespace)].every(isLabNamespace)).toBe(true);
    expect(['pf-test', 'pf-router2', 'my-pf-r1', 'pf-lb', 'r1'].filter(isLabNamespace)).toEqual([]);
    expect(isLabPinDir('pilotfish-lb12')).toBe(true);
    expect(pinDirOf('lb1')).toBe('/sys/fs/bpf/pilotfish-lb1');
    expect(['pilotfish', 'pilotfish-test', 'pilotfish-lbx'].filter(isLabPinDir)).toEqual([]);
  });
});

describe('the summary of connections', () => {
  it('counts by real and by reason, with latencies of those that were answered', () => {
    const answered = Array.from({ length: 100 }, (_, i) => ({ start: i, ms: 100 - i, real: i < 60 ? 'r1' : 'r2' }));
    const failed = [{ start: 200, ms: 2_000, error: 'TIMEOUT' }];
    expect(summarise([...answered, ...failed])).toEqual({
      total: 101,
      perReal: { r1: 60, r2: 40 },
      failures: { TIMEOUT: 1 },
      failed: 1,
      latencyMs: { p50: 51, p99: 100, max: 100 },
    });
  });

  it('is zero where there is none', () => {
    expect(summarise([])).toEqual({
      total: 0,
      perReal: {},
      failures: {},
      failed: 0,
      latencyMs: { p50: 0, p99: 0, max: 0 },
    });
  });
});
