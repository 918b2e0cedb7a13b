import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { forgetPathMtus, narrowPathTo, pathMtu } from '../../lab/links.ts';
import { runDir } from '../../lab/paths.ts';
import { counted, poolKeys, putAll, untilAllServe } from '../support/lab-state.ts';
import { needs } from '../support/require.ts';
import { download, upload } from '../support/transfers.ts';
import { stateOf } from '../support/two-lbs.ts';

const ipv4 = 20;
const ipv6 = 40;
const udp = 8;
/** The smallest that IPv6 has. */
const NARROW = 1_280;
const FABRIC = 1_500;
const BYTES = 3_000_000;

// A host learns a path MTU for an address, not for a port: every way has a VIP address of its own.
const ways = [
  ['IPv4 in IPv4', '192.0.2.31', 'ipip-4', ipv4],
  ['IPv4 in IPv6', '192.0.2.32', 'ipip-6', ipv6],
  ['IPv6 in IPv4', '2001:db8:1::33', 'ipip-4', ipv4],
  ['IPv6 in IPv6', '2001:db8:1::34', 'ipip-6', ipv6],
  ['IPv4 in GUE over IPv4', '192.0.2.35', 'gue-4', ipv4 + udp],
  ['IPv6 in GUE over IPv6', '2001:db8:1::36', 'gue-6', ipv6 + udp],
] as const;

/** The LB's link is no larger than the client's: there is no room for an outer header around a full packet. */
describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'curl'))('links that are too narrow', () => {
  let lab: Lab;
  let file: string;

  beforeAll(async () => {
    lab = await Lab.up({ lbs: 2, fabricMtu: FABRIC });
    file = join(runDir, 'client-file');
    await writeFile(file, Buffer.alloc(BYTES, 'upload'));
    await putAll(lab, {
      ...poolKeys(lab, 'ipip-4', 4),
      ...poolKeys(lab, 'ipip-6', 6),
      ...poolKeys(lab, 'gue-4', 4, { encap: 'gue' }),
      ...poolKeys(lab, 'gue-6', 6, { encap: 'gue' }),
      ...Object.fromEntries(
        ways.map(([, address, pool], i) => [`vips/way-${i}`, { address, port: 80, protocol: 'tcp', pool }]),
      ),
    });
    await untilAllServe(lab, ways.length);
  });

  afterAll(() => lab?.down());

  describe('between router and LB', () => {
    it.each(ways)('the LB tells the client, and an upload succeeds: %s', async (_what, vip, _pool, overhead) => {
      const { host } = lab.client;
      const before = await counted(lab, 'too_big_answered');
      expect(await pathMtu(host, vip)).toBe(host.mtu);
      expect(await upload(lab.client, vip, file)).toMatchObject({ code: 0, bytes: BYTES });
      expect(await pathMtu(host, vip)).toBe(FABRIC - overhead);
      expect(await counted(lab, 'too_big_answered')).toBeGreaterThan(before);
    });

    it('has nothing dropped without a word', async () => {
      expect(await counted(lab, 'too_big')).toBe(0);
    });
  });

  describe('between router and client', () => {
    const clientAddress = (vip: string): string => lab.client.host[vip.includes(':') ? 'address6' : 'address'];

    /** What each real takes for the MTU of the path to the client, when it answers as the VIP. */
    async function learnt(vip: string): Promise<Record<string, number>> {
      const mtus = lab.reals.map(
        async ({ name, host }) => [name, await pathMtu(host, clientAddress(vip), vip)] as const,
      );
      return Object.fromEntries(await Promise.all(mtus));
    }

    /** What an LB sends to a real and counts neither as found in its flow cache nor as missing there: ICMP errors alone. */
    async function errorsPassedOn(vip: string): Promise<number> {
      const states = await stateOf(lab);
      const vips = states.flatMap((state) => state.vips.filter(({ address }) => address === vip));
      return vips.reduce((sum, v) => sum + v.packets - v.hits - v.newFlows - v.misses, 0);
    }

    beforeAll(() => narrowPathTo(lab.client.host, NARROW));

    it.each(ways)('the real that is meant gets the router’s word, and a download succeeds: %s', async (_what, vip) => {
      await Promise.all(lab.reals.map(({ host }) => forgetPathMtus(host)));
      const before = await errorsPassedOn(vip);
      const { real, ...transfer } = await download(lab.client, vip, BYTES);
      expect(transfer).toEqual({ code: 0, bytes: BYTES });
      expect(await errorsPassedOn(vip)).toBeGreaterThan(before);
      const others = Object.fromEntries(lab.reals.map(({ name }) => [name, FABRIC]));
      expect(await learnt(vip)).toEqual({ ...others, [real]: NARROW });
    });
  });
});
