import { tcpOptions, udpData } from './contents.ts';
import { extensionChain, fragmentHeader } from './extensions.ts';
import type { Ends, Extension, Layers } from './layers.ts';
import { icmpMessage, ipv4Packet, ipv6Packet, payload, tcpSegment, udpSegment } from './layers.ts';
import type { FuzzFlow, Scene } from './scene.ts';

/** IP packets, valid ones, as clients, routers and strangers send them. */

const DF = 0x4000;
const MF = 0x2000;

export interface IpWishes {
  /** IPv4; 0x4000 most of the time. */
  readonly fragment?: number;
  readonly options?: Uint8Array;
  /** IPv6. */
  readonly extensions?: readonly Extension[];
}

export function ipPacket(
  { random }: Scene,
  ends: Ends,
  protocol: number,
  inner: Layers,
  wishes: IpWishes = {},
): Layers {
  const common = {
    protocol,
    trafficClass: random.chance(0.3) ? random.below(256) : 0,
    ttl: random.chance(0.1) ? random.pick([0, 1, 64, 255]) : random.between(2, 255),
  };
  if (ends.source.length === 4) {
    const { fragment = random.chance(0.75) ? DF : 0, options = Buffer.alloc(0) } = wishes;
    return ipv4Packet(ends, { ...common, fragment, options }, inner);
  }
  const { extensions = [] } = wishes;
  return ipv6Packet(ends, { ...common, flowLabel: random.below(2 ** 20), extensions }, inner);
}

const tcpFlagSets = [0x02, 0x10, 0x18, 0x12, 0x11, 0x04, 0x14, 0xc2, 0x00];

/** @param data of the segment; its own choice when absent */
export function segmentOf({ random }: Scene, { ends, ports, protocol }: FuzzFlow, data?: Uint8Array): Layers {
  if (protocol === 6) {
    const flags = random.weighted([
      [3, 0x02],
      [5, 0x10],
      [2, random.pick(tcpFlagSets)],
    ]);
    return tcpSegment(ends, ports, flags, tcpOptions(random), data ?? random.bytes(random.below(100)));
  }
  return udpSegment(ends, ports, payload(data ?? udpData(random)), random.chance(0.85));
}

export function flowPacket(scene: Scene, wishes: IpWishes = {}, data?: Uint8Array): Layers {
  const flow = scene.flow();
  return ipPacket(scene, flow.ends, flow.protocol, segmentOf(scene, flow, data), wishes);
}

export function longPacket(scene: Scene): Layers {
  return flowPacket(scene, {}, longData(scene));
}

/** The TCP, UDP or ICMP header is not whole, and IP says so; or TCP claims more options than there are. */
export function shortPacket(scene: Scene): Layers {
  const { random } = scene;
  const flow = scene.flow();
  const { bytes, fields } = segmentOf(scene, flow, Buffer.alloc(0));
  if (flow.protocol === 6 && random.chance(0.5)) {
    bytes[12] = (Math.min(15, (bytes[12]! >> 4) + random.below(3)) << 4) | random.below(16);
    return ipPacket(scene, flow.ends, 6, { bytes, fields });
  }
  const [protocol, header] = random.pick([
    [flow.protocol, flow.protocol === 6 ? 20 : 8],
    [flow.ends.source.length === 4 ? 1 : 58, 8],
  ]);
  const length = random.chance(0.7) ? header - random.below(3) : random.below(header);
  return ipPacket(scene, flow.ends, protocol, payload(bytes.subarray(0, length)));
}

export function withOptions(scene: Scene): Layers {
  const { random } = scene;
  return flowPacket(scene, { options: random.bytes(4 * random.between(1, 10)), extensions: extensionChain(random) });
}

/** Longer by itself than what may be sent, or about as long. */
function longData({ random, case: { host } }: Scene): Buffer {
  return random.bytes(
    random.chance(0.8) ? host.mtu - 20 - random.between(0, 110) : random.between(host.mtu - 40, 3_350),
  );
}

export function fragmentPacket(scene: Scene): Layers {
  const { random } = scene;
  const flow = scene.flow();
  const offset = random.chance(0.4) ? 0 : random.between(1, 0x1fff);
  const more = offset === 0 || random.chance(0.5);
  const data = random.chance(0.15) ? longData(scene) : random.bytes(random.chance(0.15) ? 0 : random.below(120));
  const inner = offset === 0 ? segmentOf(scene, flow, data) : payload(data);
  const before = random.chance(0.2) ? extensionChain(random) : [];
  return ipPacket(scene, flow.ends, flow.protocol, inner, {
    fragment: offset | (more ? MF : 0) | (random.chance(0.1) ? DF : 0),
    extensions: [...before, fragmentHeader(random, offset, more)],
  });
}

function icmpProtocol({ source }: Ends): number {
  return source.length === 4 ? 1 : 58;
}

export function echoPacket(scene: Scene): Layers {
  const { random } = scene;
  const { ends } = scene.flow();
  const request = ends.source.length === 4 ? 8 : 128;
  const type = random.chance(0.9) ? request : random.below(256);
  const code = random.chance(0.95) ? 0 : random.below(256);
  const data = payload(random.bytes(random.chance(0.1) ? random.between(1_400, 3_000) : random.below(100)));
  const extensions = random.chance(0.2) ? extensionChain(random) : [];
  const message = icmpMessage(ends, type, code, random.below(2 ** 32), data);
  return ipPacket(scene, ends, icmpProtocol(ends), message, { extensions });
}

/** What a router or the client says about a packet that a real has sent. */
export function errorPacket(scene: Scene, intact: boolean): Layers {
  const { random } = scene;
  const { ends, ports, protocol, vip } = scene.flow();
  const v4 = ends.source.length === 4;
  const sent: FuzzFlow = {
    vip,
    ends: { source: ends.destination, destination: ends.source },
    ports: { source: ports.destination, destination: ports.source },
    protocol,
  };
  const quotedOptions = random.chance(0.1) ? random.bytes(4 * random.between(1, 10)) : Buffer.alloc(0);
  const fragment = random.chance(0.1) ? random.pick([MF, DF | MF, 1, 0x1fff]) : random.pick([0, DF]);
  const data = random.bytes(random.chance(0.1) ? 1_400 : random.below(100));
  const whole = ipPacket(scene, sent.ends, protocol, segmentOf(scene, sent, data), {
    options: quotedOptions,
    fragment,
  });
  if (!intact && random.chance(0.1)) whole.bytes[0] = random.chance(0.8) ? 0x40 | random.below(16) : random.below(256);
  const least = (v4 ? 20 + quotedOptions.length : 40) + 8;
  const length = random.weighted([
    [4, least],
    [1, least - random.between(1, 8)],
    [5, random.between(least, whole.bytes.length)],
  ]);
  const quoted = {
    bytes: whole.bytes.subarray(0, length),
    fields: whole.fields.filter(({ at, size }) => at + size <= length),
  };
  const [errors, others] = v4
    ? [
        [3, 11, 12],
        [0, 2, 4, 5, 10, 13],
      ]
    : [
        [1, 2, 3, 4],
        [0, 5, 100, 127],
      ];
  const type = random.pick(random.chance(0.93) ? errors : others);
  const outer = {
    source: random.chance(0.5) ? ends.source : scene.client(ends.source.length),
    destination: ends.destination,
  };
  // Where an MTU or a pointer may be; the other bits would tell of a structure behind the quote (RFC 4884).
  const rest = v4 || type === 2 ? random.below(0x10000) : 0;
  const message = icmpMessage(outer, type, random.below(16), rest, quoted);
  const extensions = random.chance(0.1) ? extensionChain(random) : [];
  return ipPacket(scene, outer, icmpProtocol(outer), message, { extensions });
}

/** Not for a VIP: another address, port or protocol. */
export function strangerPacket(scene: Scene): Layers {
  const { random } = scene;
  const flow = scene.flow();
  const width = flow.ends.source.length;
  const how = random.below(3);
  const ends = how === 0 ? { ...flow.ends, destination: scene.stranger(width) } : flow.ends;
  const ports = how === 1 ? { ...flow.ports, destination: random.below(0x10000) } : flow.ports;
  const protocol = how === 2 ? random.below(256) : flow.protocol;
  const wishes = random.chance(0.2) ? { options: random.bytes(8), extensions: extensionChain(random) } : {};
  return ipPacket(scene, ends, protocol, segmentOf(scene, { ...flow, ends, ports }), wishes);
}
