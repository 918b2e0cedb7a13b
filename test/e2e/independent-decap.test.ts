import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decapBySegmentRouting, decapInUserSpace, stopDecap } from '../../lab/decap.ts';
import { Lab } from '../../lab/lab.ts';
import { runIn } from '../../lab/netns.ts';
import { runDir } from '../../lab/paths.ts';
import { fastCheck, poolKeys, putAll, untilAllServe } from '../support/lab-state.ts';
import { needs } from '../support/require.ts';
import { download, upload } from '../support/transfers.ts';

const guePort = 6080;
const BYTES = 3_000_000;

/** r1 opens packets in user space, r2 by segment routing in the kernel. */
const ways = [
  ['IPv4 in IPv4, in user space', '192.0.2.51', 'ipip-4', 'r1'],
  ['IPv4 in IPv6, in user space', '192.0.2.52', 'ipip-6', 'r1'],
  ['IPv6 in IPv4, in user space', '2001:db8:1::53', 'ipip-4', 'r1'],
  ['IPv6 in IPv6, in user space', '2001:db8:1::54', 'ipip-6', 'r1'],
  ['IPv4 in GUE over IPv4, by a UDP socket', '192.0.2.55', 'gue-4', 'r1'],
  ['IPv4 in GUE over IPv6, by a UDP socket', '192.0.2.56', 'gue-6', 'r1'],
  ['IPv6 in GUE over IPv4, by a UDP socket', '2001:db8:1::57', 'gue-4', 'r1'],
  ['IPv6 in GUE over IPv6, by a UDP socket', '2001:db8:1::58', 'gue-6', 'r1'],
  ['IPv4 in IPv6, by End.DX4', '192.0.2.59', 'segment-routing', 'r2'],
  ['IPv6 in IPv6, by End.DT6', '2001:db8:1::60', 'segment-routing', 'r2'],
] as const;

const [, gueOver6] = ways[7];

/** The lab’s own decapsulation was written beside the LB: here others say whether packets are right. */
describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'curl', 'python3'))(
  'a real that shares no code with the LB opens',
  () => {
    let lab: Lab;
    let file: string;

    beforeAll(async () => {
      lab = await Lab.up({ reals: 2 });
      file = join(runDir, 'client-file');
      await writeFile(file, Buffer.alloc(BYTES, 'upload'));
      await Promise.all(lab.reals.map(({ host }) => stopDecap(host)));
      await decapInUserSpace(lab.real('r1').host, guePort);
      await decapBySegmentRouting(lab.real('r2').host);
      await putAll(lab, {
        ...poolKeys(lab, 'ipip-4', 4, { reals: ['r1'] }),
        ...poolKeys(lab, 'ipip-6', 6, { reals: ['r1'] }),
        ...poolKeys(lab, 'gue-4', 4, { reals: ['r1'], encap: 'gue' }),
        ...poolKeys(lab, 'gue-6', 6, { reals: ['r1'], encap: 'gue' }),
        ...poolKeys(lab, 'segment-routing', 6, { reals: ['r2'] }),
        ...Object.fromEntries(
          ways.map(([, address, pool], i) => [`vips/way-${i}`, { address, port: 80, protocol: 'tcp', pool }]),
        ),
      });
      await untilAllServe(lab, ways.length);
    });

    afterAll(() => lab?.down());

    it.each(ways)('%s', async (_what, vip, _pool, real) => {
      expect(await download(lab.client, vip, BYTES)).toEqual({ code: 0, bytes: BYTES, real });
      expect(await upload(lab.client, vip, file)).toEqual({ code: 0, bytes: BYTES, real });
    });

    /** Datagrams over IPv6 that a UDP socket did not get because of their checksum. */
    async function wrongChecksums(): Promise<number> {
      const table = await runIn(lab.real('r1').host.namespace, 'cat', ['/proc/net/snmp6']);
      return Number(/^Udp6InCsumErrors\s+(\d+)$/m.exec(table)?.[1]);
    }

    it('and nothing whose checksum is missing: with gueChecksum: false the same receiver gets nothing over IPv6', async () => {
      expect(await wrongChecksums()).toBe(0);
      await putAll(lab, { 'pools/gue-6': { checks: [fastCheck], encap: 'gue', gueChecksum: false } });
      await expect
        .poll(() => lab.client.connections(1, { vip: gueOver6, timeoutMs: 500 }), { timeout: 5_000 })
        .toEqual([expect.objectContaining({ error: 'TIMEOUT' })]);
    });
  },
);
