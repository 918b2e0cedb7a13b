import type { GivenWords } from './packet-vocabulary.ts';
import { refuse } from './packet-vocabulary.ts';

/** The smallest packet of QUIC that is worth an answer (RFC 9000, section 10.3). */
const SHORTEST_QUIC = 21;
/** First byte of a QUIC packet with a short header (RFC 9000, section 17.3.1). */
const QUIC_SHORT = 0x40;
/** First byte of a payload with a stable routing id, and how long the payload is at least. */
const STABLE = { mark: 0x52, shortest: 8 } as const;

/**
 * What is behind the transport header: what one of three words says, and zeros up to `len`.
 * @param text all of it, for messages
 * @throws PilotfishError PF_USAGE
 */
export function payloadOf(text: string, given: GivenWords): Uint8Array {
  const filling = given.all.filter((word) => word === 'payload' || word === 'cid' || word === 'stable');
  if (filling.length > 1)
    refuse(text, `${filling.join(' and ')} both say what the payload is`, 'leave out all but one of them');
  const id = given.bytes('cid');
  const stable = given.number('stable');
  let bytes = given.bytes('payload') ?? new Uint8Array();
  let shortest = 0;
  if (id !== null) {
    bytes = Uint8Array.of(QUIC_SHORT, ...id);
    shortest = SHORTEST_QUIC;
  } else if (stable !== null) {
    bytes = Uint8Array.of(STABLE.mark, stable >> 16, stable >> 8, stable);
    shortest = STABLE.shortest;
  }
  const length = given.number('len') ?? Math.max(shortest, bytes.length);
  if (length < bytes.length)
    refuse(text, `len ${length} is less than the ${bytes.length} bytes that are given`, 'leave out len');
  const payload = new Uint8Array(length);
  payload.set(bytes);
  return payload;
}
