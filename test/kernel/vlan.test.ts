import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tracer } from '../../src/dataplane/tracer.ts';
import { etherTypes, parseEthernet, tcp } from '../support/frames.ts';
import { host } from '../support/in-force.ts';
import { pool, snapshot, vip } from '../support/model.ts';
import { framed, inside, packet, tracerOf } from '../support/packets.ts';

/** VLAN tags: up to two are skipped, and stay unless the packet leaves by another interface. */

const families = [4, 6] as const;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
const reals = { 4: '10.0.0.1', 6: '2001:db8:77::1' } as const;
const neighbourMac = '02:00:00:00:00:77';
const neighbours = new Map([[reals[4], neighbourMac]]);

const state = snapshot(
  [...families.map((real) => pool(`ipip-${real}`, [reals[real]])), pool('segment', [reals[4]], { encap: 'l2' })],
  families.flatMap((family) => [
    vip(`four-${family}`, { address: VIP[family], port: 84, pool: 'ipip-4' }),
    vip(`six-${family}`, { address: VIP[family], port: 86, pool: 'ipip-6' }),
    vip(`segment-${family}`, { address: VIP[family], port: 82, pool: 'segment' }),
  ]),
);

const { vlan, qinq } = etherTypes;
/** Priority, drop eligibility and number all count. */
const stacks = (
  [
    [],
    [[vlan, 0x0000]],
    [[vlan, 0xffff]],
    [[qinq, 0xb123]],
    [
      [qinq, 0xe001],
      [vlan, 0x0fff],
    ],
    [
      [vlan, 0x1002],
      [vlan, 0x2003],
    ],
    [
      [vlan, 0x1002],
      [qinq, 0x2003],
    ],
  ] as const
).map((tags) => ({
  tags,
  name: tags.map(([type, control]) => `${type.toString(16)} ${control.toString(16)}`).join(', ') || 'none',
}));
type Tags = (typeof stacks)[number]['tags'];

let onStick: Tracer;
let through: Tracer;

beforeAll(async () => {
  onStick = await tracerOf(state, { neighbours });
  through = await tracerOf(state, { neighbours, egress: true });
});

afterAll(() => {
  onStick[Symbol.dispose]();
  through[Symbol.dispose]();
});

const ways = families.flatMap((family) =>
  [
    { port: 84, outer: 4 },
    { port: 86, outer: 6 },
    { port: 82, outer: family },
  ].map((way) => ({ family, ...way })),
);

describe.each(ways)('IPv$family to port $port', ({ family, port, outer }) => {
  const inner = packet(VIP[family], tcp({ from: 4000, to: port, payload: Uint8Array.of(1, 2, 3) }));
  const macs = { from: host.ownMac, to: port === 82 ? neighbourMac : host.gatewayMac };
  const sentBy = (tracer: Tracer, tags: Tags): Buffer => {
    const sent = tracer.trace(framed(inner, { tags, padTo: 100 }));
    expect(sent).toMatchObject({ action: tracer === through ? 'REDIRECT' : 'TX', reason: 'forwarded' });
    return Buffer.from(sent.frame ?? []);
  };
  /** The packet as it leaves when there are no tags at all, from its IP header on. */
  const payload = (): Uint8Array => parseEthernet(sentBy(onStick, [])).payload;

  it.each(stacks)('keeps the tags $name before the outer header', ({ tags }) => {
    const sent = sentBy(onStick, tags);
    expect(sent).toEqual(Buffer.from(framed(payload(), { ...macs, tags }).subarray(0, sent.length)));
    const at = 14 + 4 * tags.length;
    expect(sent[at]! >> 4).toBe(outer);
    const left = port === 82 ? sent.subarray(at) : inside(sent.subarray(at)).bytes;
    expect(Buffer.from(left.subarray(0, inner.length))).toEqual(Buffer.from(inner));
  });

  it.each(stacks)('loses the tags $name when it leaves by another interface', ({ tags }) => {
    const sent = sentBy(through, tags);
    expect(sent).toEqual(Buffer.from(framed(payload(), macs)).subarray(0, sent.length));
    expect(sent.length).toBe(100 - 4 * tags.length + (port === 82 ? 0 : outer === 4 ? 20 : 40));
  });
});

describe('a frame', () => {
  const inner = packet(VIP[4], tcp({ from: 4000, to: 84 }));
  const tag = (n: number) => Array.from({ length: n }, () => [vlan, 1] as const);

  it('with three tags is passed as it came', () => {
    const frame = framed(inner, { tags: tag(3) });
    const traced = onStick.trace(frame);
    expect(traced).toMatchObject({ action: 'PASS', reason: 'not_ip' });
    expect(Buffer.from(traced.frame ?? [])).toEqual(Buffer.from(frame));
  });

  it.each([0, 1, 2])('with %i tags that ends before its IP header does is passed', (tags) => {
    const frame = framed(inner, { tags: tag(tags) });
    for (let length = 14; length < 14 + 4 * tags + 20; length++)
      expect(onStick.trace(frame.subarray(0, length))).toMatchObject({ action: 'PASS', reason: 'unreadable' });
    expect(onStick.trace(frame).reason).toBe('forwarded');
  });

  it.each([0x9100, 0x9200, 0x8847])('with the type %i before a packet for a VIP is passed', (type) => {
    expect(onStick.trace(framed(inner, { tags: [[type, 1]] }))).toMatchObject({ action: 'PASS', reason: 'not_ip' });
  });

  it('belongs to one flow, whatever tags it has', () => {
    const outer = ({ tags }: { readonly tags: Tags }): Buffer =>
      Buffer.from(onStick.trace(framed(inner, { tags })).frame ?? []).subarray(14 + 4 * tags.length);
    expect(new Set(stacks.map((stack) => outer(stack).toString('hex'))).size).toBe(1);
  });
});
