import type { Vip } from '../../src/core/model.ts';
import { type Packet, TCP, UDP } from './packet.ts';

/** Step 6: what ids a packet carries, in the order in which they are tried. */

export interface Identifier {
  readonly path: 'quic' | 'stable' | 'option';
  readonly id: number;
}

function connectionId(payload: Buffer): Buffer | null {
  if (payload.length === 0) return null;
  const first = payload[0]!;
  if ((first & 0x80) === 0) return payload.length >= 9 ? payload.subarray(1) : null;
  const type = first & 0x30;
  if (payload.length < 14 || type === 0x00 || type === 0x10 || payload[5]! < 8) return null;
  return payload.subarray(6);
}

function katranId(id: Buffer): number | null {
  const version = id[0]! >> 6;
  if (version === 1) return (id.readUIntBE(0, 3) >> 6) & 0xffff;
  if (version === 2) return id.readUIntBE(1, 3);
  return version === 3 ? id.readUInt32BE(1) : null;
}

function quicId({ quic }: Vip, payload: Buffer): number | null {
  const id = quic === 'off' ? null : connectionId(payload);
  if (id === null) return null;
  if (quic === 'katran') return katranId(id);
  return id[0]! >> 5 === 7 ? null : id.readUInt32BE(1);
}

const SYN = 0x02;
const ID_OPTION = 0xb7;
const MOST_OPTIONS = 15;

function optionId(segment: Buffer): number | null {
  const end = (segment[12]! >> 4) * 4;
  if ((segment[13]! & SYN) !== 0 || end > segment.length) return null;
  let at = 20;
  for (let seen = 0; seen < MOST_OPTIONS && at < end; seen++) {
    const kind = segment[at];
    if (kind === 0) return null;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = at + 1 < end ? segment[at + 1]! : 0;
    if (length < 2 || at + length > end) return null;
    if (kind === ID_OPTION && length === 6) return segment.readUInt32BE(at + 2);
    at += length;
  }
  return null;
}

export function identifiers(vip: Vip, { frame, transport, end, protocol }: Packet): readonly Identifier[] {
  const segment = frame.subarray(transport, end);
  const found: Identifier[] = [];
  if (protocol === UDP) {
    const payload = segment.subarray(8);
    const quic = quicId(vip, payload);
    if (quic !== null) found.push({ path: 'quic', id: quic });
    if (vip.udpStableRouting && payload.length >= 8 && payload[0] === 0x52)
      found.push({ path: 'stable', id: payload.readUIntBE(1, 3) });
  }
  const option = protocol === TCP && vip.tcpServerId ? optionId(segment) : null;
  if (option !== null) found.push({ path: 'option', id: option });
  return found;
}
