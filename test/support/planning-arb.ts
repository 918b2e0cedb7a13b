import fc from 'fast-check';
import type {
  Directory,
  Limits,
  Observed,
  RealEncap,
  RealRecord,
  ServerIdKey,
  TunnelEnd,
  VipId,
  VipRecord,
} from '../../src/core/data-plane.ts';
import type { Address, Protocol, RealKey, Vip } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';
import type { Target, TargetPool, TargetReal } from '../../src/core/target.ts';
import type { Member } from './planning.ts';
import { foreignSignature, settings, vipOf } from './planning.ts';

/** Arbitrary targets and arbitrary maps. Few names and addresses, so that both often mean the same. */

const poolNames = ['a', 'b', 'c', 'd'] as const;
const seedArb = fc.constantFrom('00', '01');
const protocolArb = fc.constantFrom<Protocol>('tcp', 'udp');
const realAddressArb = fc.integer({ min: 1, max: 9 }).map((i): Address => `10.0.0.${i}`);
const vipAddressArb = fc.constantFrom<Address>('192.0.2.1', '192.0.2.2', '192.0.2.0/24');
const vipIdArb = fc
  .tuple(vipAddressArb, fc.constantFrom(0, 80, 443), protocolArb)
  .map(([address, port, protocol]): VipId => `${address}|${port}|${protocol}`);
const settingsArb = fc.constantFrom(settings, { ...settings, mtu: 1400 });
const tunnelsArb = fc.constantFrom<readonly TunnelEnd[]>([], [{ address: '203.0.113.1', guePort: 6080 }]);
/** Of hosts. The first two are in the prefix that VIPs may have, the first is also a VIP’s own at times. */
const ownArb = fc.subarray<Address>(['192.0.2.1', '192.0.2.3', '203.0.113.2']);
const serverIdArb = fc.integer({ min: 1, max: 6 });

/** The usual one most of the time, so that not everything differs. */
const encapArb = fc.oneof(
  { weight: 3, arbitrary: fc.constant<RealEncap>({ kind: 'ipip' }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<RealEncap>(
      { kind: 'gue', port: 6080, checksum: true },
      { kind: 'gue', port: 6080, checksum: false },
      { kind: 'l2', mac: '02:00:00:00:00:11' },
      { kind: 'l2', mac: '02:00:00:00:00:12' },
      { kind: 'local' },
    ),
  },
);

/** What of a VIP is no number. */
const optionsArb = fc.constantFrom<Partial<Vip>>({}, { hash: 'source' }, { flowCache: false }, { quic: 'katran' });

/** Prefixes and pools, whatever pools are. */
function clientsArb<T>(pools: fc.Arbitrary<T>): fc.Arbitrary<{ prefix: string; pool: T }[]> {
  return fc.subarray(['198.51.100.0/24', '198.51.100.0/25']).chain((prefixes) =>
    fc.tuple(...prefixes.map(() => pools)).map((of) =>
      prefixes.flatMap((prefix, i) => {
        const pool = of[i];
        return pool === undefined ? [] : [{ prefix, pool }];
      }),
    ),
  );
}

/** @param weight of the weightiest real */
function poolArb(name: string, weight: number): fc.Arbitrary<TargetPool> {
  return fc
    .uniqueArray(fc.tuple(realAddressArb, fc.nat(weight), encapArb, fc.boolean()), {
      maxLength: 5,
      selector: ([address]) => address,
    })
    .map((reals) => {
      const sorted = reals.toSorted(([a], [b]) => (a < b ? -1 : 1));
      return {
        name,
        ring: sorted.filter(([, weight]) => weight > 0).map(([address, weight]) => ({ address, weight })),
        reals: sorted.map(([address, weight, encap, gone]): TargetReal => {
          const lingers = weight === 0 && gone;
          return { address, encap, lingers };
        }),
        floor: false,
      };
    });
}

function vipsArb(pools: readonly string[]): fc.Arbitrary<[VipId, Partial<Vip>][]> {
  if (pools.length === 0) return fc.constant([]);
  const poolOfArb = fc.constantFrom(...pools);
  const vipArb = fc
    .tuple(optionsArb, poolOfArb, clientsArb(poolOfArb))
    .map(([options, pool, clients]) => ({ ...options, pool, clients }));
  return fc.uniqueArray(fc.tuple(vipIdArb, vipArb), { maxLength: 6, selector: ([id]) => id });
}

/** Ids of some pools for reals of any that stay. */
function serverIdsArb(pools: readonly TargetPool[]): fc.Arbitrary<Target['serverIds']> {
  const keys = pools.flatMap(({ name, reals }) => reals.map(({ address }) => realKey(name, address)));
  if (keys.length === 0) return fc.constant(new Map());
  const idsArb = fc.uniqueArray(fc.tuple(serverIdArb, fc.constantFrom<RealKey>(...keys)), {
    maxLength: 4,
    selector: ([id]) => id,
  });
  return fc
    .subarray(pools.map(({ name }) => name))
    .chain((names) => fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), idsArb))))
    .map((entries) => new Map(entries.map(([name, ids]) => [name, new Map(ids)])));
}

/** What shall be; pools that are leaving have no ring and are none of those that stay. */
export const targetArb: fc.Arbitrary<Target> = fc
  .tuple(fc.subarray([...poolNames]), fc.subarray([...poolNames]))
  .chain(([staying, others]) =>
    fc.record({
      seed: seedArb,
      settings: settingsArb,
      tunnels: tunnelsArb,
      own: ownArb,
      pools: fc.tuple(...staying.map((name) => poolArb(name, 2))),
      leaving: fc.tuple(...others.filter((name) => !staying.includes(name)).map((name) => poolArb(name, 0))),
      vips: vipsArb(staying),
    }),
  )
  .chain((target) => fc.tuple(fc.constant(target), serverIdsArb(target.pools)))
  .map(([{ pools, vips, ...target }, serverIds]) => ({
    ...target,
    serverIds,
    pools: new Map(pools.map((pool) => [pool.name, pool])),
    vips: new Map(vips.map(([id, what]) => [id, vipOf(id, what)])),
  }));

type Numbered<T> = (readonly [number: number, value: T])[];

function numbered<T>(value: fc.Arbitrary<T>, first: number, limit: number, most = limit): fc.Arbitrary<Numbered<T>> {
  return fc.uniqueArray(fc.tuple(fc.integer({ min: first, max: limit - 1 }), value), {
    maxLength: most,
    selector: ([number]) => number,
  });
}

/** A ring of these reals: one that this agent made, or one that it knows nothing about. */
function ringArb(reals: Numbered<RealRecord>): fc.Arbitrary<string> {
  const members = fc
    .subarray(reals)
    .map((some) => some.map(([number, { address }]): Member => ({ address, weight: 1, number })))
    .map((some) => some.sort((a, b) => (a.address < b.address ? -1 : 1)));
  const own = fc
    .tuple(seedArb, members)
    .map(
      ([seed, some]) =>
        `${seed}:${some.map(({ address, weight, number }) => `${address}*${weight}=${number}`).join(',')}`,
    );
  return fc.oneof(own, members.map(foreignSignature));
}

function ringsArb(reals: Numbered<RealRecord>, limits: Limits, wild: boolean): fc.Arbitrary<[number, string][]> {
  const numbers = Array.from({ length: limits.pools }, (_, pool) => pool);
  const strange: RealRecord = { address: '10.0.0.9', pool: 0, generation: 0, encap: { kind: 'ipip' } };
  return fc
    .subarray(numbers)
    .chain((pools) =>
      fc.tuple(
        ...pools.map((pool) =>
          fc.tuple(
            fc.constant(pool),
            wild
              ? ringArb(Array.from({ length: limits.reals }, (_, number) => [number, strange]))
              : fc.oneof(ringArb(reals.filter(([, real]) => real.pool === pool)), ringArb(reals)),
          ),
        ),
      ),
    );
}

/** A directory of whatever numbers. */
function directoryArb({ vips, pools }: Limits): fc.Arbitrary<Directory> {
  const poolArb = fc.nat(pools - 1);
  const vipArb = fc.tuple(vipIdArb, optionsArb, poolArb, clientsArb(poolArb));
  return fc.tuple(numbered(vipArb, 0, vips, 6), tunnelsArb, ownArb).map(([all, tunnels, own]) => ({
    vips: new Map(
      all.map(([number, [id, options, pool, clients]]): [VipId, VipRecord] => {
        const { name, address, port, protocol, ...rest } = vipOf(id, options);
        return [id, { ...rest, number, pool, clients }];
      }),
    ),
    tunnels,
    own,
  }));
}

function serverIdTableArb(numbers: readonly number[], pools: number): fc.Arbitrary<Map<ServerIdKey, number>> {
  if (numbers.length === 0) return fc.constant(new Map());
  const keyArb = fc.tuple(fc.nat(pools - 1), serverIdArb).map(([pool, id]): ServerIdKey => `${pool}|${id}`);
  return fc
    .uniqueArray(fc.tuple(keyArb, fc.constantFrom(...numbers)), { maxLength: 6, selector: ([key]) => key })
    .map((entries) => new Map(entries));
}

/**
 * Whatever maps could hold: reals that nobody wants, twice or at number 0, rings and tables of other agents, VIPs of
 * pools that have none, pools without anything, freed numbers of any generation.
 *
 * @param wild rings name numbers whether or not there is a real, which no agent does
 */
export function mapsArb(limits: Limits, wild = false): fc.Arbitrary<Observed> {
  const real = fc.record({
    address: realAddressArb,
    pool: fc.nat(limits.pools - 1),
    generation: fc.nat(127),
    encap: encapArb,
  });
  return numbered(real, 0, limits.reals, 10)
    .chain((reals) =>
      fc.record({
        settings: fc.option(settingsArb),
        reals: fc.constant(reals),
        freed: numbered(fc.integer({ min: 1, max: 127 }), 1, limits.reals),
        rings: ringsArb(reals, limits, wild),
        pools: numbered(fc.constantFrom(...poolNames), 0, limits.pools),
        directory: fc.option(directoryArb(limits), { freq: 8 }),
        directorySound: fc.boolean(),
        serverIds: fc.option(
          serverIdTableArb(
            reals.map(([number]) => number),
            limits.pools,
          ),
          { freq: 8 },
        ),
      }),
    )
    .map(({ reals, freed, rings, pools, ...rest }) => ({
      ...rest,
      limits,
      reals: new Map(reals),
      freed: new Map(freed.filter(([number]) => !reals.some(([taken]) => taken === number))),
      rings: new Map(rings),
      pools: new Map(pools.map(([number, name]) => [name, number])),
    }));
}

/** Maps with numbers enough for whatever they hold and any target at once. */
export function roomyMapsArb(wild = false): fc.Arbitrary<Observed> {
  const limits = { vips: 32, pools: 16, reals: 64, serverIds: 512 };
  return mapsArb({ ...limits, vips: 16, pools: 8, reals: 32 }, wild).map((maps) => ({ ...maps, limits }));
}

export const tightArb: fc.Arbitrary<Limits> = fc.record({
  vips: fc.integer({ min: 1, max: 5 }),
  pools: fc.integer({ min: 1, max: 5 }),
  reals: fc.integer({ min: 2, max: 9 }),
  serverIds: fc.constant(512),
});
