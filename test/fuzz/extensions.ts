import type { Extension } from './layers.ts';
import type { Random } from './random.ts';

/** IPv6 extension headers (RFC 8200, section 4; RFC 4302 for 51). */

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION = 60;

/** @param units of 8 bytes after the first 8 */
function padded(type: number, units: number): Extension {
  const bytes = Buffer.alloc(8 + 8 * units);
  bytes[1] = units;
  // PadN options; one holds up to 257 bytes.
  for (let at = 2; at < bytes.length; ) {
    const length = Math.min(bytes.length - at, 257);
    if (length === 1) break;
    bytes[at] = 1;
    bytes[at + 1] = length - 2;
    at += length;
  }
  return { type, bytes };
}

function routing(random: Random, units: number): Extension {
  const bytes = random.bytes(8 + 8 * units);
  // An experimental type, at its end: the destination is the final one.
  bytes.set([0, units, 253, 0]);
  return { type: ROUTING, bytes };
}

/** @param units of 4 bytes after the first 12: RFC 4302 asks for an even number in all */
function authentication(random: Random, units: number): Extension {
  const bytes = random.bytes(12 + 4 * units);
  bytes[1] = bytes.length / 4 - 2;
  return { type: AUTHENTICATION, bytes };
}

/** @param offset in units of 8 bytes */
export function fragmentHeader(random: Random, offset: number, more: boolean): Extension {
  const bytes = random.bytes(8);
  bytes[1] = 0;
  bytes.writeUInt16BE(offset * 8 + (more ? 1 : 0), 2);
  return { type: FRAGMENT, bytes };
}

/** Chains of usual length, and those about the limits of six headers and 512 bytes. */
export function extensionChain(random: Random): Extension[] {
  const count = random.weighted([
    [6, random.between(1, 3)],
    [1, 6],
    [1, 7],
  ]);
  const units = (): number => (random.chance(0.1) ? random.pick([13, 20, 61, 62, 63, 64, 255]) : random.below(3));
  const chain = Array.from({ length: count }, () =>
    random.weighted([
      [3, (): Extension => padded(HOP_BY_HOP, units())],
      [3, (): Extension => padded(DESTINATION, units())],
      [2, (): Extension => routing(random, units())],
      [2, (): Extension => authentication(random, random.chance(0.7) ? 1 + 2 * random.below(3) : random.below(8))],
      [2, (): Extension => fragmentHeader(random, 0, false)],
    ])(),
  );
  // Of all bytes that such a header may have at random, its length alone has to be right.
  if (random.chance(0.1)) for (const { bytes } of chain) bytes.fill(0xff, 4);
  return chain;
}
