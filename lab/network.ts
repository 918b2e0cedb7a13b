/** Makes the namespaces, legs, addresses, routes and kernel settings of a topology. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { PilotfishError } from '../src/core/errors.ts';
import { ipBatch, run, runIn, tryRun } from './netns.ts';
import { bpfObject, labPinDir } from './paths.ts';
import {
  fabricPrefix,
  type Host,
  hostsOf,
  isOnSegment,
  type Leg,
  legsOf,
  rootLeg,
  routerNamespace,
  type Topology,
  vipPrefix,
  vipPrefix6,
} from './topology.ts';

/**
 * ECMP by the 5-tuple: addresses, protocol and ports (FIB_MULTIPATH_HASH_FIELD_* of the kernel). Policy 1 says the same,
 * but takes the hash that the client’s socket left on the packet, which veth carries over: that one differs from
 * connection to connection of one 5-tuple, and from one retransmission to the next.
 */
const hashedFields = 0x01 | 0x02 | 0x04 | 0x10 | 0x20;

/** Everything but the programs; namespaces of the same names must not exist. */
async function createLegs(topology: Topology): Promise<void> {
  const hosts = hostsOf(topology);
  const { device, routerDevice, address, routerAddress, prefixLength } = rootLeg;
  await ipBatch([
    ...[routerNamespace, ...hosts.map((host) => host.namespace)].map((namespace) => `netns add ${namespace}`),
    ...hosts.flatMap((host) =>
      legsOf(host).map(
        (leg) =>
          `link add name ${leg.port} netns ${routerNamespace} mtu ${leg.mtu} type veth ` +
          `peer name ${leg.device} netns ${host.namespace} mtu ${leg.mtu}`,
      ),
    ),
    `link add name ${device} type veth peer name ${routerDevice} netns ${routerNamespace}`,
    `address add ${address}/${prefixLength} dev ${device}`,
    `link set ${device} up`,
    `route add ${fabricPrefix} via ${routerAddress}`,
  ]);
}

/** `settings` are names below net; `perDevice`, below net.ipv4, are set for "all" and for each device, as the larger one counts. */
function sysctl(
  namespace: string,
  devices: readonly string[],
  perDevice: readonly string[],
  settings: readonly string[] = [],
): Promise<string> {
  const conf = ['all', ...devices].flatMap((device) => perDevice.map((item) => `net.ipv4.conf.${device}.${item}`));
  return runIn(namespace, 'sysctl', ['-qw', ...conf, ...settings.map((item) => `net.${item}`)]);
}

/** The legs that the router has an address on, each of its devices once. */
function routerLegs(topology: Topology): Leg[] {
  const legs = hostsOf(topology).flatMap(legsOf);
  return [...new Map(legs.toReversed().map((leg) => [leg.routerDevice, leg])).values()];
}

/** What the LBs send by XDP arrives at these veths of the router, and what the router sends them leaves there. */
function lbPorts(topology: Topology): string[] {
  return topology.lbs.flatMap(legsOf).map((leg) => leg.port);
}

/** The ports of a segment are in one bridge. */
function segment(topology: Topology): string[] {
  const legs = hostsOf(topology).filter(isOnSegment);
  return [
    ...new Set(legs.map(({ routerDevice, mtu }) => `link add name ${routerDevice} mtu ${mtu} type bridge`)),
    ...legs.flatMap(({ port, routerDevice }) => [`link set ${port} master ${routerDevice}`, `link set ${port} up`]),
  ];
}

async function configureRouter(topology: Topology, routed: boolean): Promise<void> {
  const legs = routerLegs(topology);
  const devices = [...legs.map((leg) => leg.routerDevice), rootLeg.routerDevice];
  const nexthops = topology.lbs.map((lb) => `nexthop via ${lb.address}`).join(' ');
  const nexthops6 = topology.lbs.map((lb) => `nexthop via ${lb.address6}`).join(' ');
  await ipBatch(
    [
      'link set lo up',
      ...segment(topology),
      ...legs.flatMap((leg) => [
        `address add ${leg.gateway}/${leg.prefixLength} dev ${leg.routerDevice}`,
        // Nobody else is on the leg, and detecting that would take a second.
        `address add ${leg.gateway6}/64 dev ${leg.routerDevice} nodad`,
      ]),
      `address add ${rootLeg.routerAddress}/${rootLeg.prefixLength} dev ${rootLeg.routerDevice}`,
      ...devices.map((device) => `link set ${device} up`),
    ],
    routerNamespace,
  );
  // Sources of outer headers have no route back, which a reverse path filter would mind.
  const forwarding = [
    'ipv4.ip_forward=1',
    ...['ipv4', 'ipv6'].flatMap((family) => [
      `${family}.fib_multipath_hash_policy=3`,
      `${family}.fib_multipath_hash_fields=${hashedFields}`,
    ]),
    'ipv6.conf.all.forwarding=1',
    ...devices.flatMap((device) => [
      `ipv6.conf.${device}.ignore_routes_with_linkdown=1`,
      // Else a leg whose cable was pulled comes back without its IPv6 address.
      `ipv6.conf.${device}.keep_addr_on_down=1`,
    ]),
  ];
  await sysctl(routerNamespace, devices, ['rp_filter=0', 'ignore_routes_with_linkdown=1'], forwarding);
  if (routed)
    await ipBatch([`route add ${vipPrefix} ${nexthops}`, `route add ${vipPrefix6} ${nexthops6}`], routerNamespace);
  // Else checksums of packets from this machine are left for a NIC to fill in, and inside a tunnel none ever does.
  await Promise.all(lbPorts(topology).map((port) => runIn(routerNamespace, 'ethtool', ['-K', port, 'tx', 'off'])));
}

async function configureHost(host: Host): Promise<void> {
  const real = host.role === 'real';
  await ipBatch(
    [
      'link set lo up',
      ...legsOf(host).flatMap((leg) => [
        `address add ${leg.address}/${leg.prefixLength} dev ${leg.device}`,
        `address add ${leg.address6}/64 dev ${leg.device} nodad`,
        `link set ${leg.device} up`,
      ]),
      `route add default via ${host.gateway}`,
      `route add default via ${host.gateway6}`,
      ...(real ? [`route add local ${vipPrefix} dev lo`, `route add local ${vipPrefix6} dev lo`] : []),
    ],
    host.namespace,
  );
  if (real) {
    // Answer ARP for the own address alone: the VIPs are on every real.
    await sysctl(
      host.namespace,
      [host.device],
      ['rp_filter=0', 'arp_ignore=1', 'arp_announce=2'],
      // A UDP server takes a VIP as its address, and a local route alone does not allow that.
      ['ipv6.ip_nonlocal_bind=1'],
    );
  } else {
    const devices = legsOf(host).map((leg) => leg.device);
    await sysctl(host.namespace, devices, ['rp_filter=0'], ['ipv4.ip_forward=0']);
  }
}

async function kernelThreadsOf(device: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const names = await Promise.all(
    // A process may end between the listing and the reading.
    pids.map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')),
  );
  return pids.filter((_, index) => names[index]?.startsWith(`napi/${device}-`));
}

/**
 * A NIC keeps a flow on one queue, and so on one CPU; veth receives on whichever CPU sent. As the LB’s flow cache is
 * per CPU, all of an LB’s packets are received by one thread that stays on one CPU.
 */
async function receiveOnOneCpu(lb: Host, cpu: number): Promise<void> {
  // With GRO on, the thread exists before there is an XDP program and outlives it.
  await runIn(lb.namespace, 'ethtool', ['-K', lb.device, 'gro', 'on']);
  // A device shows up only in a sysfs that was mounted from inside its namespace.
  const setThreaded = `mount -t sysfs sysfs /sys && echo 1 > /sys/class/net/${lb.device}/threaded`;
  await runIn(lb.namespace, 'unshare', ['--mount', 'sh', '-c', setThreaded]);
  const threads = await kernelThreadsOf(lb.device);
  const pinned = await Promise.all(threads.map((pid) => tryRun('taskset', ['-pc', String(cpu), pid])));
  // Threads of an earlier lab’s device may still be going away: one that is there to be pinned is enough.
  if (!pinned.some((outcome) => outcome.code === 0)) {
    throw new PilotfishError('PF_LAB', `no receive thread of ${lb.device} could be pinned to CPU ${cpu}`, {
      fix: 'The lab needs a kernel with threaded NAPI (5.12 or newer).',
    });
  }
}

/** Attaching keeps a program alive; the pins are only the way to hand it from bpftool to another namespace. */
async function attachPrograms(topology: Topology): Promise<void> {
  const pass = join(labPinDir, 'xdp-pass');
  const decap = join(labPinDir, 'decap');
  const reals = topology.reals.filter((real) => !isOnSegment(real));
  await run('mkdir', ['-p', labPinDir]);
  await Promise.all([
    run('bpftool', ['prog', 'load', bpfObject('xdp-pass'), pass, 'type', 'xdp']),
    run('bpftool', ['prog', 'load', bpfObject('decap'), decap, 'type', 'classifier']),
  ]);
  await Promise.all([
    ...lbPorts(topology).map((port) =>
      runIn(routerNamespace, 'ip', ['link', 'set', 'dev', port, 'xdpdrv', 'pinned', pass]),
    ),
    // Those on the segment of an LB get packets as the client sent them, and have no way to take a header off.
    ...reals.map((real) =>
      runIn(
        real.namespace,
        'tc',
        ['-batch', '-'],
        `qdisc add dev ${real.device} clsact\n` +
          `filter add dev ${real.device} ingress bpf direct-action object-pinned ${decap}\n`,
      ),
    ),
  ]);
  await rm(labPinDir, { recursive: true });
}

/**
 * Needs bpffs mounted and nothing left of an earlier lab.
 *
 * @param routed whether the router sends the VIPs to every LB from the start; else their agents have to join
 */
export async function buildNetwork(topology: Topology, routed: boolean): Promise<void> {
  await createLegs(topology);
  await Promise.all([configureRouter(topology, routed), ...hostsOf(topology).map(configureHost)]);
  await Promise.all([
    attachPrograms(topology),
    ...topology.lbs.map((lb, index) => receiveOnOneCpu(lb, index % availableParallelism())),
  ]);
}
