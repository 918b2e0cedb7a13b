/**
 * What the lab consists of, as data: hosts, the legs that join them to the router, and their addresses. Nothing is
 * run here. README.md has the drawing.
 */

export type Role = 'client' | 'lb' | 'real';

/** A veth pair between a host and the router, and the addresses on it. */
export interface Leg {
  /** The host’s end; unique across the lab, so that a kernel thread’s name tells whose it is. */
  readonly device: string;
  /** The veth at the router’s end. */
  readonly port: string;
  /** Has the router’s addresses: the port itself, or the bridge that it and other ports of one segment are in. */
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

/** A machine of the lab, in a network namespace of its own, joined to the router. */
export interface Host extends Leg {
  readonly name: string;
  readonly role: Role;
  readonly namespace: string;
  /** Another leg to the router, which packets to reals leave by. */
  readonly egress?: Leg;
}

export interface Topology {
  readonly client: Host;
  readonly lbs: readonly Host[];
  readonly reals: readonly Host[];
}

/** What differs from lab to lab. */
export interface Shape {
  /** 1 to 9. */
  readonly lbs: number;
  /** 1 to 99. */
  readonly reals: number;
  /** So many of the reals, the last ones, are on the segment of the first LB, where it reaches them without the router. */
  readonly neighbours: number;
  /** Every LB has a second leg, and sends what it forwards by that one. */
  readonly egress: boolean;
  /** Of the legs of LBs and reals, in bytes of IP. */
  readonly fabricMtu: number;
}

/** Room for one tunnel header around a packet of `clientMtu`, so that no client has to lower its MSS. */
const roomyMtu = 1600;
const clientMtu = 1500;

export const plainShape: Shape = { lbs: 1, reals: 3, neighbours: 0, egress: false, fabricMtu: roomyMtu };

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

/** A leg of its own: the router is the first address of its subnets. */
function leg(name: string, subnet: string, subnet6: string, last: number, mtu: number): Leg {
  return {
    device: `eth-${name}`,
    port: name,
    routerDevice: name,
    address: `${subnet}.${last}`,
    gateway: `${subnet}.1`,
    prefixLength: 24,
    address6: `${subnet6}::${last}`,
    gateway6: `${subnet6}::1`,
    mtu,
  };
}

function host(role: Role, name: string, itsLeg: Leg): Host {
  return { name, role, namespace: `pf-${name}`, ...itsLeg };
}

function numbered(count: number, make: (n: number) => Host): Host[] {
  return Array.from({ length: count }, (_, index) => make(index + 1));
}

function lb(n: number, { neighbours, egress, fabricMtu }: Shape): Host {
  const name = `lb${n}`;
  const made = host('lb', name, leg(name, `10.77.${n}`, `fd77:0:${n}`, 2, fabricMtu));
  return {
    ...made,
    ...(n === 1 && neighbours > 0 && { port: `${name}-port` }),
    ...(egress && { egress: leg(`${name}x`, `10.77.${200 + n}`, `fd77:0:${200 + n}`, 2, fabricMtu) }),
  };
}

function real(n: number, { reals, neighbours, fabricMtu }: Shape): Host {
  const name = `r${n}`;
  if (n <= reals - neighbours)
    return host('real', name, leg(name, `10.77.${10 + n}`, `fd77:0:${10 + n}`, 2, fabricMtu));
  return { ...host('real', name, leg(name, '10.77.1', 'fd77:0:1', 100 + n, fabricMtu)), routerDevice: 'lb1' };
}

/**
 * LB n lives in 10.77.n.0/24 and with its second leg in 10.77.(200 + n).0/24, real n in 10.77.(10 + n).0/24 or beside
 * the first LB as 10.77.1.(100 + n); the router is .1, the host .2. IPv6: fd77:0:n::/64 and so on.
 */
export function topology(lbs: number, reals: number, rest: Partial<Shape> = {}): Topology {
  const shape: Shape = { ...plainShape, ...rest, lbs, reals };
  return {
    client: host('client', 'client', leg('client', '198.51.100', '2001:db8:c', 7, clientMtu)),
    lbs: numbered(lbs, (n) => lb(n, shape)),
    reals: numbered(reals, (n) => real(n, shape)),
  };
}

export function legsOf(host: Host): Leg[] {
  return host.egress === undefined ? [host] : [host, host.egress];
}

/** Whether the router reaches the host over a bridge, which others are on as well. */
export function isOnSegment(leg: Leg): boolean {
  return leg.port !== leg.routerDevice;
}

export function hostsOf(topology: Topology): Host[] {
  return [topology.client, ...topology.lbs, ...topology.reals];
}

/** Whether a namespace is one that some lab, of whatever size, may have made. */
export function isLabNamespace(name: string): boolean {
  return /^pf-(client|router|lb\d+|r\d+)$/.test(name);
}
