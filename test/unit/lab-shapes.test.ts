import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { hostsOf, isOnSegment, legsOf, maxLbs, maxReals, rootLeg, topology } from '../../lab/topology.ts';

describe('shapes of the lab', () => {
  const everything = topology(maxLbs, maxReals, { neighbours: 3, egress: true, fabricMtu: 1_500 });
  const legs = hostsOf(everything).flatMap(legsOf);

  it('give every leg devices and addresses of its own, whatever is asked for together', () => {
    expect(legs.length).toBe(1 + 2 * maxLbs + maxReals);
    for (const values of [
      legs.map(({ device }) => device),
      [...legs.map(({ port }) => port), rootLeg.routerDevice],
      [...legs.map(({ address }) => address), rootLeg.address, rootLeg.routerAddress],
      legs.map(({ address6 }) => address6),
    ])
      expect(new Set(values).size).toBe(values.length);
    expect(legs.flatMap(({ device, port }) => [device, port]).filter((name) => name.length > 15)).toEqual([]);
  });

  it('put neighbours, and nobody else, on the segment of the first LB', () => {
    const [lb1] = everything.lbs;
    const segment = new BlockList();
    segment.addSubnet(lb1?.gateway ?? '', 24);
    const there = legs.filter(({ address }) => segment.check(address));
    expect(there.map(({ device }) => device)).toEqual(['eth-lb1', 'eth-r97', 'eth-r98', 'eth-r99']);
    expect(legs.filter(isOnSegment)).toEqual(there);
    expect(new Set(there.map(({ routerDevice }) => routerDevice))).toEqual(new Set(['lb1']));
  });

  it('have no bridge without neighbours', () => {
    expect(hostsOf(topology(2, 3)).flatMap(legsOf).filter(isOnSegment)).toEqual([]);
  });

  it('change the MTU of the fabric and not that of the client', () => {
    expect(new Set([...everything.lbs, ...everything.reals].map(({ mtu }) => mtu))).toEqual(new Set([1_500]));
    expect(topology(1, 1).lbs[0]?.mtu).toBe(1_600);
    expect(topology(1, 1, { fabricMtu: 9_000 }).client.mtu).toBe(1_500);
  });
});
