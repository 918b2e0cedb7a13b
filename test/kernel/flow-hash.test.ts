import { isIPv4 } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import type { Flow, FlowMode } from '../../src/core/flow-hash.ts';
import { cacheMode, flowHash, flowKeys, slotMode, slotOf } from '../../src/core/flow-hash.ts';
import type { Protocol, Vip } from '../../src/core/model.ts';
import { hashModes } from '../../src/core/model.ts';
import { decode, indexKey } from '../../src/dataplane/codec.ts';
import vectors from '../support/flow-hash-vectors.json' with { type: 'json' };
import { ethernet, etherTypes, ipv4, ipv6, parseEthernet, parseIpv6, tcp, udp } from '../support/frames.ts';
import { ProgramBench, target } from '../support/program-bench.ts';

/**
 * The program’s flow hash against the published vectors and against the reference in TypeScript. The slot is what the
 * program writes down of itself; all 64 bits of the flow’s own hash are in the source of an outer IPv6 header.
 */

interface Vector extends Flow {
  readonly seed: string;
  /** 64 bits as 16 hex digits. */
  readonly hash: string;
  readonly slot: number;
}

interface ModeVector extends Vector {
  readonly mode: FlowMode;
}

/** JSON says of a word only that it is text. */
const inTuple = vectors.flows as readonly (Vector & { readonly protocol: Protocol })[];
const inModes = vectors.modes as readonly ModeVector[];
const all: readonly ModeVector[] = [...inTuple.map((vector) => ({ ...vector, mode: '5-tuple' as const })), ...inModes];

/** What a VIP has to say for its flows to be hashed in this mode. */
const fieldsFor: Readonly<Record<FlowMode, Partial<Vip>>> = {
  '5-tuple': {},
  source: { hash: 'source' },
  'dest-port': { hash: 'dest-port' },
  pair: { fragments: 'hash' },
};

let bench: ProgramBench;

beforeAll(async () => {
  bench = await ProgramBench.load({ tracing: true });
});

afterAll(() => bench[Symbol.dispose]());

async function serve(flow: Pick<Flow, 'destination' | 'protocol'>, port: number, fields: Partial<Vip>, seed: string) {
  const hashKeys = Array.from(flowKeys(seed), (key) => key.toString(16).padStart(16, '0')).join(',');
  const vip = { pool: 'web', flowCache: false, ...fields };
  const vips = { [`${flow.destination}|${port}|${flow.protocol}`]: vip };
  await bench.converge(target(vips, { web: ['2001:db8:77::1'] }, { hashKeys, outerV6: '::/64' }));
}

function frameOf(flow: Flow): Uint8Array {
  const segment = (flow.protocol === 'tcp' ? tcp : udp)({ from: flow.sourcePort, to: flow.destinationPort });
  if (isIPv4(flow.source)) return ethernet(ipv4({ from: flow.source, to: flow.destination }, segment));
  return ethernet(ipv6(addressBytes(flow.source), addressBytes(flow.destination), segment), { type: etherTypes.ipv6 });
}

/** The slot that the program chose, and the hash that the outer header is filled from. */
function ask(flow: Flow): { slot: number; outer: bigint } {
  const sent = bench.send(frameOf(flow));
  expect(sent.reason).toBe('forwarded');
  const { from } = parseIpv6(parseEthernet(sent.frame).payload);
  const view = new DataView(from.buffer, from.byteOffset, 16);
  const outer = BigInt(view.getUint32(12, true)) | (BigInt(view.getUint32(8, true)) << 32n);
  const decision = decode('pf_decision', bench.store.get('decisions', indexKey(0)) ?? new Uint8Array());
  return { slot: decision.slot - 1, outer };
}

describe('the program’s flow hash', () => {
  it('leads every vector of every mode to its slot', async () => {
    expect(new Set(all.map(({ mode }) => mode)).size).toBe(4);
    for (const { seed, hash, slot, mode, ...flow } of all) {
      await serve(flow, flow.destinationPort, fieldsFor[mode], seed);
      const asked = ask(flow);
      expect({ flow, mode, slot: asked.slot }).toEqual({ flow, mode, slot });
      if (mode === '5-tuple' || mode === 'pair') expect(asked.outer).toBe(BigInt(`0x${hash}`));
    }
  });

  const addresses = {
    4: { source: fc.ipV4(), destination: '192.0.2.10' },
    6: {
      source: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) =>
        Buffer.from(bytes)
          .toString('hex')
          .replaceAll(/(....)(?!$)/g, '$1:'),
      ),
      destination: '2001:db8:ffff::10',
    },
  } as const;
  const settings = hashModes.flatMap((hash) => (['drop', 'hash'] as const).map((fragments) => ({ hash, fragments })));
  const cases = settings.flatMap((fields) =>
    ([4, 6] as const).flatMap((family) =>
      (['tcp', 'udp'] as const).map((protocol) => ({ ...fields, family, protocol })),
    ),
  );

  it.each(cases)(
    'is that of the reference for random flows: hash $hash, fragments $fragments, IPv$family, $protocol',
    async ({ family, protocol, ...fields }) => {
      const { source, destination } = addresses[family];
      const seed = 'c0ffee';
      const keys = flowKeys(seed);
      await serve({ destination, protocol }, 0, fields, seed);
      const flow = fc.record({
        protocol: fc.constant(protocol),
        source,
        sourcePort: fc.nat(0xffff),
        destination: fc.constant(destination),
        destinationPort: fc.nat(0xffff),
      });
      fc.assert(
        fc.property(flow, (random) => {
          const slot = slotOf(flowHash(keys, random, slotMode(fields)));
          expect(ask(random)).toEqual({ slot, outer: flowHash(keys, random, cacheMode(fields)) });
        }),
        { numRuns: 200 },
      );
    },
  );
});
