import fc from 'fast-check';
import type { Directory, TunnelEnd, VipId, VipRecord } from '../../src/core/data-plane.ts';
import { splitVipId } from '../../src/core/data-plane.ts';
import { type Address, fragmentModes, hashModes, type Protocol, quicModes } from '../../src/core/model.ts';
import { ownInPrefixes } from '../../src/core/own-addresses.ts';

/** Directories whose VIPs overlap in every way: addresses in prefixes in prefixes, of both families. */

const addresses = [
  '192.0.2.1',
  '192.0.2.200',
  '203.0.113.1',
  '192.0.2.0/24',
  '192.0.2.128/25',
  '192.0.0.0/16',
  '128.0.0.0/1',
  '2001:db8::1',
  '2001:db8::/32',
  '2001:db8::/64',
  '2001:db8::/127',
] as const;

/** In each of the above, and beside them. */
export const probedAddresses = [
  '192.0.2.1',
  '192.0.2.2',
  '192.0.2.200',
  '192.0.2.201',
  '192.0.3.1',
  '203.0.113.1',
  '203.0.113.2',
  '10.0.0.1',
  '2001:db8::',
  '2001:db8::1',
  '2001:db8::2',
  '2001:db8:0:1::1',
  '2001:db9::1',
] as const;
export const probedPorts = [0, 80, 443, 6080] as const;

const vipIdArb = fc
  .tuple(fc.constantFrom(...addresses), fc.constantFrom(...probedPorts), fc.constantFrom<Protocol>('tcp', 'udp'))
  .map(([address, port, protocol]): VipId => `${address}|${port}|${protocol}`);

/** Those of a VIP have its family. */
const clientLists: Readonly<Record<'v4' | 'v6', readonly VipRecord['clients'][]>> = {
  v4: [
    [{ prefix: '198.51.100.0/24', pool: 3 }],
    [
      { prefix: '0.0.0.0/0', pool: 4 },
      { prefix: '198.51.100.0/24', pool: 3 },
      { prefix: '198.51.100.7/32', pool: 5 },
    ],
    [{ prefix: '10.0.0.0/8', pool: 4 }],
  ],
  v6: [[{ prefix: '2001:db8:ffff::/48', pool: 3 }], [{ prefix: '2001:db8:ffff::7/128', pool: 4 }]],
};

function clientsArb(id: VipId): fc.Arbitrary<VipRecord['clients']> {
  const none = { weight: 3, arbitrary: fc.constant<VipRecord['clients']>([]) };
  return fc.oneof(none, { weight: 1, arbitrary: fc.constantFrom(...clientLists[id.includes(':') ? 'v6' : 'v4']) });
}

const optionsArb: fc.Arbitrary<Omit<VipRecord, 'clients'>> = fc.record({
  number: fc.nat(63),
  pool: fc.nat(63),
  hash: fc.constantFrom(...hashModes),
  flowCache: fc.boolean(),
  udpTimeoutMs: fc.integer({ min: 2_000, max: 1_800_000 }),
  quic: fc.constantFrom(...quicModes),
  tcpServerId: fc.boolean(),
  udpStableRouting: fc.boolean(),
  icmpEcho: fc.boolean(),
  fragments: fc.constantFrom(...fragmentModes),
});

const vipArb = vipIdArb.chain((id) =>
  fc
    .tuple(fc.constant(id), optionsArb, clientsArb(id))
    .map(([, options, clients]) => [id, { ...options, clients }] as const),
);

const tunnelsArb: fc.Arbitrary<TunnelEnd[]> = fc.subarray([
  { address: '192.0.2.2', guePort: 6080 },
  { address: '203.0.113.1', guePort: 80 },
  { address: '2001:db8::2', guePort: 6080 },
]);

/** In prefixes, at ends of tunnels, and two that VIPs may have by themselves. */
const ownArb = fc.subarray<Address>(['192.0.2.1', '192.0.2.2', '192.0.2.201', '2001:db8::1', '2001:db8::2']);

export const directoryArb: fc.Arbitrary<Directory> = fc
  .record({
    vips: fc
      .uniqueArray(vipArb, { maxLength: 10, selector: ([id]) => id })
      .map((vips) => new Map<VipId, VipRecord>(vips)),
    tunnels: tunnelsArb,
    own: ownArb,
  })
  .map(({ vips, tunnels, own }) => {
    const places = [...vips.keys()].map((id) => ({ name: '', address: splitVipId(id).address }));
    return { vips, tunnels, own: [...ownInPrefixes(places, own).keys()] };
  });
