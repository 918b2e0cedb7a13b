import { describe, expect, it } from 'vitest';
import type { Vip } from '../../src/core/model.ts';
import type { HostImage } from '../../src/core/target.ts';
import type { Traced } from '../../src/dataplane/tracer.ts';
import { icmp, parseEthernet, tcp, udp } from '../support/frames.ts';
import { host } from '../support/in-force.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { clients, framed, packet, tracerOf } from '../support/packets.ts';

/** Reals on the same segment, which get the packet as it is, and a real that is this very host. */

const families = [4, 6] as const;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const REAL = { 4: '10.0.0.1', 6: '2001:db8:77::1' } as const;
const mac = '02:00:00:00:00:77';
const unknown = '00:00:00:00:00:00';

async function traced(
  real: string,
  frame: Uint8Array,
  changed: Partial<HostImage> & { egress?: boolean } = {},
  encap: 'l2' | 'ipip' | 'gue' = 'l2',
  fields: Partial<Vip> = {},
): Promise<Traced> {
  const vips = families.flatMap((family) =>
    (['tcp', 'udp'] as const).map((protocol) =>
      vip(`${protocol}-${family}`, { address: VIP[family], protocol, ...fields }),
    ),
  );
  using tracer = await tracerOf(snapshot([pool('web', [real], { encap })], vips), changed, 16);
  return tracer.trace(frame);
}

const cases = families.flatMap((family) => families.map((real) => ({ family, real })));

describe.each(cases)('an IPv$family packet to an IPv$real real', ({ family, real }) => {
  const whole = packet(VIP[family], udp({ from: 1, to: 80, payload: Uint8Array.of(1, 2, 3) }), { ttl: 1, hopLimit: 1 });
  const neighbours = new Map([[REAL[real], mac]]);

  it('on the same segment is sent as it came, to the real’s MAC address', async () => {
    const frame = Buffer.concat([framed(whole), new Uint8Array(11).fill(0x5a)]);
    const sent = await traced(REAL[real], frame, { neighbours });
    expect(sent).toMatchObject({ action: 'TX', reason: 'forwarded', real: REAL[real] });
    const { from, to, payload } = parseEthernet(sent.frame ?? new Uint8Array());
    expect({ from, to }).toEqual({ from: host.ownMac, to: mac });
    expect(Buffer.from(payload)).toEqual(frame.subarray(14));
    expect(sent.frame).toHaveLength(frame.length);
  });

  it('on the same segment is passed when it is on its way to the real already', async () => {
    for (const length of [60, 1_400]) {
      const frame = framed(whole, { to: mac, padTo: length });
      const passed = await traced(REAL[real], frame, { neighbours });
      expect(passed).toMatchObject({ action: 'PASS', reason: 'not_vip', real: REAL[real] });
      expect(Buffer.from(passed.frame ?? [])).toEqual(Buffer.from(frame));
    }
    for (const to of ['06:00:00:00:00:77', '02:00:00:01:00:77', '02:00:00:00:00:76'])
      expect((await traced(REAL[real], framed(whole, { to }), { neighbours })).reason).toBe('forwarded');
    expect((await traced(REAL[real], framed(whole, { to: mac }), { neighbours }, 'ipip')).reason).toBe('forwarded');
  });

  it('needs no gateway there, but the real’s own MAC address', async () => {
    const sent = await traced(REAL[real], framed(whole), { neighbours, gatewayMac: unknown });
    expect(sent).toMatchObject({ action: 'TX', reason: 'forwarded' });
    const lost = await traced(REAL[real], framed(whole));
    expect(lost).toMatchObject({ action: 'DROP', reason: 'no_neighbour', real: REAL[real] });
  });

  it.each(['02:00:00:00:00:00', '00:00:00:00:00:01', '00:00:00:01:00:00'])(
    'has a MAC address like any other in %s',
    async (rare) => {
      const sent = await traced(REAL[real], framed(whole), { neighbours: new Map([[REAL[real], rare]]) });
      expect(parseEthernet(sent.frame ?? new Uint8Array()).to).toBe(rare);
    },
  );

  it.each(['l2', 'ipip', 'gue'] as const)(
    'is passed up untouched when the real is this host, with encap %s',
    async (encap) => {
      const frame = framed(whole, { tags: [[0x8100, 7]], padTo: 100 });
      const changed = { local: new Set([REAL[real]]), gatewayMac: unknown, mtu: 68 };
      const passed = await traced(REAL[real], frame, changed, encap);
      expect(passed).toMatchObject({ action: 'PASS', reason: 'local_real', real: REAL[real], path: 'ring' });
      expect(Buffer.from(passed.frame ?? [])).toEqual(Buffer.from(frame));
    },
  );

  it.each(['ipip', 'gue'] as const)('is not sent by %s without a gateway', async (encap) => {
    const lost = await traced(REAL[real], framed(whole), { gatewayMac: unknown }, encap);
    expect(lost).toMatchObject({ action: 'DROP', reason: 'no_gateway', real: REAL[real] });
  });
});

describe('a gateway', () => {
  it.each(['02:00:00:00:00:00', '00:00:00:00:00:01', '00:00:00:01:00:00'])(
    'has a MAC address like any other in %s',
    async (gatewayMac) => {
      const frame = framed(packet(VIP[4], tcp({ from: 1, to: 80 })));
      const sent = await traced(REAL[4], frame, { gatewayMac }, 'ipip');
      expect(parseEthernet(sent.frame ?? new Uint8Array()).to).toBe(gatewayMac);
    },
  );
});

describe('to a real that is this host', () => {
  it('errors about its flows go up, too', async () => {
    const quote = packet(clients[4], tcp({ from: 80, to: 1 }), { from: VIP[4] });
    const frame = framed(packet(VIP[4], icmp(3, quote), { from: '203.0.113.9' }));
    const passed = await traced(REAL[4], frame, { local: new Set([REAL[4]]) });
    expect(passed).toMatchObject({ action: 'PASS', reason: 'local_real', path: 'icmp' });
    expect(Buffer.from(passed.frame ?? [])).toEqual(Buffer.from(frame));
  });
});
