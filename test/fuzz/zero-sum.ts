import { addressBytes } from '../../src/core/address.ts';
import { Model } from '../model/program.ts';
import { World } from '../model/world.ts';
import {
  type Ends,
  ethernetFrame,
  ipv4Packet,
  ipv6Packet,
  type Layers,
  payload,
  tcpSegment,
  udpSegment,
} from './layers.ts';
import type { FuzzCase } from './state.ts';

/** Frames whose outer checksum comes out as 0: one in 65,536 does by chance. */

const ports = { source: 40_000, destination: 80 };
const common = { trafficClass: 0, ttl: 60 };

function endsOf(source: string, destination: string): Ends {
  return { source: addressBytes(source), destination: addressBytes(destination) };
}

/** For a real with GUE. @param word 16 bits that the outer checksum covers and the hash does not */
function tcpFrame(word: number): Layers {
  const ends = endsOf('2001:db8:d::1', '2001:db8:ffff::11');
  const segment = tcpSegment(ends, ports, 0x10, new Uint8Array(), new Uint8Array());
  return framed(0x86dd, ipv6Packet(ends, { ...common, protocol: 6, flowLabel: word, extensions: [] }, segment));
}

/** The same without a checksum of its own. */
function udpFrame(word: number): Layers {
  const ends = endsOf('203.0.113.7', '192.0.2.18');
  const segment = udpSegment(ends, ports, payload(Uint8Array.of(word >> 8, word & 0xff)), false);
  return framed(0x0800, ipv4Packet(ends, { ...common, protocol: 17, fragment: 0, options: new Uint8Array() }, segment));
}

function framed(type: number, packet: Layers): Layers {
  const none = new Uint8Array();
  return ethernetFrame({ to: new Uint8Array(6), from: new Uint8Array(6), tags: [], type, padding: none }, packet);
}

/** The checksum of the outer UDP header, without a tag before it. */
function outerChecksum(fuzzCase: FuzzCase, { bytes }: Layers): number {
  const { snapshot, host } = fuzzCase;
  const { frame } = new Model(new World(snapshot, host)).run(bytes);
  return frame!.readUInt16BE((frame!.readUInt16BE(12) === 0x0800 ? 34 : 54) + 6);
}

/** @returns frames and the outer checksum that the model gives them, which is to be 0xffff */
export function zeroSums(fuzzCase: FuzzCase): { readonly frame: Uint8Array; readonly checksum: number }[] {
  return [tcpFrame, udpFrame].map((build) => {
    // What is missing to the sum is what the checksum says.
    const frame = build(outerChecksum(fuzzCase, build(0)));
    return { frame: frame.bytes, checksum: outerChecksum(fuzzCase, frame) };
  });
}
