import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NamespacedHostLink } from '../support/host-link.ts';
import { until } from '../support/until.ts';

/** An LB with a leg to a segment (a bridge, whose own address is the gateway), a real on it, and a second leg. */
const lb = `pfn-lb-${process.pid}`;
const segment = `pfn-seg-${process.pid}`;
const real = `pfn-real-${process.pid}`;
const gateway = '10.97.0.1';

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const macOf = (namespace: string, name: string): string =>
  JSON.parse(ip('-n', namespace, '-j', 'link', 'show', name))[0].address;
/** One datagram, so that whoever it goes to learns the sender’s MAC address. */
const greet = (namespace: string, address: string): unknown =>
  execFileSync('nsenter', [`--net=/run/netns/${namespace}`, 'bash', '-c', `echo > /dev/udp/${address}/9`]);

function addLeg(namespace: string, name: string, port: string): void {
  ip('link', 'add', name, 'netns', namespace, 'type', 'veth', 'peer', 'name', port, 'netns', segment);
  ip('-n', namespace, 'link', 'set', name, 'up');
  ip('-n', segment, 'link', 'set', port, 'up');
}

beforeAll(() => {
  for (const name of [lb, segment, real]) {
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  addLeg(lb, 'eth0', 'lb0');
  addLeg(lb, 'eth1', 'lb1');
  addLeg(real, 'eth0', 'real0');
  ip('-n', segment, 'link', 'add', 'br0', 'type', 'bridge');
  for (const port of ['lb0', 'real0']) ip('-n', segment, 'link', 'set', port, 'master', 'br0');
  ip('-n', segment, 'link', 'set', 'br0', 'up');
  ip('-n', segment, 'addr', 'add', `${gateway}/24`, 'dev', 'br0');
  ip('-n', segment, 'addr', 'add', '10.98.0.1/24', 'dev', 'lb1');
  ip('-n', segment, 'addr', 'add', 'fd97::1/64', 'dev', 'br0', 'nodad');
  ip('-n', lb, 'addr', 'add', '10.97.0.2/24', 'dev', 'eth0');
  ip('-n', lb, 'addr', 'add', 'fd97::2/64', 'dev', 'eth0', 'nodad');
  ip('-n', lb, 'addr', 'add', '10.98.0.2/24', 'dev', 'eth1');
  ip('-n', lb, 'route', 'add', 'default', 'via', gateway);
  ip('-n', real, 'addr', 'add', '10.97.0.11/24', 'dev', 'eth0');
  ip('-n', real, 'addr', 'add', 'fd97::11/64', 'dev', 'eth0', 'nodad');
});

afterAll(() => {
  for (const name of [lb, segment, real]) ip('netns', 'del', name);
});

/** Addresses of the LB that IPv6 has not found free, or found to be somebody else’s. */
function unsettled(flag: 'tentative' | 'dadfailed'): string[] {
  const links = JSON.parse(ip('-n', lb, '-j', 'addr', 'show')) as { addr_info: Record<string, unknown>[] }[];
  return links.flatMap((link) => link.addr_info.filter((row) => row[flag] === true).map((row) => String(row.local)));
}

const about = (link: NamespacedHostLink, address: string): unknown[] =>
  link.logs.filter((line) => line.address === address).map((line) => line.msg);

describe('the image of the host', () => {
  it('has interface, gateway and tunnels from the start, and follows MTU and MAC addresses', async () => {
    const tunnels = [{ address: '192.0.2.1', guePort: 6_080 }];
    await using link = await NamespacedHostLink.open(lb, { tunnels });
    expect(link.opened).toEqual({ gateway, egressIndex: 0 });
    expect(link.image).toMatchObject({
      mtu: 1_500,
      gatewayMac: macOf(segment, 'br0'),
      ownMac: macOf(lb, 'eth0'),
      neighbours: {},
      tunnels,
    });

    ip('-n', lb, 'link', 'set', 'eth0', 'mtu', '1400');
    await until('the MTU is seen', 5_000, () => link.image.mtu === 1_400);
    ip('-n', segment, 'link', 'set', 'br0', 'address', '02:00:00:00:97:01');
    greet(segment, '10.97.0.2');
    await until('the gateway’s MAC address is seen', 5_000, () => link.image.gatewayMac === '02:00:00:00:97:01');
    ip('-n', lb, 'link', 'set', 'eth0', 'address', '02:00:00:00:97:02');
    await until('the own MAC address is seen', 5_000, () => link.image.ownMac === '02:00:00:00:97:02');
    ip('-n', lb, 'link', 'set', 'eth0', 'mtu', '1500');
    expect(await link.problems()).toEqual([]);
  });

  it('has every address of the host, wherever it is, and follows them', async () => {
    await using link = await NamespacedHostLink.open(lb);
    expect(link.image.local).toEqual(expect.arrayContaining(['10.97.0.2', '10.98.0.2', '127.0.0.1', '::1', 'fd97::2']));
    ip('-n', lb, 'addr', 'add', '192.0.2.77/32', 'dev', 'lo');
    await until('an address is seen that was added', 5_000, () => link.image.local.includes('192.0.2.77'));
    ip('-n', lb, 'addr', 'add', '2001:db8:0::77/128', 'dev', 'lo');
    await until('one of IPv6 too', 5_000, () => link.image.local.includes('2001:db8::77'));
    ip('-n', lb, 'addr', 'del', '192.0.2.77/32', 'dev', 'lo');
    await until('an address is seen to be gone', 5_000, () => !link.image.local.includes('192.0.2.77'));
  });

  it('has as its own the addresses of its interface, of what stands on it, and its gateway', async () => {
    ip('-n', lb, 'link', 'add', 'link', 'eth0', 'name', 'eth0.9', 'type', 'macvlan');
    ip('-n', lb, 'addr', 'add', '10.97.9.2/24', 'dev', 'eth0.9');
    ip('-n', lb, 'addr', 'add', '192.0.2.76/32', 'dev', 'lo');
    try {
      await using link = await NamespacedHostLink.open(lb);
      expect(link.image.own).toEqual(expect.arrayContaining([gateway, '10.97.0.2', 'fd97::2', '10.97.9.2']));
      for (const other of ['127.0.0.1', '192.0.2.76', '10.98.0.2']) expect(link.image.own).not.toContain(other);
      ip('-n', lb, 'addr', 'add', '10.97.0.3/24', 'dev', 'eth0');
      await until('an address is seen that was added', 5_000, () => link.image.own.includes('10.97.0.3'));
      ip('-n', lb, 'addr', 'del', '10.97.0.3/24', 'dev', 'eth0');
      await using both = await NamespacedHostLink.open(lb, { egress: 'eth1', gateway: '10.98.0.1' });
      expect(both.image.own).toEqual(expect.arrayContaining(['10.97.0.2', '10.98.0.2', '10.98.0.1']));
    } finally {
      ip('-n', lb, 'link', 'del', 'eth0.9');
      ip('-n', lb, 'addr', 'del', '192.0.2.76/32', 'dev', 'lo');
    }
  });

  it('has no address that somebody else has', async () => {
    await using link = await NamespacedHostLink.open(lb);
    // That of the gateway.
    ip('-n', lb, 'addr', 'add', 'fd97::1/64', 'dev', 'eth0');
    await until('it is found to be taken', 10_000, () => unsettled('dadfailed').includes('fd97::1'));
    ip('-n', lb, 'addr', 'add', '192.0.2.79/32', 'dev', 'lo');
    await until('the host is looked at again', 5_000, () => link.image.local.includes('192.0.2.79'));
    expect(link.images.filter(({ local }) => local.includes('fd97::1'))).toEqual([]);
    ip('-n', lb, 'addr', 'del', 'fd97::1/64', 'dev', 'eth0');
  });

  it('is that of the interface on top, such as a VLAN, where the gateway is behind one', async () => {
    addLeg(lb, 'eth2', 'lb2');
    ip('-n', segment, 'addr', 'add', '10.99.7.1/24', 'dev', 'lb2');
    // A macvlan stands for the VLAN, which not every kernel has; `ip` tells of both alike.
    ip('-n', lb, 'link', 'add', 'link', 'eth2', 'name', 'eth2.7', 'mtu', '1480', 'type', 'macvlan');
    ip('-n', lb, 'addr', 'add', '10.99.7.2/24', 'dev', 'eth2.7');
    ip('-n', lb, 'link', 'set', 'eth2.7', 'up');
    const expected = { mtu: 1_480, gatewayMac: macOf(segment, 'lb2'), ownMac: macOf(lb, 'eth2.7') };
    await using given = await NamespacedHostLink.open(lb, { interface: 'eth2', gateway: '10.99.7.1' });
    expect(given.image).toMatchObject(expected);
    ip('-n', lb, 'route', 'add', 'default', 'via', '10.99.7.1', 'metric', '700');
    await using routed = await NamespacedHostLink.open(lb, { interface: 'eth2' });
    expect(routed.opened).toEqual({ gateway: '10.99.7.1', egressIndex: 0 });
    expect(routed.image).toMatchObject(expected);
  });

  it('is told only when it is another one', async () => {
    await until('IPv6 has found its addresses free', 10_000, () => unsettled('tentative').length === 0);
    await using link = await NamespacedHostLink.open(lb);
    const before = link.images.length;
    // The first changes nothing that matters, the second does.
    ip('-n', lb, 'neigh', 'replace', '10.97.0.200', 'lladdr', '02:00:00:00:97:c8', 'dev', 'eth0');
    ip('-n', lb, 'addr', 'add', '192.0.2.78/32', 'dev', 'lo');
    await until('the address is seen', 5_000, () => link.image.local.includes('192.0.2.78'));
    expect(link.images).toHaveLength(before + 1);
  });
});

describe('reals with encap l2', () => {
  it('are resolved, IPv4 and IPv6, and forgotten when nobody wants them', async () => {
    await using link = await NamespacedHostLink.open(lb);
    const mac = macOf(real, 'eth0');
    link.want('10.97.0.11', 'fd97::11');
    await until('both are known', 5_000, () => Object.keys(link.image.neighbours).length === 2);
    expect(link.image.neighbours).toEqual({ '10.97.0.11': mac, 'fd97::11': mac });
    expect(await link.problems()).toEqual([]);
    link.want('fd97::11');
    await until('one is forgotten', 5_000, () => Object.keys(link.image.neighbours).length === 1);
    expect(link.image.neighbours).toEqual({ 'fd97::11': mac });
  });

  it('are followed when their MAC address changes', async () => {
    await using link = await NamespacedHostLink.open(lb);
    link.want('10.97.0.11');
    await until('it is known', 5_000, () => link.image.neighbours['10.97.0.11'] === macOf(real, 'eth0'));
    ip('-n', real, 'link', 'set', 'eth0', 'address', '02:00:00:00:97:11');
    greet(real, '10.97.0.2');
    await until('the new one is known', 15_000, () => link.image.neighbours['10.97.0.11'] === '02:00:00:00:97:11');
  });

  it('keep the last MAC address while they are silent, which is said once', async () => {
    await using link = await NamespacedHostLink.open(lb);
    link.want('10.97.0.11', '10.97.0.12');
    const mac = macOf(real, 'eth0');
    await until('one is known', 5_000, () => link.image.neighbours['10.97.0.11'] === mac);
    await until('the other one is silent', 15_000, () => about(link, '10.97.0.12').length > 0);
    expect(await link.problems()).toEqual(['reals with encap l2 that have no MAC address on eth0: 10.97.0.12']);

    ip('-n', real, 'link', 'set', 'eth0', 'down');
    // The kernel would believe the real for half a minute more.
    ip('-n', lb, 'neigh', 'flush', 'to', '10.97.0.11', 'dev', 'eth0');
    await until('the first is silent too', 30_000, () => about(link, '10.97.0.11').length > 0);
    expect(link.image.neighbours).toEqual({ '10.97.0.11': mac });
    for (const address of ['10.97.0.11', '10.97.0.12'])
      expect(about(link, address)).toEqual([
        'a real with encap l2 does not answer; its last MAC address stays, if there is one',
      ]);

    ip('-n', real, 'link', 'set', 'eth0', 'up');
    ip('-n', real, 'addr', 'add', '10.97.0.12/24', 'dev', 'eth0');
    await until('both answer', 30_000, () =>
      ['10.97.0.11', '10.97.0.12'].every((real) => about(link, real).length > 1),
    );
    // What is logged comes before the image that it is about.
    await until('both are known', 5_000, () => '10.97.0.12' in link.image.neighbours);
    expect(link.image.neighbours).toEqual({ '10.97.0.11': mac, '10.97.0.12': mac });
    expect(await link.problems()).toEqual([]);
  });

  it('that are behind a router, or nowhere, are named once, and none of it stops the others', async () => {
    await using link = await NamespacedHostLink.open(lb);
    link.want('10.97.0.11', '203.0.113.9', '2001:db8:ffff::9', '10.98.0.1', '10.97.0.2');
    await until('the one on the segment is known', 5_000, () => '10.97.0.11' in link.image.neighbours);
    for (const address of ['203.0.113.9', '2001:db8:ffff::9', '10.98.0.1'])
      expect(about(link, address)).toEqual([
        'a real with encap l2 is not on the segment of the interface; use ipip or gue for its pool',
      ]);
    // This host itself needs none.
    expect(about(link, '10.97.0.2')).toEqual([]);
    expect(await link.problems()).toEqual([
      'reals with encap l2 that have no MAC address on eth0: 10.98.0.1, 2001:db8:ffff::9, 203.0.113.9',
    ]);
  });

  it('are asked some at a time, and all in the end', async () => {
    const many = Array.from({ length: 150 }, (_, i) => `10.97.0.${100 + i}`);
    for (const address of many) ip('-n', real, 'addr', 'add', `${address}/32`, 'dev', 'eth0');
    await using link = await NamespacedHostLink.open(lb);
    link.want(...many);
    await until('all are known', 10_000, () => Object.keys(link.image.neighbours).length === many.length);
    expect(link.logs).toEqual([]);
  });
});

describe('an egress interface', () => {
  it('gives its own gateway, MTU and MAC address', async () => {
    ip('-n', lb, 'link', 'set', 'eth1', 'mtu', '1600');
    await using link = await NamespacedHostLink.open(lb, { egress: 'eth1', gateway: '10.98.0.1' });
    const [row] = JSON.parse(ip('-n', lb, '-j', 'link', 'show', 'eth1'));
    expect(link.opened).toEqual({ gateway: '10.98.0.1', egressIndex: row.ifindex });
    expect(link.image).toMatchObject({ mtu: 1_600, ownMac: row.address, gatewayMac: macOf(segment, 'lb1') });
    expect(link.logs).toEqual([]);
    ip('-n', lb, 'link', 'set', 'eth1', 'mtu', '1700');
    await until('its MTU is seen', 5_000, () => link.image.mtu === 1_700);
    // That of the other one is no matter.
    ip('-n', lb, 'link', 'set', 'eth0', 'mtu', '1450');
    ip('-n', lb, 'link', 'set', 'eth1', 'mtu', '1800');
    await until('it is seen again', 5_000, () => link.image.mtu === 1_800);
    expect(link.images.map(({ mtu }) => mtu)).not.toContain(1_450);
    ip('-n', lb, 'link', 'set', 'eth0', 'mtu', '1500');
  });

  it('takes the default gateway that is routed over it', async () => {
    ip('-n', lb, 'route', 'add', 'default', 'via', '10.98.0.1', 'metric', '500');
    await using link = await NamespacedHostLink.open(lb, { egress: 'eth1' });
    expect(link.opened.gateway).toBe('10.98.0.1');
    expect(link.image.gatewayMac).toBe(macOf(segment, 'lb1'));
  });

  it('is refused when it is not there', async () => {
    const opened = NamespacedHostLink.open(lb, { egress: 'eth7', gateway: '10.98.0.1' });
    await expect(opened).rejects.toThrow('there is no interface eth7');
  });

  it('that was made anew is an alarm: the program still sends to the old one', async () => {
    await using link = await NamespacedHostLink.open(lb, { egress: 'eth1', gateway: '10.98.0.1' });
    ip('-n', lb, 'link', 'del', 'eth1');
    await until('it is missed', 5_000, () => link.logs.length > 0);
    expect((await link.problems()).join()).toContain('there is no interface eth1');
    addLeg(lb, 'eth1', 'lb1');
    await until('it is seen', 5_000, () => link.logs.length > 1);
    expect((await link.problems()).join()).toContain(
      'interface eth1 was made anew, without the program: restart the agent',
    );
  });
});
