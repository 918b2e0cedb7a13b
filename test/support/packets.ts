import { isIPv4 } from 'node:net';
import { addressBytes } from '../../src/core/address.ts';
import type { Snapshot } from '../../src/core/model.ts';
import type { HostImage } from '../../src/core/target.ts';
import { Tracer } from '../../src/dataplane/tracer.ts';
import type { EthernetHeader, Ipv4Header, Ipv6Options, Segment } from './frames.ts';
import { ethernet, etherTypes, ipv4, ipv6, parseIpv4, parseIpv6 } from './frames.ts';
import { host } from './in-force.ts';

/** What tests of single steps of the program share: packets of both families in the same words, and what is in a frame. */

export const clients = { 4: '198.51.100.7', 6: '2001:db8:c::7' } as const;
export type Family = 4 | 6;

export function familyOf(address: string): Family {
  return isIPv4(address) ? 4 : 6;
}

/** From the client of the destination’s family, unless told otherwise. */
export function packet(
  to: string,
  segment: Segment,
  { from = clients[familyOf(to)], ...header }: Partial<Ipv4Header> & Ipv6Options = {},
): Uint8Array {
  if (familyOf(to) === 4) return ipv4({ from, to, ...header }, segment);
  return ipv6(addressBytes(from), addressBytes(to), segment, header);
}

/** A frame with the packet, whose first four bits tell its ethertype. */
export function framed(bytes: Uint8Array, header: EthernetHeader = {}): Uint8Array {
  const type = (bytes[0] ?? 0) >> 4 === 4 ? etherTypes.ipv4 : etherTypes.ipv6;
  return ethernet(bytes, { type, ...header });
}

/** What is left of an outer packet after its header. */
export function inside(outer: Uint8Array): { readonly protocol: number; readonly bytes: Uint8Array } {
  if ((outer[0] ?? 0) >> 4 === 4) {
    const { protocol, payload } = parseIpv4(outer);
    return { protocol, bytes: payload };
  }
  const { nextHeader, payload } = parseIpv6(outer);
  return { protocol: nextHeader, bytes: payload };
}

/** The program with the maps of a state, every real up. */
export function tracerOf(
  snapshot: Snapshot,
  { egress = false, ...changed }: Partial<HostImage> & { readonly egress?: boolean } = {},
  frames = 4_096,
): Promise<Tracer> {
  return Tracer.load({ snapshot, host: { ...host, ...changed }, egress, frames });
}
