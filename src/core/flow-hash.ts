import { addressBytes } from './address.ts';
import { RING_SLOTS } from './data-plane.ts';
import type { Address, HashMode, Protocol, Vip } from './model.ts';
import { deriveKeys } from './seed.ts';

/**
 * The flow hash as docs/reference/flow-hash.md defines it: a public contract that the BPF program computes in C.
 * This is the readable reference, not the fast one.
 */

/** IANA protocol numbers. */
const protocolNumbers: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 };

/** What a packet says about the flow it belongs to. */
export interface Flow {
  readonly protocol: Protocol;
  readonly source: Address;
  /** 0 to 65535. */
  readonly sourcePort: number;
  /** Of the same family as the source. */
  readonly destination: Address;
  /** 0 to 65535. */
  readonly destinationPort: number;
}

/** What of a flow is hashed. `pair`: all but the ports, which fragments do not have. */
export type FlowMode = HashMode | 'pair';

/** Every mode starts from another state, so that no flow of one meets a flow of another. */
const modeNumbers: Readonly<Record<FlowMode, number>> = { '5-tuple': 0, source: 1, 'dest-port': 2, pair: 3 };

/** The mode that chooses the ring slot of a VIP’s flows. */
export function slotMode({ hash, fragments }: Pick<Vip, 'hash' | 'fragments'>): FlowMode {
  return fragments === 'hash' && hash === '5-tuple' ? 'pair' : hash;
}

/** The mode that the flow cache knows a VIP’s flows by, and that varies outer headers. */
export function cacheMode({ fragments }: Pick<Vip, 'fragments'>): FlowMode {
  return fragments === 'hash' ? 'pair' : '5-tuple';
}

const FINAL_KEY = 6;

/**
 * The eight keys of a seed. All but the first are odd: multiplying by an odd number modulo 2^64 loses nothing.
 * @param seed 1 to 16 bytes in hex
 * @throws PilotfishError PF_STATE when it is not
 */
export function flowKeys(seed: string): BigUint64Array {
  return deriveKeys(seed, 'flow hash').map((word, i) => (i === 0 ? word : word | 1n));
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((word, byte) => (word << 8n) | BigInt(byte), 0n);
}

function portBytes(port: number): readonly [number, number] {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw new RangeError(`${port} is no port`);
  return [port >> 8, port & 0xff];
}

/**
 * Source and destination of an IPv6 packet take turns. Two neighbouring words can cancel each other out whatever the
 * keys are, and the sender must not be free to choose both.
 */
function addressWords(source: Uint8Array, destination: Uint8Array): bigint[] {
  if (source.length === 4) return [littleEndian(source) | (littleEndian(destination) << 32n)];
  return [source.subarray(0, 8), destination.subarray(0, 8), source.subarray(8), destination.subarray(8)].map(
    littleEndian,
  );
}

/** The words of a flow that a mode hashes. The protocol stands above the ports. */
function flowWords(flow: Flow, mode: FlowMode): bigint[] {
  const source = addressBytes(flow.source);
  const destination = addressBytes(flow.destination);
  if (source.length !== destination.length)
    throw new RangeError(`${flow.source} and ${flow.destination} are not of one family`);
  const protocol = BigInt(protocolNumbers[flow.protocol]) << 32n;
  const to = portBytes(flow.destinationPort);
  const ports = littleEndian(Uint8Array.of(...portBytes(flow.sourcePort), ...to));
  switch (mode) {
    case '5-tuple':
      return [...addressWords(source, destination), ports | protocol];
    case 'pair':
      return [...addressWords(source, destination), protocol];
    case 'source':
      return source.length === 4
        ? [littleEndian(source)]
        : [littleEndian(source.subarray(0, 8)), littleEndian(source.subarray(8)), 0n];
    case 'dest-port':
      return [littleEndian(Uint8Array.of(...to)) | protocol];
  }
}

/**
 * The 64-bit hash of a flow.
 * @param keys of `flowKeys`
 * @throws PilotfishError PF_STATE when an address is none; RangeError when the families differ or a port is none
 */
export function flowHash(keys: BigUint64Array, flow: Flow, mode: FlowMode): bigint {
  const step = (hash: bigint, word: bigint, key: bigint): bigint => {
    const product = BigInt.asUintN(64, (hash ^ word) * key);
    return product ^ (product >> 32n);
  };
  const start = keys[0]! ^ BigInt(modeNumbers[mode]);
  const mixed = flowWords(flow, mode).reduce((hash, word, i) => step(hash, word, keys[1 + i]!), start);
  return step(mixed, 0n, keys[FINAL_KEY]!);
}

/** The ring slot that a hash leads to, 0 to 65,536: its upper half spread over the slots by multiplication. */
export function slotOf(hash: bigint): number {
  return Number(((hash >> 32n) * BigInt(RING_SLOTS)) >> 32n);
}
