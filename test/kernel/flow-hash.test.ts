import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import type { Flow } from '../../src/core/flow-hash.ts';
import { flowHash, flowKeys, slotOf } from '../../src/core/flow-hash.ts';
import { decode, encode, indexKey } from '../../src/dataplane/codec.ts';
import { ethernet, etherTypes, ipv4, ipv6, parseEthernet, parseIpv4, tcp, udp } from '../support/frames.ts';
import { ProgramBench, settings, target } from '../support/program-bench.ts';

/**
 * The program’s flow hash against the published vectors and against the reference in TypeScript. The slot is read off
 * the reals that two rings lead to; the low half of the hash off the flow cache.
 */

interface Vector extends Flow {
  readonly seed: string;
  /** 64 bits as 16 hex digits. */
  readonly hash: string;
  readonly slot: number;
}

const file = new URL('../support/flow-hash-vectors.json', import.meta.url);
const { flows: vectors } = JSON.parse(readFileSync(file, 'utf8')) as { flows: readonly Vector[] };

/** Without a common divisor, and their product exceeds the number of slots: both remainders tell the slot. */
const MODULI = [257, 256] as const;

const addressOf = (number: number): string => `10.1.${number >> 8}.${number & 0xff}`;
const numberOf = (address: string): number => {
  const [, , high = 0, low = 0] = address.split('.').map(Number);
  return high * 256 + low;
};

let bench: ProgramBench;

beforeAll(async () => {
  // One bucket: what a packet left behind is in its first entry.
  bench = await ProgramBench.load({ flowsPerCpu: 8 });
  for (let number = 1; number <= MODULI[0]; number++)
    await bench.apply({ op: 'put-real', number, real: { address: addressOf(number), pool: 0, generation: 0 } });
});

afterAll(() => bench[Symbol.dispose]());

function setKeys(seed: string): Promise<void> {
  const hashKeys = Array.from(flowKeys(seed), (key) => key.toString(16).padStart(16, '0')).join(',');
  return bench.apply({ op: 'settings', settings: { ...settings, hashKeys } });
}

async function serve({ destination, destinationPort, protocol }: Flow): Promise<void> {
  const { vips } = target({ [`${destination}|${destinationPort}|${protocol}`]: 'web' }, {});
  for (const vip of vips.values())
    await bench.apply(
      { op: 'put-address', address: destination, protocols: new Set(['tcp', 'udp']) },
      { op: 'put-vip', vip, record: { number: 0, pool: 0 }, fresh: false },
    );
}

function frameOf(flow: Flow): Uint8Array {
  const segment = (flow.protocol === 'tcp' ? tcp : udp)({ from: flow.sourcePort, to: flow.destinationPort });
  if (isIPv4(flow.source)) return ethernet(ipv4({ from: flow.source, to: flow.destination }, segment));
  return ethernet(ipv6(addressBytes(flow.source), addressBytes(flow.destination), segment), { type: etherTypes.ipv6 });
}

function swapRing(modulus: number): Promise<unknown> {
  const fill = (slots: Uint16Array): void => {
    for (let slot = 0; slot < slots.length; slot++) slots[slot] = 1 + (slot % modulus);
  };
  return bench.store.swapRings([{ pool: 0, fill }]);
}

/** Which remainder the real tells that a new flow goes to, and the flow cache’s tag: the low half of the hash. */
function ask(flow: Flow): { remainder: number; tag: bigint } {
  const bucket = indexKey(bench.cpu);
  bench.store.put('flows', bucket, encode('pf_flow_bucket', { entry: [] }));
  const sent = bench.send(frameOf(flow));
  expect(sent.reason).toBe('forwarded');
  const remainder = numberOf(parseIpv4(parseEthernet(sent.frame).payload).to) - 1;
  const value = bench.store.get('flows', bucket);
  const entry = value === null ? 0n : (decode('pf_flow_bucket', value).entry[0] ?? 0n);
  return { remainder, tag: entry & 0xffffffffn };
}

describe('the program’s flow hash', () => {
  it('has vectors to be compared with, of both protocols and several seeds', () => {
    expect(vectors.length).toBeGreaterThanOrEqual(8);
    expect(new Set(vectors.map(({ protocol }) => protocol)).size).toBe(2);
    expect(new Set(vectors.map(({ seed }) => seed)).size).toBeGreaterThan(1);
  });

  it.each(MODULI)('leads every vector to its slot, by a ring of %i reals', async (modulus) => {
    await swapRing(modulus);
    for (const vector of vectors) {
      await setKeys(vector.seed);
      await serve(vector);
      const { remainder, tag } = ask(vector);
      expect({ vector, remainder }).toEqual({ vector, remainder: vector.slot % modulus });
      expect(tag).toBe(BigInt(`0x${vector.hash}`) & 0xffffffffn);
      const vip = `${vector.destination}|${vector.destinationPort}|${vector.protocol}` as const;
      await bench.apply({ op: 'delete-vip', id: vip }, { op: 'delete-address', address: vector.destination });
    }
  });

  it.each(MODULI)('is that of the reference for random flows, by a ring of %i reals', async (modulus) => {
    await swapRing(modulus);
    const seed = 'c0ffee';
    const keys = flowKeys(seed);
    await setKeys(seed);
    const destination = '192.0.2.10';
    for (const protocol of ['tcp', 'udp'] as const)
      await serve({ destination, destinationPort: 0, protocol, source: destination, sourcePort: 0 });
    const flow = fc.record({
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      source: fc.ipV4(),
      sourcePort: fc.nat(0xffff),
      destination: fc.constant(destination),
      destinationPort: fc.nat(0xffff),
    });
    fc.assert(
      fc.property(flow, (random) => {
        const hash = flowHash(keys, random);
        expect(ask(random)).toEqual({ remainder: slotOf(hash) % modulus, tag: hash & 0xffffffffn });
      }),
      { numRuns: 1000 },
    );
  });
});
