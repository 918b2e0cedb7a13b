import { isIPv6Address } from './address.ts';
import type { RealEncap, TunnelEnd } from './data-plane.ts';
import type { Address, Pool } from './model.ts';

/** What a pool says about the way to its reals. */
export type PoolEncap = Pick<Pool, 'encap' | 'guePort' | 'gueChecksum'>;

/** What this host knows about its surroundings. */
export interface Surroundings {
  /** Addresses of this host: a real that has one of them is passed up. */
  readonly local: ReadonlySet<Address>;
  /** Tunnels that end here. */
  readonly tunnels: readonly TunnelEnd[];
  /** MAC addresses of reals on the same segment, for encap `l2`, as far as they are known. */
  readonly neighbours: ReadonlyMap<Address, string>;
}

/** Bytes of headers. */
const OUTER_V4 = 20;
const OUTER_V6 = 40;
const OUTER_UDP = 8;

/** How many bytes longer packets to a real are than what they carry. */
export function outerBytes(real: Address, { kind }: RealEncap): number {
  if (kind !== 'ipip' && kind !== 'gue') return 0;
  return (isIPv6Address(real) ? OUTER_V6 : OUTER_V4) + (kind === 'gue' ? OUTER_UDP : 0);
}

const UNKNOWN_MAC = '00:00:00:00:00:00';

/** How packets get from this host to a real. A packet to this host itself needs no outer header, whatever its pool says. */
export function realEncap(address: Address, pool: PoolEncap, host: Surroundings): RealEncap {
  // What is sent to a tunnel’s end here would be opened and balanced again, for ever.
  if (host.local.has(address) || host.tunnels.some((end) => end.address === address)) return { kind: 'local' };
  switch (pool.encap) {
    case 'ipip':
      return { kind: 'ipip' };
    case 'gue':
      return { kind: 'gue', port: pool.guePort, checksum: pool.gueChecksum };
    case 'l2':
      return { kind: 'l2', mac: host.neighbours.get(address) ?? UNKNOWN_MAC };
  }
}
