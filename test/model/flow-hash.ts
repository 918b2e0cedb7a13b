import { createHash } from 'node:crypto';

/** The flow hash, from docs/reference/flow-hash.md alone. */

/** Numbers of the modes. */
const modes = { '5-tuple': 0n, source: 1n, 'dest-port': 2n, pair: 3n } as const;
export type Mode = keyof typeof modes;

export interface ModelFlow {
  /** 4 or 16 bytes. */
  readonly source: Buffer;
  /** As long as the source. */
  readonly destination: Buffer;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const MASK = (1n << 64n) - 1n;

function little(bytes: Uint8Array): bigint {
  let word = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) word = (word << 8n) | BigInt(bytes[at]!);
  return word;
}

/** A port as it stands in the packet, read by a little-endian machine. */
function asRead(port: number): bigint {
  return BigInt(((port & 0xff) << 8) | (port >> 8));
}

function words(mode: Mode, { source, destination, protocol, sourcePort, destinationPort }: ModelFlow): bigint[] {
  const high = BigInt(protocol) << 32n;
  if (mode === 'dest-port') return [asRead(destinationPort) | high];
  const v4 = source.length === 4;
  if (mode === 'source') return v4 ? [little(source)] : [little(source.subarray(0, 8)), little(source.subarray(8)), 0n];
  const ports = mode === 'pair' ? 0n : asRead(sourcePort) | (asRead(destinationPort) << 16n);
  const addresses = v4
    ? [little(Buffer.concat([source, destination]))]
    : [source.subarray(0, 8), destination.subarray(0, 8), source.subarray(8), destination.subarray(8)].map(little);
  return [...addresses, ports | high];
}

export class ModelHash {
  readonly #keys: readonly bigint[];

  /** @param seed in hex */
  constructor(seed: string) {
    const text = Buffer.concat([Buffer.from('pilotfish flow hash v1\0'), Buffer.from(seed, 'hex')]);
    const digest = createHash('sha512').update(text).digest();
    this.#keys = Array.from({ length: 8 }, (_, i) => little(digest.subarray(8 * i, 8 * i + 8)) | (i > 0 ? 1n : 0n));
  }

  of(mode: Mode, flow: ModelFlow): bigint {
    let h = this.#keys[0]! ^ modes[mode];
    for (const [i, word] of words(mode, flow).entries()) {
      h = ((h ^ word) * this.#keys[1 + i]!) & MASK;
      h ^= h >> 32n;
    }
    h = (h * this.#keys[6]!) & MASK;
    return h ^ (h >> 32n);
  }
}

export function slotOfHash(hash: bigint): number {
  return Number(((hash >> 32n) * 65_537n) >> 32n);
}
