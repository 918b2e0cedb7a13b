import { addressBytes, addressFromBytes, isIPv6Address, parsePrefix } from './address.ts';
import type { RealEncap, SettingsImage } from './data-plane.ts';
import type { Address } from './model.ts';
import { outerBytes } from './real-encap.ts';

/** How a packet gets to its real: docs/reference/packets.md, step 10. */

export interface Sending {
  readonly encap: RealEncap['kind'];
  /** Addresses and, with GUE, ports of the outer header; null where there is none. */
  readonly outer: {
    readonly source: Address;
    readonly destination: Address;
    readonly sourcePort: number | null;
    readonly destinationPort: number | null;
  } | null;
  /** Destination of the frame: the gateway’s, or the real’s with `l2`; all zero: not known. Null without a link, and for a local real. */
  readonly mac: string | null;
  /** Bytes that are added. */
  readonly overhead: number;
  /** Bytes of the largest IP packet that can be sent. Null as above. */
  readonly largest: number | null;
}

const UNKNOWN_MAC = '00:00:00:00:00:00';

/** The prefix with its host bits filled from the hash: its low bytes at the end of the address, lowest first. */
function outerSource(prefix: string, hash: bigint): Address {
  const { address, length } = parsePrefix(prefix);
  const bytes = addressBytes(address);
  const byteOfHash = (i: number): number => Number((hash >> BigInt(8 * i)) & 0xffn);
  const filled = bytes.map((byte, i) => {
    const fromEnd = bytes.length - 1 - i;
    const host = 0xff >> Math.min(8, Math.max(0, length - 8 * i));
    if (fromEnd < 4) return byte | (byteOfHash(3 - fromEnd) & host);
    return fromEnd < 8 ? byte | (byteOfHash(11 - fromEnd) & host) : byte;
  });
  return addressFromBytes(filled);
}

/**
 * @param hash of the mode that outer headers vary by
 * @param linkKnown false: MTU and MAC addresses are not those of any link
 */
export function explainSending(
  real: Address,
  encap: RealEncap,
  hash: bigint,
  settings: Pick<SettingsImage, 'outerV4' | 'outerV6' | 'gatewayMac' | 'mtu'>,
  linkKnown: boolean,
): Sending {
  if (encap.kind === 'local') return { encap: 'local', outer: null, mac: null, overhead: 0, largest: null };
  const link = linkKnown ? settings : null;
  if (encap.kind === 'l2')
    return { encap: 'l2', outer: null, mac: link === null ? null : encap.mac, overhead: 0, largest: link?.mtu ?? null };
  const v6 = isIPv6Address(real);
  const gue = encap.kind === 'gue';
  const overhead = outerBytes(real, encap);
  const outer = {
    source: outerSource(v6 ? settings.outerV6 : settings.outerV4, hash),
    destination: real,
    sourcePort: gue ? 49_152 + Number((hash >> 48n) & 0x3fffn) : null,
    destinationPort: gue ? encap.port : null,
  };
  const largest = link === null ? null : Math.max(0, link.mtu - overhead);
  return { encap: encap.kind, outer, mac: link?.gatewayMac ?? null, overhead, largest };
}

/** What becomes of a packet of a size that fits. */
export function sendingReason({ encap, mac }: Sending): 'forwarded' | 'local_real' | 'no_gateway' | 'no_neighbour' {
  if (encap === 'local') return 'local_real';
  if (mac !== UNKNOWN_MAC) return 'forwarded';
  return encap === 'l2' ? 'no_neighbour' : 'no_gateway';
}
