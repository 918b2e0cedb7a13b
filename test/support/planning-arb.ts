import fc from 'fast-check';
import type { Limits, Observed, RealRecord, VipId, VipRecord } from '../../src/core/data-plane.ts';
import type { Address, Protocol } from '../../src/core/model.ts';
import type { Target, TargetPool } from '../../src/core/target.ts';
import type { Member } from './planning.ts';
import { foreignSignature, settings, vipOf } from './planning.ts';

/** Arbitrary targets and arbitrary maps. Few names and addresses, so that both often mean the same. */

const poolNames = ['a', 'b', 'c', 'd'] as const;
const seedArb = fc.constantFrom('00', '01');
const protocolArb = fc.constantFrom<Protocol>('tcp', 'udp');
const realAddressArb = fc.integer({ min: 1, max: 9 }).map((i): Address => `10.0.0.${i}`);
const vipAddressArb = fc.integer({ min: 1, max: 3 }).map((i): Address => `192.0.2.${i}`);
const vipIdArb = fc
  .tuple(vipAddressArb, fc.constantFrom(0, 80, 443), protocolArb)
  .map(([address, port, protocol]): VipId => `${address}|${port}|${protocol}`);
const settingsArb = fc.constantFrom(settings, { ...settings, mtu: 1400 });

function poolArb(name: string, taking: boolean): fc.Arbitrary<TargetPool> {
  return fc
    .uniqueArray(fc.tuple(realAddressArb, fc.integer({ min: 0, max: taking ? 2 : 0 })), {
      maxLength: 5,
      selector: ([address]) => address,
    })
    .map((reals) => {
      const sorted = reals.toSorted(([a], [b]) => (a < b ? -1 : 1));
      const ring = sorted.filter(([, weight]) => weight > 0).map(([address, weight]) => ({ address, weight }));
      return { name, ring, reals: sorted.map(([address]) => address), floor: false };
    });
}

function vipsArb(pools: readonly string[]): fc.Arbitrary<[VipId, string][]> {
  if (pools.length === 0) return fc.constant([]);
  return fc.uniqueArray(fc.tuple(vipIdArb, fc.constantFrom(...pools)), { maxLength: 6, selector: ([id]) => id });
}

/** What shall be; pools that are leaving have no ring and are none of those that stay. */
export const targetArb: fc.Arbitrary<Target> = fc
  .tuple(fc.subarray([...poolNames]), fc.subarray([...poolNames]))
  .chain(([staying, others]) =>
    fc.record({
      seed: seedArb,
      settings: settingsArb,
      pools: fc.tuple(...staying.map((name) => poolArb(name, true))),
      leaving: fc.tuple(...others.filter((name) => !staying.includes(name)).map((name) => poolArb(name, false))),
      vips: vipsArb(staying),
    }),
  )
  .map(({ pools, vips, ...target }) => ({
    ...target,
    pools: new Map(pools.map((pool) => [pool.name, pool])),
    vips: new Map(vips.map(([id, pool]) => [id, vipOf(id, pool)])),
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
  const strange = { address: '10.0.0.9', pool: 0, generation: 0 };
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

/**
 * Whatever maps could hold: reals that nobody wants, twice or at number 0, rings of other agents, VIPs of pools that
 * have none, addresses without VIPs, pools without anything, freed numbers of any generation.
 *
 * @param wild rings name numbers whether or not there is a real, which no agent does
 */
export function mapsArb(limits: Limits, wild = false): fc.Arbitrary<Observed> {
  const real = fc.record({
    address: realAddressArb,
    pool: fc.nat(limits.pools - 1),
    generation: fc.nat(255),
  });
  return numbered(real, 0, limits.reals, 10)
    .chain((reals) =>
      fc.record({
        settings: fc.option(settingsArb),
        reals: fc.constant(reals),
        freed: numbered(fc.integer({ min: 1, max: 255 }), 1, limits.reals),
        rings: ringsArb(reals, limits, wild),
        pools: numbered(fc.constantFrom(...poolNames), 0, limits.pools),
        vips: numbered(fc.tuple(vipIdArb, fc.nat(limits.pools - 1)), 0, limits.vips, 6),
        addresses: fc.uniqueArray(fc.tuple(vipAddressArb, fc.subarray<Protocol>(['tcp', 'udp'], { minLength: 1 })), {
          maxLength: limits.vips,
          selector: ([address]) => address,
        }),
      }),
    )
    .map(({ reals, freed, rings, pools, vips, addresses, ...rest }) => ({
      ...rest,
      limits,
      reals: new Map(reals),
      freed: new Map(freed.filter(([number]) => !reals.some(([taken]) => taken === number))),
      rings: new Map(rings),
      pools: new Map(pools.map(([number, name]) => [name, number])),
      vips: new Map(vips.map(([number, [id, pool]]): [VipId, VipRecord] => [id, { number, pool }])),
      addresses: new Map(addresses.map(([address, served]) => [address, new Set(served)])),
    }));
}

/** Maps with numbers enough for whatever they hold and any target at once. */
export function roomyMapsArb(wild = false): fc.Arbitrary<Observed> {
  const limits = { vips: 32, pools: 16, reals: 64 };
  return mapsArb({ vips: 16, pools: 8, reals: 32 }, wild).map((maps) => ({ ...maps, limits }));
}

export const tightArb: fc.Arbitrary<Limits> = fc.record({
  vips: fc.integer({ min: 1, max: 5 }),
  pools: fc.integer({ min: 1, max: 5 }),
  reals: fc.integer({ min: 2, max: 9 }),
});
