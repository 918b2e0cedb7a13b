import { addressBytes, canonicalAddress } from '../core/address.ts';
import type { TunnelEnd } from '../core/data-plane.ts';
import { PilotfishError } from '../core/errors.ts';
import type { Address, Snapshot } from '../core/model.ts';
import type { HostImage } from '../core/target.ts';

/** The LB that a trace stands for: what its agent would know by itself, from options. */

export interface TraceHostOptions {
  readonly gatewayMac: string;
  readonly ownMac: string;
  readonly mtu: number;
  /** Ends of tunnels, separated by commas. */
  readonly decap?: string;
  /** Of all of them. */
  readonly guePort: number;
  /** Addresses of the LB, separated by commas. */
  readonly local?: string;
  /** Addresses of its interfaces and gateway, separated by commas. */
  readonly own?: string;
  /** `address=mac`, separated by commas. */
  readonly neighbour?: string;
}

function items(list: string | undefined): string[] {
  return list === undefined ? [] : list.split(',').map((item) => item.trim());
}

function readAddress(option: string, text: string, fix: string): Address {
  const address = canonicalAddress(text);
  if (address !== null) return address;
  throw new PilotfishError('PF_USAGE', `${option} "${text}" is no address`, { fix });
}

function addressesOf(option: string, list: string | undefined, example: string): Set<Address> {
  return new Set(items(list).map((text) => readAddress(option, text, `write ${option} ${example}`)));
}

function readNeighbour(text: string): readonly [Address, string] {
  const fix = 'write the address of a real and its MAC address: --neighbour 10.0.0.11=02:00:00:00:00:0b';
  const [address = '', mac = ''] = text.split('=', 2);
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac))
    throw new PilotfishError('PF_USAGE', `--neighbour "${text}" has no MAC address`, { fix });
  return [readAddress('--neighbour', address, fix), mac.toLowerCase()];
}

/** Where the last four bytes of an address can be read off again. */
function madeUpMac(address: Address): string {
  const last = [...addressBytes(address).subarray(-4)];
  return [0x02, 0x01, ...last].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function neighboursOf(snapshot: Snapshot, given: string | undefined): Map<Address, string> {
  const neighbours = new Map<Address, string>();
  for (const pool of snapshot.pools.values())
    if (pool.encap === 'l2') for (const { address } of pool.reals) neighbours.set(address, madeUpMac(address));
  for (const text of items(given)) neighbours.set(...readNeighbour(text));
  return neighbours;
}

function tunnelsOf(decap: string | undefined, guePort: number): TunnelEnd[] {
  const addresses = items(decap).map((text) => readAddress('--decap', text, 'write --decap 192.0.2.1,2001:db8::1'));
  return [...new Set(addresses)].sort().map((address) => ({ address, guePort }));
}

/**
 * Reals with encap `l2` have a MAC address that is made up, unless one is given: `02:01` and the last four bytes of
 * their address.
 *
 * @throws PilotfishError PF_USAGE
 */
export function traceHost(snapshot: Snapshot, options: TraceHostOptions): HostImage {
  const { mtu, gatewayMac, ownMac, decap, guePort, local, own, neighbour } = options;
  return {
    mtu,
    gatewayMac,
    ownMac,
    local: addressesOf('--local', local, '10.0.0.11,2001:db8:1::11'),
    neighbours: neighboursOf(snapshot, neighbour),
    tunnels: tunnelsOf(decap, guePort),
    own: addressesOf('--own', own, '10.0.0.2,10.0.0.1'),
  };
}
