import type { Address, QuicMode, Vip } from './model.ts';
import type { SegmentWords } from './packet-words.ts';
import type { Target } from './target.ts';

/** Ids of reals in packets, as docs/reference/packets.md reads them in step 6. */

/** What a rule is called in the desired state, and the path of a packet that it finds the real of. */
const rules = [
  { setting: 'quic', path: 'quic' },
  { setting: 'udpStableRouting', path: 'stable' },
  { setting: 'tcpServerId', path: 'option' },
] as const;

/** What one rule of the VIP makes of a packet. */
export interface ExplainedId {
  readonly setting: (typeof rules)[number]['setting'];
  readonly path: (typeof rules)[number]['path'];
  /** Null: the packet carries none by this rule. */
  readonly id: number | null;
  /** Whose it is among the reals of the VIP’s pools that keep their flows; null: nobody’s. */
  readonly real: { readonly address: Address; readonly pool: string } | null;
}

function bigEndian(bytes: Uint8Array): number {
  return bytes.reduce((number, byte) => number * 256 + byte, 0);
}

const LONG_HEADER = 0x80;
const PACKET_TYPE = 0x30;
/** Initial and 0-RTT: the connection id is still one that the client made up. */
const MADE_UP = new Set([0x00, 0x10]);
/** Bytes of a connection id that have to be there. */
const ID_BYTES = 8;

/** The connection id of a QUIC packet, its first bytes; null when it has none that a server chose. */
function connectionId(payload: Uint8Array): Uint8Array | null {
  const [first] = payload;
  if (first === undefined) return null;
  if ((first & LONG_HEADER) === 0) return payload.length > ID_BYTES ? payload.subarray(1, 1 + ID_BYTES) : null;
  const whole = payload.length >= 6 + ID_BYTES && payload[5]! >= ID_BYTES;
  return whole && !MADE_UP.has(first & PACKET_TYPE) ? payload.subarray(6, 6 + ID_BYTES) : null;
}

/** The id in a connection id: two bits say how long it is, or, with quic-lb, three bits whether it is there. */
function quicId(mode: QuicMode, payload: Uint8Array): number | null {
  const cid = connectionId(payload);
  if (cid === null || mode === 'off') return null;
  const first = cid[0]!;
  if (mode === 'quic-lb') return first >> 5 === 7 ? null : bigEndian(cid.subarray(1, 5));
  switch (first >> 6) {
    case 1:
      return (bigEndian(cid.subarray(0, 3)) >> 6) & 0xffff;
    case 2:
      return bigEndian(cid.subarray(1, 4));
    case 3:
      return bigEndian(cid.subarray(1, 5));
    default:
      return null;
  }
}

const STABLE_MARK = 0x52;
const STABLE_BYTES = 8;

function stableId(payload: Uint8Array): number | null {
  return payload[0] === STABLE_MARK && payload.length >= STABLE_BYTES ? bigEndian(payload.subarray(1, 4)) : null;
}

/**
 * The rules that the VIP has, in the order that they are tried in, each with what it finds in the packet. Empty for
 * fragments, which have none. A TCP SYN has no id either: that is for the caller to know.
 */
export function explainIds(packet: SegmentWords, vip: Vip, { serverIds }: Pick<Target, 'serverIds'>): ExplainedId[] {
  if (packet.fragment !== null) return [];
  const { payload, serverId } = packet;
  const ids = { quic: quicId(vip.quic, payload), udpStableRouting: stableId(payload), tcpServerId: serverId };
  const on = { quic: vip.quic !== 'off', udpStableRouting: vip.udpStableRouting, tcpServerId: vip.tcpServerId };
  return rules
    .filter(({ setting }) => on[setting])
    .map(({ setting, path }) => {
      const id = ids[setting];
      const key = id === null ? undefined : serverIds.get(vip.pool)?.get(id);
      const [pool = '', address = ''] = key?.split('|', 2) ?? [];
      return { setting, path, id, real: key === undefined ? null : { address, pool } };
    });
}
