import type { Vip } from '../../src/core/model.ts';
import type { Mode, ModelFlow } from './flow-hash.ts';
import { slotOfHash } from './flow-hash.ts';
import { echoReply, isEchoRequest, mayAnswer, quotedFlow } from './icmp.ts';
import { identifiers } from './identifiers.ts';
import { ICMP, ICMPV6, IP6IP, IPIP, openedFrame, type Packet, readPacket, TCP, UDP } from './packet.ts';
import { type Route, type Sent, send } from './send.ts';
import type { ModelReal, World } from './world.ts';

/**
 * The program as docs/reference/packets.md describes it, written from there alone: what the real one is compared with.
 * Readable rather than fast. All frames are of one CPU and one moment; the flow cache is unlimited.
 */

export interface Outcome extends Sent {
  readonly vip: string | null;
  readonly pool: string | null;
  readonly real: string | null;
  readonly path: string | null;
  /** Of the ring; null unless one was asked. */
  readonly slot: number | null;
  /** What happened besides, by name. */
  readonly events: readonly Event[];
}

export type Event = 'opened' | 'unknown_id';

interface Choice {
  /** Null: the ring that was asked is empty. */
  readonly real: ModelReal | null;
  /** Its own, or that of the ring. */
  readonly pool: string;
  readonly path: string;
  readonly slot: number | null;
}

const nobody = { vip: null, pool: null, real: null, path: null, slot: null, events: [] } as const;
const leastHeader: Readonly<Record<number, number>> = { [TCP]: 20, [UDP]: 8, [ICMP]: 8, [ICMPV6]: 8 };
const SYN = 0x02;
const ACK = 0x10;

function drop(reason: string): Outcome {
  return { ...nobody, action: 'DROP', reason, frame: null };
}

function pass(reason: string, frame: Buffer): Outcome {
  return { ...nobody, action: 'PASS', reason, frame };
}

/** Without a ring. */
function chosen(real: ModelReal, path: string): Choice {
  return { real, pool: real.pool.name, path, slot: null };
}

function isIcmp({ version, protocol }: Packet): boolean {
  return protocol === (version === 4 ? ICMP : ICMPV6);
}

function portsOf({ frame, transport, fragment }: Packet): readonly [number, number] {
  return fragment ? [0, 0] : [frame.readUInt16BE(transport), frame.readUInt16BE(transport + 2)];
}

function modeOf({ fragments }: Vip): Mode {
  return fragments === 'hash' ? 'pair' : '5-tuple';
}

export class Model {
  readonly #world: World;
  /** Reals by flow. */
  readonly #cache = new Map<string, ModelReal>();

  constructor(world: World) {
    this.#world = world;
  }

  /** What becomes of a frame; flows that it begins are remembered. */
  run(frame: Uint8Array): Outcome {
    return this.#treat(Buffer.from(frame), null);
  }

  /** @param hops null: not out of a tunnel */
  #treat(frame: Buffer, hops: number | null): Outcome {
    const packet = readPacket(frame);
    if (typeof packet === 'string') return pass(packet, frame);
    if ((frame[0]! & 1) === 1) return pass('not_vip', frame);
    if (packet.protocol === null)
      return this.#world.vipsAt(packet.destination).length > 0 ? drop('malformed') : pass('not_vip', frame);
    const tunnel = this.#endsTunnel(packet);
    if (!tunnel && !this.#isServed(packet)) return pass('not_vip', frame);
    const refusal = this.#refusal(packet);
    if (refusal !== null) return drop(refusal);
    if (tunnel) return this.#open(packet, hops !== null);
    return isIcmp(packet) ? this.#icmp(packet, hops ?? 64) : this.#forward(packet, hops ?? 64);
  }

  /** Is this a packet that a tunnel’s end here opens? */
  #endsTunnel({ frame, destination, protocol, fragment, transport }: Packet): boolean {
    const guePort = this.#world.tunnelAt(destination);
    if (guePort === null) return false;
    if (protocol !== UDP) return protocol === IPIP || protocol === IP6IP;
    return !fragment && transport + 4 <= frame.length && frame.readUInt16BE(transport + 2) === guePort;
  }

  #isServed(packet: Packet): boolean {
    const { destination, protocol } = packet;
    if (isIcmp(packet)) return this.#world.vipsAt(destination).length > 0;
    if (protocol === UDP && this.#world.tunnelAt(destination) !== null) return true;
    return this.#world.vipsOf(destination, protocol!).length > 0;
  }

  /** The VIP that takes fragments of this address and protocol. */
  #fragmentVip({ destination, protocol }: Packet): Vip | null {
    const [vip, ...others] = this.#world.vipsOf(destination, protocol!);
    return vip?.fragments === 'hash' && others.length === 0 ? vip : null;
  }

  /** Step 3. */
  #refusal(packet: Packet): string | null {
    const { frame, version, at, transport, end, headerLength, protocol, fragment } = packet;
    if (version === 4 && (headerLength < 20 || end < transport)) return 'malformed';
    if (end > frame.length) return 'malformed';
    if (fragment && this.#fragmentVip(packet) === null) return 'fragment';
    if (version === 4 && transport > at + 20) return 'ip_options';
    return !fragment && transport + (leastHeader[protocol!] ?? 0) > end ? 'malformed' : null;
  }

  /** Step 11. */
  #open({ frame, version: outer, at, transport, end, protocol }: Packet, opened: boolean): Outcome {
    const from = protocol === UDP ? transport + 8 : transport;
    const version = from < end ? frame[from]! >> 4 : 0;
    if (version !== 4 && version !== 6) return drop('malformed');
    if (protocol !== UDP && version !== (protocol === IPIP ? 4 : 6)) return drop('malformed');
    if (from + (version === 4 ? 20 : 40) > end) return drop('malformed');
    if (opened) return drop('nested');
    const left = Math.max(0, frame[at + (outer === 4 ? 8 : 7)]! - 1);
    const outcome = this.#treat(openedFrame(frame.subarray(0, end), from, version), Math.min(64, left));
    return { ...outcome, events: ['opened', ...outcome.events] };
  }

  #icmp(packet: Packet, hops: number): Outcome {
    const { frame, destination } = packet;
    if (isEchoRequest(packet) && mayAnswer(packet) && this.#world.vipsAt(destination).every(({ icmpEcho }) => icmpEcho))
      return { ...nobody, action: 'TX', reason: 'echo_answered', frame: echoReply(packet) };
    const flow = quotedFlow(packet);
    const vip = flow && this.#world.findVip(flow.destination, flow.protocol, flow.destinationPort);
    if (flow === null || vip === null) return pass('icmp_other', frame);
    const hash = this.#world.hash.of(modeOf(vip), flow);
    const known = vip.flowCache ? this.#cache.get(this.#key(vip, flow)) : undefined;
    const choice = known === undefined ? this.#byRing(vip, flow) : chosen(known, 'icmp');
    return this.#send(packet, vip, { ...choice, path: 'icmp' }, { hash, hops, icmpError: true });
  }

  /** Steps 4 and 6 to 10. */
  #forward(packet: Packet, hops: number): Outcome {
    const { frame, source, destination, protocol, fragment } = packet;
    const [sourcePort, destinationPort] = portsOf(packet);
    const vip = fragment ? this.#fragmentVip(packet) : this.#world.findVip(destination, protocol!, destinationPort);
    if (vip === null) return pass('not_vip', frame);
    const flow = { source, destination, protocol: protocol!, sourcePort, destinationPort };
    const hash = this.#world.hash.of(modeOf(vip), flow);
    const known = this.#byIdentifier(vip, packet);
    const choice = known.choice ?? this.#byCache(vip, packet, flow) ?? this.#newFlow(vip, flow);
    const outcome = this.#send(packet, vip, choice, { hash, hops, icmpError: false });
    return known.missed ? { ...outcome, events: ['unknown_id'] } : outcome;
  }

  #byIdentifier(vip: Vip, packet: Packet): { readonly choice: Choice | null; readonly missed: boolean } {
    const found = packet.fragment ? [] : identifiers(vip, packet);
    for (const [i, { path, id }] of found.entries()) {
      const real = this.#world.realById(vip.pool, id);
      if (real !== null) return { choice: chosen(real, path), missed: i > 0 };
    }
    return { choice: null, missed: found.length > 0 };
  }

  #key({ fragments }: Vip, { source, destination, protocol, sourcePort, destinationPort }: ModelFlow): string {
    const ports = fragments === 'hash' ? 'any' : `${sourcePort} ${destinationPort}`;
    return `${source.toString('hex')} ${destination.toString('hex')} ${protocol} ${ports}`;
  }

  #byCache(vip: Vip, { frame, transport, protocol }: Packet, flow: ModelFlow): Choice | null {
    if (!vip.flowCache) return null;
    const begins = protocol === TCP && vip.fragments !== 'hash' && (frame[transport + 13]! & (SYN | ACK)) === SYN;
    const real = begins ? undefined : this.#cache.get(this.#key(vip, flow));
    return real === undefined ? null : chosen(real, 'cache');
  }

  /** Steps 8 and 9. */
  #byRing(vip: Vip, flow: ModelFlow): Choice {
    const client = this.#world.clientPool(vip, flow.source);
    const pool = client ?? vip.pool;
    const slot = slotOfHash(this.#world.hash.of(vip.hash === '5-tuple' ? modeOf(vip) : vip.hash, flow));
    return { real: this.#world.ringReal(pool, slot), pool, path: client === null ? 'ring' : 'prefix', slot };
  }

  #newFlow(vip: Vip, flow: ModelFlow): Choice {
    const choice = this.#byRing(vip, flow);
    if (choice.real !== null && vip.flowCache) this.#cache.set(this.#key(vip, flow), choice.real);
    return choice;
  }

  #send(packet: Packet, vip: Vip, choice: Choice, route: Omit<Route, 'real'>): Outcome {
    const { real, pool, path, slot } = choice;
    const asked = { ...nobody, vip: vip.name, pool, slot };
    if (real === null) return { ...asked, action: 'DROP', reason: 'no_real', frame: null };
    return { ...asked, ...send(this.#world, packet, { ...route, real }), real: real.address, path };
  }
}
