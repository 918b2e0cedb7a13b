import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { PilotfishError } from '../core/errors.ts';

/**
 * Interfaces, addresses, routes and neighbours of this host, asked of `ip -j` (iproute2): Node has no netlink, and a
 * resident binding for a few questions would be more than they are worth.
 */

const run = promisify(execFile);
/** A host with thousands of containers has megabytes of interfaces. */
const OUTPUT_BYTES = 64 * 2 ** 20;

export interface LinkRow {
  readonly ifindex: number;
  readonly ifname: string;
  readonly altnames?: readonly string[];
  /** The interface that belongs to it: below a VLAN; of a veth the other end. Absent when in another namespace. */
  readonly link?: string;
  /** The bond or bridge that it is a part of. */
  readonly master?: string;
  /** `ether`, `loopback`, `none`, ... */
  readonly link_type: string;
  /** MAC address. */
  readonly address: string;
  readonly mtu: number;
  readonly operstate: string;
  readonly addr_info?: readonly AddressRow[];
}

/** A link with what its driver tells. */
export interface DetailedLinkRow extends LinkRow {
  /** `veth`, `vlan`, ...; absent for hardware. */
  readonly linkinfo?: { readonly info_kind?: string };
  /** There when an XDP program is attached; its mode is IFLA_XDP_ATTACHED of linux/if_link.h. */
  readonly xdp?: { readonly mode: number };
}

interface AddressRow {
  readonly local?: string;
  /** Not known to be free yet; IPv6 only. */
  readonly tentative?: boolean;
  /** Somebody else has it; IPv6 only. */
  readonly dadfailed?: boolean;
}

export interface NeighbourRow {
  readonly dst: string;
  readonly lladdr?: string;
  /** `REACHABLE`, `STALE`, `FAILED`, ... */
  readonly state?: readonly string[];
}

export interface RouteRow {
  readonly dst: string;
  /** `local` for an address of this host; absent for the usual unicast. */
  readonly type?: string;
  readonly dev: string;
  readonly gateway?: string;
  /** A gateway of the other family. */
  readonly via?: { readonly host: string };
}

/** One row of text is one list: `ip -batch` prints one for each of its lines. */
function rowsOf<T>(stdout: string): T[] {
  return stdout.split('\n').flatMap((line) => (line.trim() === '' ? [] : (JSON.parse(line) as T[])));
}

async function ip<T>(...args: string[]): Promise<T[]> {
  try {
    const { stdout } = await run('ip', ['-j', ...args], { maxBuffer: OUTPUT_BYTES });
    return rowsOf(stdout);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new PilotfishError('PF_INTERFACE', 'the program `ip` is not on the PATH', { fix: 'install iproute2', cause });
  }
}

/** Every interface, with its addresses. */
export function readLinks(): Promise<LinkRow[]> {
  return ip('addr', 'show');
}

/** @throws when there is no such interface */
export async function readDetails(name: string): Promise<DetailedLinkRow> {
  const [row] = await ip<DetailedLinkRow>('-d', 'link', 'show', 'dev', name);
  if (row === undefined) throw new PilotfishError('PF_INTERFACE', `interface ${name} is gone`);
  return row;
}

export function readNeighbours(name: string): Promise<NeighbourRow[]> {
  return ip('neigh', 'show', 'dev', name);
}

/** Default routes over this interface, of one family. */
export function readDefaultRoutes(name: string, family: '-4' | '-6'): Promise<{ readonly gateway?: string }[]> {
  return ip(family, 'route', 'show', 'default', 'dev', name);
}

/** How the kernel would reach these addresses. Those that it would not reach are not there. */
export async function readRoutesTo(addresses: readonly string[]): Promise<RouteRow[]> {
  const running = run('ip', ['-force', '-j', '-batch', '-'], { maxBuffer: OUTPUT_BYTES });
  running.child.stdin?.end(addresses.map((address) => `route get ${address}\n`).join(''));
  try {
    return rowsOf((await running).stdout);
  } catch (error) {
    // With -force it goes on after an address without a route, and tells so by its exit code alone.
    const { code, stdout } = error as { code?: unknown; stdout?: string };
    if (typeof code !== 'number' || stdout === undefined) throw error;
    return rowsOf(stdout);
  }
}

/** @throws PilotfishError PF_INTERFACE that names the interfaces that are there */
export function findLink(links: readonly LinkRow[], name: string, field: string): LinkRow {
  const found = links.find((link) => link.ifname === name || link.altnames?.includes(name));
  if (found !== undefined) return found;
  throw new PilotfishError('PF_INTERFACE', `there is no interface ${name}`, {
    fix: `set ${field} in agent.yaml to one of: ${links.map((link) => link.ifname).join(', ')}`,
  });
}
