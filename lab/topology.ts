/**
 * What the lab consists of, as data: hosts, the legs that join them to the router, and their addresses. Nothing is
 * run here. README.md has the drawing.
 */

export type Role = 'client' | 'lb' | 'real';

/** A machine of the lab, in a network namespace of its own, joined to the router by one veth pair. */
export interface Host {
  readonly name: string;
  readonly role: Role;
  readonly namespace: string;
  /** The host’s end of its leg; unique across the lab, so that a kernel thread’s name tells whose it is. */
  readonly device: string;
  /** The router’s end of the leg. */
  readonly routerDevice: string;
  readonly address: string;
  /** The router’s address on this leg. */
  readonly gateway: string;
  readonly prefixLength: number;
  /** The same in IPv6; every leg is a /64. */
  readonly address6: string;
  readonly gateway6: string;
  /** Bytes of IP, on both ends. */
  readonly mtu: number;
}

export interface Topology {
  readonly client: Host;
  readonly lbs: readonly Host[];
  readonly reals: readonly Host[];
}

/** Room for one tunnel header around a packet of `clientMtu`, so that no client has to lower its MSS. */
const fabricMtu = 1600;
const clientMtu = 1500;

export const vipPrefix = '192.0.2.0/24';
export const vipPrefix6 = '2001:db8:1::/64';
export const fabricPrefix = '10.77.0.0/16';
export const routerNamespace = 'pf-router';

/** The leg between this machine’s own namespace, where etcd runs, and the router. */
export const rootLeg = {
  device: 'pf-host',
  routerDevice: 'host',
  address: '10.77.255.1',
  routerAddress: '10.77.255.2',
  prefixLength: 30,
} as const;

/** More would collide with the addresses of the reals. */
export const maxLbs = 9;
export const maxReals = 99;

function host(role: Role, name: string, subnet: string, subnet6: string, last: number, mtu: number): Host {
  return {
    name,
    role,
    namespace: `pf-${name}`,
    device: `eth-${name}`,
    routerDevice: name,
    address: `${subnet}.${last}`,
    gateway: `${subnet}.1`,
    prefixLength: 24,
    address6: `${subnet6}::${last}`,
    gateway6: `${subnet6}::1`,
    mtu,
  };
}

function numbered(count: number, make: (n: number) => Host): Host[] {
  return Array.from({ length: count }, (_, index) => make(index + 1));
}

/** LB n lives in 10.77.n.0/24, real n in 10.77.(10 + n).0/24; the router is .1, the host .2. IPv6: fd77:0:n::/64 and so on. */
export function topology(lbs: number, reals: number): Topology {
  return {
    client: host('client', 'client', '198.51.100', '2001:db8:c', 7, clientMtu),
    lbs: numbered(lbs, (n) => host('lb', `lb${n}`, `10.77.${n}`, `fd77:0:${n}`, 2, fabricMtu)),
    reals: numbered(reals, (n) => host('real', `r${n}`, `10.77.${10 + n}`, `fd77:0:${10 + n}`, 2, fabricMtu)),
  };
}

export function hostsOf(topology: Topology): Host[] {
  return [topology.client, ...topology.lbs, ...topology.reals];
}

/** Whether a namespace is one that some lab, of whatever size, may have made. */
export function isLabNamespace(name: string): boolean {
  return /^pf-(client|router|lb\d+|r\d+)$/.test(name);
}
