import fc from 'fast-check';
import type { Observation, RealKey, Snapshot } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';

/** Arbitrary edits of the desired state, mistakes among them, and arbitrary health. */

const poolArb = fc.constantFrom('a', 'b', 'c');
const check = { type: 'tcp', port: 80 };

const endpointArb = fc.record({
  address: fc.constantFrom('192.0.2.1', '192.0.2.2', '192.0.2.0/30', '192.0.2.2/31'),
  port: fc.constantFrom<unknown>(0, 80, 443, 'eighty'),
  protocol: fc.constantFrom('tcp', 'udp'),
  pool: poolArb,
});

const clientArb = fc.record({
  prefix: fc.constantFrom('198.51.100.0/24', '198.51.100.128/25', '0.0.0.0/0'),
  pool: poolArb,
});

/** Some of them are for one protocol alone. */
const vipOptionsArb = fc.record(
  {
    hash: fc.constantFrom('5-tuple', 'source', 'dest-port'),
    flowCache: fc.boolean(),
    udpTimeout: fc.constantFrom('2s', '30m'),
    quic: fc.constantFrom('off', 'katran', 'quic-lb'),
    tcpServerId: fc.boolean(),
    icmpEcho: fc.boolean(),
    fragments: fc.constantFrom('drop', 'hash'),
    clients: fc.uniqueArray(clientArb, { maxLength: 2, selector: ({ prefix }) => prefix }),
  },
  { requiredKeys: [] },
);

const vipArb = fc.oneof(
  endpointArb,
  fc.tuple(endpointArb, vipOptionsArb).map(([endpoint, options]) => ({ ...endpoint, ...options })),
);

const encapArb = fc.constantFrom<object>(
  {},
  { encap: 'gue' },
  { encap: 'gue', guePort: 6081, gueChecksum: false },
  { encap: 'l2' },
);

const poolPolicyArb = fc.record({
  checks: fc.constant([check]),
  onDown: fc.constantFrom('keep', 'rehash'),
  removeAfter: fc.constantFrom('0s', '1s', '1m'),
  minHealthy: fc.constantFrom<unknown>('0%', '50%', '100%', 7),
});

const poolValueArb = fc.tuple(encapArb, poolPolicyArb).map(([encap, policy]) => ({ ...encap, ...policy }));

const realArb = fc.record({
  address: fc.integer({ min: 1, max: 6 }).map((i) => `10.0.0.${i}`),
  weight: fc.constantFrom<unknown>(0, 1, 100, -1),
  state: fc.constantFrom('active', 'drain', 'maintenance'),
  serverIds: fc.uniqueArray(fc.integer({ min: 1, max: 8 }), { maxLength: 2 }),
});

const name = (prefix: string) => fc.integer({ min: 1, max: 4 }).map((i) => `${prefix}${i}`);

function entryArb(key: fc.Arbitrary<string>, value: fc.Arbitrary<unknown>) {
  const text = fc.oneof(
    { weight: 8, arbitrary: value.map((v): string | null => JSON.stringify(v)) },
    { weight: 2, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constant('{') },
  );
  return fc.tuple(key, text);
}

/** What the edits start from, so that most of them meet something. */
export function startKeys(): Map<string, string> {
  const values = {
    'desired/pools/a': { checks: [check], removeAfter: '1m' },
    'desired/pools/a/reals/r1': { address: '10.0.0.1', serverIds: [1] },
    'desired/pools/a/reals/r2': { address: '10.0.0.2', weight: 1 },
    'desired/pools/b': { checks: [check], onDown: 'rehash', removeAfter: '1m' },
    'desired/pools/b/reals/r1': { address: '10.0.0.1', serverIds: [7] },
    'desired/vips/v1': { address: '192.0.2.1', port: 80, protocol: 'tcp', pool: 'a' },
    'desired/vips/v2': { address: '192.0.2.1', port: 443, protocol: 'tcp', pool: 'b', tcpServerId: true },
  };
  return new Map(Object.entries(values).map(([key, value]) => [key, JSON.stringify(value)]));
}

/** A key below desired/ and what is put there; null: it is deleted. */
export const editArb: fc.Arbitrary<readonly [key: string, value: string | null]> = fc.oneof(
  entryArb(
    poolArb.map((p) => `desired/pools/${p}`),
    poolValueArb,
  ),
  entryArb(
    fc.tuple(poolArb, name('r')).map(([p, r]) => `desired/pools/${p}/reals/${r}`),
    realArb,
  ),
  entryArb(
    name('v').map((v) => `desired/vips/${v}`),
    vipArb,
  ),
  entryArb(
    fc.tuple(poolArb, name('r')).map(([p, r]) => `desired/overrides/${p}/${r}`),
    fc.record({ state: fc.constantFrom('drain', 'maintenance') }),
  ),
  entryArb(
    fc.constant('desired/settings'),
    fc.constantFrom({ seed: '00' }, { seed: '01', outerSource: { v4: '172.16.0.0/24' } }),
  ),
);

/** Verdicts by pool and address; whoever is not named is up. */
export const healthArb: fc.Arbitrary<ReadonlyMap<string, Observation>> = fc
  .uniqueArray(
    fc.tuple(
      fc.tuple(poolArb, fc.integer({ min: 1, max: 6 })).map(([p, i]) => `${p}|10.0.0.${i}`),
      fc.constantFrom<Observation>('down', 'unknown'),
    ),
    { maxLength: 6, selector: ([key]) => key },
  )
  .map((entries) => new Map(entries));

/** @returns verdicts on every real of the snapshot */
export function verdictsOn(snapshot: Snapshot, health: ReadonlyMap<string, Observation>): Map<RealKey, Observation> {
  const verdicts = new Map<RealKey, Observation>();
  for (const pool of snapshot.pools.values())
    for (const { address } of pool.reals) {
      const key = realKey(pool.name, address);
      verdicts.set(key, health.get(key) ?? 'up');
    }
  return verdicts;
}
