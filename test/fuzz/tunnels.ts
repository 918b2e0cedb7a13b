import { addressBytes } from '../../src/core/address.ts';
import { extensionChain } from './extensions.ts';
import type { Layers } from './layers.ts';
import { udpSegment } from './layers.ts';
import { ipPacket } from './packets.ts';
import type { Scene } from './scene.ts';

/** Packets in tunnels that end at the LB, or that look as if they did. */

const LB = { 4: Buffer.from(addressBytes('10.0.0.99')), 16: Buffer.from(addressBytes('2001:db8::99')) } as const;

/** @param inner what the tunnel carries */
export function tunnelPacket(scene: Scene, inner: Layers): Layers {
  const { random } = scene;
  const { address, guePort } = random.pick(scene.case.host.tunnels);
  const destination = Buffer.from(addressBytes(address));
  const ends = { source: LB[destination.length as 4 | 16], destination };
  const wishes = random.chance(0.1) ? { extensions: extensionChain(random) } : {};
  const right = inner.bytes[0]! >> 4 === 4 ? 4 : 41;
  if (random.chance(0.5)) return ipPacket(scene, ends, random.chance(0.95) ? right : 45 - right, inner, wishes);
  const port = random.chance(0.95) ? guePort : random.below(0x10000);
  const ports = { source: random.between(49_152, 65_535), destination: port };
  return ipPacket(scene, ends, 17, udpSegment(ends, ports, inner, random.chance(0.8)), wishes);
}
