import { describe, expect, it } from 'vitest';
import { type CidForm, connectionId, longPacket, readPacket, shortPacket } from '../../lab/quic.ts';

/** The bits of a connection id, highest first. */
function bitsOf(cid: Buffer): string {
  return cid.readBigUInt64BE().toString(2).padStart(64, '0');
}

/** A form, its largest id, the bits before the id and their number: as docs/reference/packets.md has them. */
const forms: readonly [CidForm, number, RegExp, number, number][] = [
  ['katran-1', 2 ** 16 - 1, /^01/, 2, 16],
  ['katran-2', 2 ** 24 - 1, /^10/, 8, 24],
  ['katran-3', 2 ** 32 - 1, /^11/, 8, 32],
  ['quic-lb', 2 ** 32 - 1, /^(?!111)/, 8, 32],
];

describe('the lab’s connection ids', () => {
  it.each(forms)('carry the id of a server in the form %s', (form, largest, head, at, width) => {
    for (const id of [0, 1, 2 ** (width - 1), 0xa5c3, largest]) {
      for (let again = 0; again < 20; again++) {
        const bits = bitsOf(connectionId(form, id));
        expect(bits).toMatch(head);
        expect(Number.parseInt(bits.slice(at, at + width), 2)).toBe(id);
      }
    }
  });

  it('differ from connection to connection', () => {
    const cids = Array.from({ length: 50 }, () => connectionId('katran-3', 7).toString('hex'));
    expect(new Set(cids).size).toBe(50);
  });
});

describe('the lab’s QUIC packets', () => {
  const destination = Buffer.from('0102030405060708', 'hex');
  const source = Buffer.from('a1a2a3', 'hex');

  it('are read as they were made', () => {
    for (const type of ['initial', 'handshake'] as const)
      expect(readPacket(longPacket(type, destination, source, 'text'))).toEqual({
        type,
        destination,
        source,
        text: 'text',
      });
    expect(readPacket(shortPacket(destination, 'text'))).toEqual({
      type: 'short',
      destination,
      source: Buffer.alloc(0),
      text: 'text',
    });
  });

  it('have headers as RFC 9000 draws them', () => {
    expect(longPacket('handshake', destination, source, '').toString('hex')).toBe(
      `e0${'00000001'}${'08'}0102030405060708${'03'}a1a2a3`,
    );
    expect(longPacket('initial', destination, source, '').length).toBe(1_200);
    expect(longPacket('initial', destination, source, '')[0]).toBe(0xc0);
    expect(shortPacket(destination, '').toString('hex')).toBe('400102030405060708');
  });
});
