/** Makes the namespaces, legs, addresses, routes and kernel settings of a topology. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { PilotfishError } from '../src/core/errors.ts';
import { ipBatch, run, runIn, tryRun } from './netns.ts';
import { bpfObject, labPinDir } from './paths.ts';
import { fabricPrefix, type Host, hostsOf, rootLeg, routerNamespace, type Topology, vipPrefix } from './topology.ts';

/** Everything but the programs; namespaces of the same names must not exist. */
async function createLegs(topology: Topology): Promise<void> {
  const hosts = hostsOf(topology);
  const { device, routerDevice, address, routerAddress, prefixLength } = rootLeg;
  await ipBatch([
    ...[routerNamespace, ...hosts.map((host) => host.namespace)].map((namespace) => `netns add ${namespace}`),
    ...hosts.map(
      (host) =>
        `link add name ${host.routerDevice} netns ${routerNamespace} mtu ${host.mtu} type veth ` +
        `peer name ${host.device} netns ${host.namespace} mtu ${host.mtu}`,
    ),
    `link add name ${device} type veth peer name ${routerDevice} netns ${routerNamespace}`,
    `address add ${address}/${prefixLength} dev ${device}`,
    `link set ${device} up`,
    `route add ${fabricPrefix} via ${routerAddress}`,
  ]);
}

/** `settings` are names below net.ipv4; `perDevice` are set for "all" and for each device, as the larger one counts. */
function sysctl(
  namespace: string,
  devices: readonly string[],
  perDevice: readonly string[],
  settings: readonly string[] = [],
): Promise<string> {
  const conf = ['all', ...devices].flatMap((device) => perDevice.map((item) => `net.ipv4.conf.${device}.${item}`));
  return runIn(namespace, 'sysctl', ['-qw', ...conf, ...settings.map((item) => `net.ipv4.${item}`)]);
}

async function configureRouter(topology: Topology): Promise<void> {
  const hosts = hostsOf(topology);
  const devices = [...hosts.map((host) => host.routerDevice), rootLeg.routerDevice];
  const nexthops = topology.lbs.map((lb) => `nexthop via ${lb.address}`);
  await ipBatch(
    [
      'link set lo up',
      ...hosts.map((host) => `address add ${host.gateway}/${host.prefixLength} dev ${host.routerDevice}`),
      `address add ${rootLeg.routerAddress}/${rootLeg.prefixLength} dev ${rootLeg.routerDevice}`,
      ...devices.map((device) => `link set ${device} up`),
    ],
    routerNamespace,
  );
  // ECMP by the 5-tuple. Sources of outer headers have no route back, which a reverse path filter would mind.
  const forwarding = ['ip_forward=1', 'fib_multipath_hash_policy=1'];
  await sysctl(routerNamespace, devices, ['rp_filter=0', 'ignore_routes_with_linkdown=1'], forwarding);
  await ipBatch([`route add ${vipPrefix} ${nexthops.join(' ')}`], routerNamespace);
  // Else checksums of packets from this machine are left for a NIC to fill in, and inside a tunnel none ever does.
  await Promise.all(topology.lbs.map((lb) => runIn(routerNamespace, 'ethtool', ['-K', lb.routerDevice, 'tx', 'off'])));
}

async function configureHost(host: Host): Promise<void> {
  const real = host.role === 'real';
  await ipBatch(
    [
      'link set lo up',
      `address add ${host.address}/${host.prefixLength} dev ${host.device}`,
      `link set ${host.device} up`,
      `route add default via ${host.gateway}`,
      ...(real ? [`route add local ${vipPrefix} dev lo`] : []),
    ],
    host.namespace,
  );
  if (real) {
    // Answer ARP for the own address alone: the VIPs are on every real.
    await sysctl(host.namespace, [host.device], ['rp_filter=0', 'arp_ignore=1', 'arp_announce=2']);
  } else {
    await sysctl(host.namespace, [host.device], ['rp_filter=0'], ['ip_forward=0']);
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
  await run('mkdir', ['-p', labPinDir]);
  await Promise.all([
    run('bpftool', ['prog', 'load', bpfObject('xdp-pass'), pass, 'type', 'xdp']),
    run('bpftool', ['prog', 'load', bpfObject('decap'), decap, 'type', 'classifier']),
  ]);
  await Promise.all([
    ...topology.lbs.map((lb) =>
      runIn(routerNamespace, 'ip', ['link', 'set', 'dev', lb.routerDevice, 'xdpdrv', 'pinned', pass]),
    ),
    ...topology.reals.map((real) =>
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

/** Needs bpffs mounted and nothing left of an earlier lab. */
export async function buildNetwork(topology: Topology): Promise<void> {
  await createLegs(topology);
  await Promise.all([configureRouter(topology), ...hostsOf(topology).map(configureHost)]);
  await Promise.all([
    attachPrograms(topology),
    ...topology.lbs.map((lb, index) => receiveOnOneCpu(lb, index % availableParallelism())),
  ]);
}
