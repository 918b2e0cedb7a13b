import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { largeFileBytes } from '../../lab/real.ts';
import { until } from '../../lab/until.ts';
import { needs } from '../support/require.ts';
import { stateOf } from '../support/two-lbs.ts';

const desired = '/pilotfish/v1/desired';
const vip4 = '192.0.2.10';
const vip6 = '2001:db8:1::10';

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'curl'))('families, through two LBs', () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.up({ lbs: 2 });
    const put = (key: string, value: unknown) => lab.etcd.put(`${desired}/${key}`, value);
    const check = { type: 'tcp', interval: '500ms', port: 80 };
    await Promise.all(['four', 'six'].map((pool) => put(`pools/${pool}`, { checks: [check] })));
    for (const { name, host } of lab.reals) {
      await put(`pools/four/reals/${name}`, { address: host.address });
      await put(`pools/six/reals/${name}`, { address: host.address6 });
    }
    for (const [name, address, port, pool] of [
      ['4-to-4', vip4, 80, 'four'],
      ['4-to-6', vip4, 8080, 'six'],
      ['6-to-4', vip6, 80, 'four'],
      ['6-to-6', vip6, 8080, 'six'],
    ] as const)
      await put(`vips/${name}`, { address, port, protocol: 'tcp', pool });
    const serving = async () =>
      (await stateOf(lab)).every(
        ({ pools }) =>
          pools.length === 2 && pools.every(({ reals }) => reals.length === 3 && reals.every((r) => r.slots > 0)),
      );
    await until(serving, { what: 'both LBs serve both pools', timeoutMs: 15_000 });
  });

  afterAll(() => lab?.down());

  describe.each([
    ['an IPv4 VIP to IPv4 reals', vip4, 80],
    ['an IPv4 VIP to IPv6 reals', vip4, 8080],
    ['an IPv6 VIP to IPv4 reals', vip6, 80],
    ['an IPv6 VIP to IPv6 reals', vip6, 8080],
  ] as const)('%s', (_what, address, port) => {
    const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;

    it('spreads connections over all reals', async () => {
      const connections = await lab.client.connections(300, { vip: address, port });
      expect(connections.filter(({ error }) => error !== undefined)).toEqual([]);
      for (const { name } of lab.reals)
        expect(connections.filter(({ real }) => real === name).length).toBeGreaterThan(50);
    });

    it('carries a download and an upload', async () => {
      const download = await lab.client.curl([
        '--max-time',
        '20',
        '--output',
        '/dev/null',
        '--write-out',
        '%{size_download}',
        `${url}/large`,
      ]);
      expect(download).toMatchObject({ code: 0, stdout: String(largeFileBytes) });
      const upload = await lab.client.curl([
        '--max-time',
        '20',
        '--upload-file',
        process.execPath,
        '--write-out',
        '%{http_code}',
        `${url}/upload`,
      ]);
      expect(upload.code).toBe(0);
      expect(upload.stdout).toMatch(/^20[14]$/);
    });
  });

  it('used both LBs', async () => {
    for (const { vips } of await stateOf(lab))
      for (const { name, packets } of vips) expect(packets, `packets for ${name}`).toBeGreaterThan(100);
  });
});
