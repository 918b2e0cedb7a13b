import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { udpChecksumsFrom } from '../../lab/capture.ts';
import { Lab } from '../../lab/lab.ts';
import { runDir } from '../../lab/paths.ts';
import { fastCheck, poolKeys, putAll, untilAllServe } from '../support/lab-state.ts';
import { needs } from '../support/require.ts';
import { download, upload } from '../support/transfers.ts';

const vip4 = '192.0.2.10';
const vip6 = '2001:db8:1::10';
const guePort = 9886;

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'curl', 'tcpdump'))('GUE', () => {
  let lab: Lab;
  let file: string;

  beforeAll(async () => {
    lab = await Lab.up({ reals: 2 });
    file = join(runDir, 'client-file');
    await writeFile(file, Buffer.alloc(3_000_000, 'upload'));
    await putAll(lab, {
      ...poolKeys(lab, 'four', 4, { encap: 'gue' }),
      ...poolKeys(lab, 'six', 6, { encap: 'gue', guePort }),
      'vips/4-to-4': { address: vip4, port: 80, protocol: 'tcp', pool: 'four' },
      'vips/4-to-6': { address: vip4, port: 8080, protocol: 'tcp', pool: 'six' },
      'vips/6-to-4': { address: vip6, port: 80, protocol: 'tcp', pool: 'four' },
      'vips/6-to-6': { address: vip6, port: 8080, protocol: 'tcp', pool: 'six' },
    });
    await untilAllServe(lab, 4);
  });

  afterAll(() => lab?.down());

  describe.each([
    ['an IPv4 VIP to IPv4 reals', vip4, 80, 6080],
    ['an IPv4 VIP to IPv6 reals', vip4, 8080, guePort],
    ['an IPv6 VIP to IPv4 reals', vip6, 80, 6080],
    ['an IPv6 VIP to IPv6 reals', vip6, 8080, guePort],
  ] as const)('from %s', (_what, vip, port, outerPort) => {
    it('reaches all reals', async () => {
      const connections = await lab.client.connections(60, { vip, port });
      expect(new Set(connections.map(({ real, error }) => real ?? error))).toEqual(new Set(['r1', 'r2']));
    });

    it('carries a download and an upload', async () => {
      expect(await download(lab.client, vip, 3_000_000, port)).toMatchObject({ code: 0, bytes: 3_000_000 });
      expect(await upload(lab.client, vip, file, port)).toMatchObject({ code: 0, bytes: 3_000_000 });
    });

    it('has an outer checksum that tcpdump finds right, in small packets and in large ones', async () => {
      const transfer = () => upload(lab.client, vip, file, port);
      const checksums = await udpChecksumsFrom(lab.lb('lb1').host, outerPort, 400, transfer);
      expect(checksums).toEqual({ right: 400, wrong: 0, none: 0 });
    });
  });

  it('has no outer checksum with gueChecksum: false', async () => {
    await putAll(lab, { 'pools/four': { checks: [fastCheck], encap: 'gue', gueChecksum: false } });
    const transfer = () => download(lab.client, vip4, 3_000_000);
    await expect
      .poll(() => udpChecksumsFrom(lab.lb('lb1').host, 6080, 20, transfer), { timeout: 10_000 })
      .toEqual({ right: 0, wrong: 0, none: 20 });
    expect(await transfer()).toMatchObject({ code: 0, bytes: 3_000_000 });
  });
});
