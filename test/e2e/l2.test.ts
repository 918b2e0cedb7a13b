import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { ipBatch, runIn } from '../../lab/netns.ts';
import { runDir } from '../../lab/paths.ts';
import { LabReal } from '../../lab/real.ts';
import { routerNamespace, vipPrefix, vipPrefix6 } from '../../lab/topology.ts';
import { counted, fastCheck, poolKeys, putAll, untilAllServe } from '../support/lab-state.ts';
import { needs } from '../support/require.ts';
import { download, upload } from '../support/transfers.ts';

const BYTES = 3_000_000;
const tools = ['etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool', 'curl'];

async function clientFile(): Promise<string> {
  const file = join(runDir, 'client-file');
  await writeFile(file, Buffer.alloc(BYTES, 'upload'));
  return file;
}

describe.skipIf(needs(...tools))('reals that need no tunnel', () => {
  let lab: Lab;
  let file: string;

  beforeAll(async () => {
    // r1 is behind the router; r2 and r3 are on the segment of the LB, and can open no tunnel packet.
    lab = await Lab.up({ reals: 3, neighbours: 2 });
    file = await clientFile();
    const { host } = lab.lb('lb1');
    const onLo = [vipPrefix, vipPrefix6].map((prefix) => `route add local ${prefix} dev lo`);
    await ipBatch(onLo, host.namespace);
    await new LabReal(host).start();
    const own = (address: string): object => ({ checks: [fastCheck], reals: { self: { address } } });
    await putAll(lab, {
      ...poolKeys(lab, 'near-4', 4, { reals: ['r2', 'r3'], encap: 'l2' }),
      ...poolKeys(lab, 'near-6', 6, { reals: ['r2', 'r3'], encap: 'l2' }),
      'pools/self-4': own(host.address),
      'pools/self-6': own(host.address6),
      'vips/near-4': { address: '192.0.2.71', port: 80, protocol: 'tcp', pool: 'near-4' },
      'vips/near-6': { address: '2001:db8:1::72', port: 80, protocol: 'tcp', pool: 'near-6' },
      'vips/self-4': { address: '192.0.2.73', port: 80, protocol: 'tcp', pool: 'self-4' },
      'vips/self-6': { address: '2001:db8:1::74', port: 80, protocol: 'tcp', pool: 'self-6' },
    });
    await untilAllServe(lab, 4);
  });

  afterAll(() => lab?.down());

  describe.each([
    ['IPv4', '192.0.2.71'],
    ['IPv6', '2001:db8:1::72'],
  ])('on the LB’s own segment, over %s', (_what, vip) => {
    it('all take connections', async () => {
      const connections = await lab.client.connections(60, { vip });
      expect(new Set(connections.map(({ real, error }) => real ?? error))).toEqual(new Set(['r2', 'r3']));
    });

    it('take downloads and uploads of packets as large as the link', async () => {
      expect(await download(lab.client, vip, BYTES)).toMatchObject({ code: 0, bytes: BYTES });
      expect(await upload(lab.client, vip, file)).toMatchObject({ code: 0, bytes: BYTES });
    });
  });

  it.each([
    ['IPv4', '192.0.2.73'],
    ['IPv6', '2001:db8:1::74'],
  ])('the LB itself can be one, over %s', async (_what, vip) => {
    const before = await counted(lab, 'local_real');
    expect(await download(lab.client, vip, BYTES)).toEqual({ code: 0, bytes: BYTES, real: 'lb1' });
    expect(await upload(lab.client, vip, file)).toEqual({ code: 0, bytes: BYTES, real: 'lb1' });
    expect(await counted(lab, 'local_real')).toBeGreaterThan(before);
  });
});

describe.skipIf(needs(...tools))('an LB with a second interface', () => {
  let lab: Lab;
  let file: string;

  beforeAll(async () => {
    lab = await Lab.up({ reals: 2, egress: true });
    file = await clientFile();
    await putAll(lab, {
      ...poolKeys(lab, 'four', 4),
      ...poolKeys(lab, 'six', 6, { encap: 'gue' }),
      'vips/four': { address: '192.0.2.75', port: 80, protocol: 'tcp', pool: 'four' },
      'vips/six': { address: '2001:db8:1::76', port: 80, protocol: 'tcp', pool: 'six' },
    });
    await untilAllServe(lab, 2);
  });

  afterAll(() => lab?.down());

  /** Packets that the router got from the LB over one of its legs. */
  async function arrivedOver(device: string): Promise<number> {
    const output = await runIn(routerNamespace, 'ip', ['-json', '-stats', 'link', 'show', 'dev', device]);
    const [link] = JSON.parse(output) as { stats64: { rx: { packets: number } } }[];
    return link?.stats64.rx.packets ?? Number.NaN;
  }

  it.each([
    ['IPv4 and IPIP', '192.0.2.75'],
    ['IPv6 and GUE', '2001:db8:1::76'],
  ])('sends by that one: %s', async (_what, vip) => {
    const { port, egress } = lab.lb('lb1').host;
    const [first, second] = [await arrivedOver(port), await arrivedOver(egress?.port ?? '')];
    const sent = await counted(lab, 'forwarded');
    expect(await download(lab.client, vip, BYTES)).toMatchObject({ code: 0, bytes: BYTES });
    expect(await upload(lab.client, vip, file)).toMatchObject({ code: 0, bytes: BYTES });
    const forwarded = (await counted(lab, 'forwarded')) - sent;
    expect(forwarded).toBeGreaterThan(BYTES / 1_500);
    expect((await arrivedOver(egress?.port ?? '')) - second).toBeGreaterThanOrEqual(forwarded);
    // What the agent itself says to its store is all that is left there.
    expect((await arrivedOver(port)) - first).toBeLessThan(forwarded / 10);
  });
});
