import { add, checksum, complement, onesSum, pseudoHeader } from './checksum.ts';
import { mayAnswer, tooBigAnswer } from './icmp.ts';
import { IP6IP, IPIP, linkHeader, type Packet, UDP } from './packet.ts';
import type { ModelReal, World } from './world.ts';

/** Step 10. */

export interface Sent {
  readonly action: 'PASS' | 'TX' | 'DROP' | 'REDIRECT';
  readonly reason: string;
  readonly frame: Buffer | null;
}

export interface Route {
  readonly real: ModelReal;
  /** In mode 5-tuple, or address pair. */
  readonly hash: bigint;
  /** TTL or hop limit of an outer header. */
  readonly hops: number;
  /** The packet is an ICMP error about its flow. */
  readonly icmpError: boolean;
}

const NO_MAC = '00:00:00:00:00:00';

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function drop(reason: string): Sent {
  return { action: 'DROP', reason, frame: null };
}

/** The bits of `prefix` after its length come from `filler`. */
function filled(prefix: { readonly bytes: Uint8Array; readonly length: number }, filler: Uint8Array): Buffer {
  return Buffer.from(
    prefix.bytes.map((byte, i) => {
      const mask = 0xff >> Math.min(8, Math.max(0, prefix.length - i * 8));
      return (byte & ~mask) | (filler[i]! & mask);
    }),
  );
}

function outerSource({ outerSource: { v4, v6 } }: World, hash: bigint, family: 4 | 6): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(hash);
  if (family === 4) return filled(v4, bytes);
  return filled(v6, Buffer.concat([Buffer.alloc(8), bytes.subarray(4), bytes.subarray(0, 4)]));
}

/** Does a segment’s own checksum tell its sum? */
function sumsToZero({ frame, version, at, transport, end, protocol, fragment }: Packet): boolean {
  if (fragment || (version === 6 && transport > at + 40)) return false;
  if (protocol !== UDP) return true;
  return frame.readUInt16BE(transport + 6) !== 0 && frame.readUInt16BE(transport + 4) === end - transport;
}

/** What the inner packet adds to the sum that an outer UDP checksum is made of. */
function innerSum(packet: Packet, icmpError: boolean): number {
  const { frame, version, at, transport, end, source, destination, protocol } = packet;
  if (icmpError || !sumsToZero(packet)) return onesSum(frame.subarray(at, end));
  const pseudo = onesSum(pseudoHeader(source, destination, protocol!, end - transport));
  // An IPv4 header holds the complement of its own sum.
  const header = version === 4 ? 0 : onesSum(frame.subarray(at, transport));
  return add(header, complement(pseudo));
}

interface Outer {
  readonly source: Buffer;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly trafficClass: number;
  readonly flowLabel: number;
  readonly hops: number;
  /** Bytes after the header. */
  readonly length: number;
}

function outerIpv4({ source, destination, protocol, trafficClass, hops, length }: Outer): Buffer {
  const header = Buffer.alloc(12);
  header[0] = 0x45;
  header[1] = trafficClass;
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt16BE(0x4000, 6);
  header[8] = hops;
  header[9] = protocol;
  header.writeUInt16BE(checksum(header, source, destination), 10);
  return Buffer.concat([header, source, destination]);
}

function outerIpv6({ source, destination, protocol, trafficClass, flowLabel, hops, length }: Outer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(6 * 2 ** 28 + trafficClass * 2 ** 20 + flowLabel);
  header.writeUInt16BE(length, 4);
  header[6] = protocol;
  header[7] = hops;
  return Buffer.concat([header, source, destination]);
}

/** @param addresses source and destination of the outer header */
function udpHeader(packet: Packet, route: Route, addresses: readonly [Uint8Array, Uint8Array]): Buffer {
  const { guePort, gueChecksum } = route.real.pool;
  const length = 8 + packet.end - packet.at;
  const header = Buffer.alloc(8);
  header.writeUInt16BE(49_152 + Number((route.hash >> 48n) & 0x3fffn), 0);
  header.writeUInt16BE(guePort, 2);
  header.writeUInt16BE(length, 4);
  if (!gueChecksum) return header;
  const pseudo = onesSum(pseudoHeader(addresses[0], addresses[1], UDP, length));
  const sum = complement(add(pseudo, onesSum(header), innerSum(packet, route.icmpError)));
  header.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  return header;
}

/** Outer headers; nothing with encap `l2`. */
function outerHeaders(world: World, packet: Packet, route: Route): Buffer {
  const { real, hash } = route;
  if (real.pool.encap === 'l2') return Buffer.alloc(0);
  const family = real.bytes.length === 4 ? 4 : 6;
  const source = outerSource(world, hash, family);
  const gue = real.pool.encap === 'gue';
  const udp = gue ? udpHeader(packet, route, [source, real.bytes]) : Buffer.alloc(0);
  const outer = {
    source,
    destination: real.bytes,
    protocol: gue ? UDP : packet.version === 4 ? IPIP : IP6IP,
    trafficClass: packet.trafficClass,
    flowLabel: Number((hash >> 32n) & 0xfffffn),
    hops: route.hops,
    length: udp.length + packet.end - packet.at,
  };
  return Buffer.concat([family === 4 ? outerIpv4(outer) : outerIpv6(outer), udp]);
}

function tooBig(packet: Packet, route: Route, mtu: number): Sent {
  const { version, dontFragment, fragment } = packet;
  if ((version === 4 && !dontFragment) || route.icmpError || fragment || !mayAnswer(packet)) return drop('too_big');
  return { action: 'TX', reason: 'too_big_answered', frame: tooBigAnswer(packet, mtu) };
}

export function send(world: World, packet: Packet, route: Route): Sent {
  const { host } = world;
  const { address, pool, bytes } = route.real;
  if (host.local.has(address) || host.tunnels.some((end) => end.address === address))
    return { action: 'PASS', reason: 'local_real', frame: packet.frame };
  if (route.hops === 0) return drop('expired');
  const l2 = pool.encap === 'l2';
  const nextHop = l2 ? (host.neighbours.get(address) ?? NO_MAC) : host.gatewayMac;
  if (nextHop === NO_MAC) return drop(l2 ? 'no_neighbour' : 'no_gateway');
  if (l2 && packet.frame.subarray(0, 6).equals(macBytes(nextHop)))
    return { action: 'PASS', reason: 'not_vip', frame: packet.frame };
  const headers = outerHeaders(world, packet, route);
  if (headers.length + packet.end - packet.at > host.mtu) return tooBig(packet, route, host.mtu - headers.length);
  const version = l2 ? packet.version : bytes.length === 4 ? 4 : 6;
  const link = linkHeader(packet.frame, macBytes(nextHop), macBytes(host.ownMac), version, !host.egress);
  const frame = Buffer.concat([link, headers, packet.frame.subarray(packet.at)]);
  return { action: host.egress ? 'REDIRECT' : 'TX', reason: 'forwarded', frame };
}
