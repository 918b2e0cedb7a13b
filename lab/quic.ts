/**
 * The little of QUIC that an LB gets to see: headers as RFC 8999 and RFC 9000 have them, and connection ids that carry
 * the id of a server. Nothing is encrypted, and there are no frames: what follows a header is text.
 */
import { randomBytes } from 'node:crypto';

/** Bytes of every connection id that is made here. */
const CID_BYTES = 8;

export const cidForms = ['katran-1', 'katran-2', 'katran-3', 'quic-lb'] as const;
/** katran’s three versions carry 16, 24 and 32 bits; the plaintext form of draft-ietf-quic-load-balancers here 32. */
export type CidForm = (typeof cidForms)[number];

/** A fresh connection id that says which server it belongs to; every other bit is random. */
export function connectionId(form: CidForm, serverId: number): Buffer {
  const cid = randomBytes(CID_BYTES);
  const keep = (index: number, random: number, fixed: number): void => {
    cid[index] = ((cid[index] ?? 0) & random) | fixed;
  };
  if (form === 'katran-1') {
    keep(0, 0, 0x40 | (serverId >> 10));
    keep(1, 0, (serverId >> 2) & 0xff);
    keep(2, 0x3f, (serverId & 3) << 6);
  } else if (form === 'katran-2') {
    keep(0, 0x3f, 0x80);
    cid.writeUIntBE(serverId, 1, 3);
  } else if (form === 'katran-3') {
    keep(0, 0x3f, 0xc0);
    cid.writeUInt32BE(serverId, 1);
  } else {
    // The highest three bits are the number of a configuration, of which 7 means that there is none.
    keep(0, 0x3f, 0x40);
    cid.writeUInt32BE(serverId, 1);
  }
  return cid;
}

const longTypes = { initial: 0xc0, handshake: 0xe0 } as const;
type LongType = keyof typeof longTypes;

/** What a datagram of a client has at least while the server’s address is unproven (RFC 9000, section 14.1). */
const INITIAL_BYTES = 1_200;

export function longPacket(type: LongType, destination: Buffer, source: Buffer, text: string): Buffer {
  const version = [0, 0, 0, 1];
  const head = [longTypes[type], ...version, destination.length, ...destination, source.length, ...source];
  const packet = Buffer.concat([Buffer.from(head), Buffer.from(text)]);
  return type === 'initial' ? Buffer.concat([packet], INITIAL_BYTES) : packet;
}

export function shortPacket(destination: Buffer, text: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), destination, Buffer.from(text)]);
}

export interface QuicPacket {
  readonly type: LongType | 'short';
  readonly destination: Buffer;
  /** Empty with a short header. */
  readonly source: Buffer;
  readonly text: string;
}

/** @param packet one that was made here */
export function readPacket(packet: Buffer): QuicPacket {
  const first = packet[0] ?? 0;
  if ((first & 0x80) === 0) {
    const destination = packet.subarray(1, 1 + CID_BYTES);
    return { type: 'short', destination, source: Buffer.alloc(0), text: packet.toString('utf8', 1 + CID_BYTES) };
  }
  const sourceAt = 6 + (packet[5] ?? 0);
  const textAt = sourceAt + 1 + (packet[sourceAt] ?? 0);
  return {
    type: first === longTypes.initial ? 'initial' : 'handshake',
    destination: packet.subarray(6, sourceAt),
    source: packet.subarray(sourceAt + 1, textAt),
    text: packet.toString('utf8', textAt).replace(/\0+$/, ''),
  };
}
