import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes } from '../../src/core/address.ts';
import type { Snapshot } from '../../src/core/model.ts';
import { parseState } from '../../src/core/parse-state.ts';
import { keySet, parse, revision } from '../support/desired.ts';

const name = fc.constantFrom('a', 'b', 'c');

const address = fc.constantFrom('192.0.2.1', '192.0.2.2', '10.0.0.1', '10.0.0.2', '::1', '224.0.0.1', 'x');

const client = fc.record({ prefix: fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', '::/0'), pool: name });
const vip = fc.record(
  {
    address: fc.oneof(address, fc.constantFrom('192.0.2.0/30', '192.0.2.2/31', '10.0.0.2/32')),
    port: fc.constantFrom(0, 80, 443, -1),
    protocol: fc.constantFrom('tcp', 'udp', 'ip'),
    pool: name,
    quic: fc.constantFrom('off', 'katran'),
    fragments: fc.constantFrom('drop', 'hash'),
    clients: fc.array(client, { maxLength: 2 }),
  },
  { requiredKeys: ['address', 'port'] },
);
const real = fc.record(
  {
    address,
    weight: fc.constantFrom(0, 1, 1_001),
    serverIds: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 2 }),
  },
  { requiredKeys: ['address'] },
);
const pool = fc.record(
  {
    checks: fc.array(fc.record({ type: fc.constant('tcp'), port: fc.constantFrom(80, 0) }, { requiredKeys: ['type'] })),
    reals: fc.dictionary(name, real, { maxKeys: 2 }),
  },
  { requiredKeys: [] },
);

/** Near to what people write, so that it reaches the checks across keys. */
const nearlyGood = fc.oneof(
  fc.tuple(
    fc.tuple(name).map(([n]) => `vips/${n}`),
    vip,
  ),
  fc.tuple(
    fc.tuple(name).map(([n]) => `pools/${n}`),
    pool,
  ),
  fc.tuple(
    fc.tuple(name, name).map(([p, r]) => `pools/${p}/reals/${r}`),
    real,
  ),
  fc.tuple(
    fc.tuple(name, name).map(([p, r]) => `overrides/${p}/${r}`),
    fc.record({ state: fc.constantFrom('drain', 'on') }),
  ),
  fc.tuple(fc.constant('settings'), fc.record({ seed: fc.constantFrom('ab', 'x') })),
);
const state = fc.array(nearlyGood, { maxLength: 14 }).map((entries) => Object.fromEntries<unknown>(entries));

/** Anything at all. */
const soup = fc
  .array(
    fc.tuple(
      fc.oneof(
        fc.string(),
        fc.string().map((s) => `desired/${s}`),
        fc.string().map((s) => `desired/pools/${s}`),
      ),
      fc.oneof(fc.string(), fc.json()),
    ),
  )
  .map((entries) => new Map(entries));

/** Of the IPv4 prefixes and the addresses above. */
function covers(prefix: string, one: string): boolean {
  const [network = '', length = '32'] = prefix.split('/');
  if (network.includes(':') || one.includes(':')) return network === one;
  const bits = (text: string): number => Buffer.from(addressBytes(text)).readUInt32BE();
  return (bits(network) ^ bits(one)) >>> (32 - Number(length)) === 0 || network === one;
}

function inForce({ settings, vips, pools }: Snapshot): unknown {
  return { settings, vips: [...vips], pools: [...pools] };
}

describe('parseState', () => {
  it('never throws, whatever the keys and values', () => {
    fc.assert(
      fc.property(soup, soup, (first, second) => {
        const before = parseState(first, revision, null);
        parseState(second, revision, before);
      }),
    );
  });

  it('gives the same for the same keys in any order', () => {
    fc.assert(
      fc.property(state, state, fc.infiniteStream(fc.nat()), (first, second, random) => {
        const before = parse(first);
        const entries = [...keySet(second)];
        const shuffled = entries
          .map((entry) => [random.next().value as number, entry] as const)
          .sort(([a], [b]) => a - b);
        const again = parseState(new Map(shuffled.map(([, entry]) => entry)), revision, before);
        expect(again).toEqual(parse(second, before));
      }),
    );
  });

  it('is settled: the same keys again change nothing', () => {
    fc.assert(
      fc.property(state, state, (first, second) => {
        const after = parse(second, parse(first));
        expect(parse(second, after).snapshot).toEqual(after.snapshot);
      }),
    );
  });

  it('lets nothing into force that contradicts something else in force', () => {
    fc.assert(
      fc.property(state, state, (first, second) => {
        const { vips, pools } = parse(second, parse(first)).snapshot;
        const reals = [...pools.values()].flatMap((p) => p.reals.map((r) => ({ pool: p.name, ...r })));
        const endpoints = [...vips.values()].map((v) => `${v.address} ${v.port} ${v.protocol}`);
        expect(new Set(endpoints).size).toBe(vips.size);
        expect(new Set(reals.map((r) => `${r.pool} ${r.address}`)).size).toBe(reals.length);
        expect(new Set(reals.map((r) => `${r.pool} ${r.id}`)).size).toBe(reals.length);
        for (const v of vips.values()) {
          const p = pools.get(v.pool);
          expect(p).toBeDefined();
          expect(reals.filter((r) => covers(v.address, r.address))).toEqual([]);
          const rivals = [...vips.values()].filter((w) => w.address === v.address && w.protocol === v.protocol);
          if (v.fragments === 'hash') expect(rivals).toEqual([v]);
          for (const { pool: other } of v.clients) expect(pools.get(other)).toBeDefined();
        }
        for (const p of pools.values()) {
          const users = [...vips.values()].filter((v) => v.pool === p.name || v.clients.some((c) => c.pool === p.name));
          const ports = new Set(users.map((v) => v.port));
          if (p.checks.some((check) => check.port === null)) expect(ports.size < 2 && !ports.has(0)).toBe(true);
        }
        const ids = reals.flatMap((r) => r.serverIds);
        expect(new Set(ids).size).toBe(ids.length);
      }),
    );
  });

  it('accounts for every key: in force as written, or rejected', () => {
    fc.assert(
      fc.property(state, (values) => {
        const { snapshot, entries } = parse(values);
        const rejected = new Set(snapshot.rejected.map(({ path }) => path.split(': ')[0]));
        for (const [key, entry] of entries) {
          const poolOf = /^(desired\/pools\/[^/]+)\/reals\//.exec(key)?.[1] ?? '';
          expect(entry.inForce?.raw === entry.raw || rejected.has(key) || rejected.has(poolOf)).toBe(true);
        }
      }),
    );
  });

  it('leaves all else alone when a key turns bad: it keeps its value', () => {
    fc.assert(
      fc.property(state, fc.nat(), fc.constantFrom('{', '[]', '{"x":1}', 'null'), (values, pick, garbage) => {
        const before = parse(values);
        const held = [...before.entries].filter(([, entry]) => entry.inForce !== null).map(([key]) => key);
        fc.pre(held.length > 0);
        const keys = new Map(keySet(values)).set(held[pick % held.length]!, garbage);
        const after = parseState(keys, revision, before).snapshot;
        expect(inForce(after)).toEqual(inForce(before.snapshot));
      }),
    );
  });

  it('leaves all else alone when a bad key is added', () => {
    fc.assert(
      fc.property(
        state,
        fc.constantFrom('vips/zoo', 'pools/zoo', 'pools/a/reals/zoo', 'zoo', 'overrides/a'),
        (values, key) => {
          const with_ = parse({ ...values, [key]: '{' }).snapshot;
          const without = parse(values).snapshot;
          expect(inForce(with_)).toEqual(inForce(without));
          expect(with_.rejected.filter(({ path }) => path !== `desired/${key}`)).toEqual(without.rejected);
        },
      ),
    );
  });
});
