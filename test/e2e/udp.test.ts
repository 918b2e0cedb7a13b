import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statePrefix } from '../../lab/agent.ts';
import { Lab } from '../../lab/lab.ts';
import { until } from '../../lab/until.ts';
import { poolKeys, putAll, untilAllServe } from '../support/lab-state.ts';
import { needs } from '../support/require.ts';

const vip4 = '192.0.2.20';
const vip6 = '2001:db8:1::20';
const port = 7;
/** The shortest there is. */
const UDP_TIMEOUT_MS = 2_000;
/** By so much an entry may outlive its time: the flow cache's clock ticks every two seconds or so. */
const TICK_MS = 2_500;
const PORTS = Array.from({ length: 40 }, (_, i) => 20_000 + i);

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool'))('UDP', () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.up();
    await Promise.all(lab.reals.map((real) => real.serve('udp-echo', { addresses: [vip4, vip6], port })));
    const vip = { port, protocol: 'udp', udpTimeout: `${UDP_TIMEOUT_MS}ms` };
    await putAll(lab, {
      ...poolKeys(lab, 'four', 4),
      ...poolKeys(lab, 'six', 6, { encap: 'gue' }),
      'vips/echo-4': { address: vip4, pool: 'four', ...vip },
      'vips/echo-6': { address: vip6, pool: 'six', ...vip },
    });
    await untilAllServe(lab, 2);
  });

  afterAll(() => lab?.down());

  /** Which real answered each datagram, in the order of the ports; the answer has to be the datagram itself. */
  async function answeredBy(vip: string, ports: readonly number[]): Promise<string[]> {
    const datagrams = ports.map((from, i) => ({ from, payload: Buffer.from(`datagram ${i} from ${from}`) }));
    const answers = await lab.client.exchange(datagrams, { vip, port });
    return answers.map(({ payload }, i) => {
      const [name = '', ...echoed] = (payload?.toString() ?? 'no answer').split(' ');
      return echoed.join(' ') === datagrams[i]?.payload.toString() ? name : `not echoed: ${payload}`;
    });
  }

  async function setWeight(pool: string, real: string, address: string, weight: number): Promise<void> {
    await lab.etcd.put(`${statePrefix}desired/pools/${pool}/reals/${real}`, { address, weight });
    const slots = async () =>
      (await lab.lb('lb1').state()).pools.find(({ name }) => name === pool)?.reals.find(({ id }) => id === real)?.slots;
    await until(async () => ((await slots()) ?? 0) > 0 === weight > 0, { what: `${real} has its weight of ${weight}` });
  }

  it.concurrent.each([
    ['IPv4, by IPIP', vip4, 'four', 'address'],
    ['IPv6, by GUE', vip6, 'six', 'address6'],
  ] as const)('of a flow stays with one real until it was silent for its time: %s', async (_what, vip, pool, field) => {
    const before = await answeredBy(vip, PORTS);
    expect(new Set(before)).toEqual(new Set(['r1', 'r2', 'r3']));
    expect(await answeredBy(vip, [...PORTS, ...PORTS])).toEqual([...before, ...before]);

    const { host } = lab.real('r2');
    await setWeight(pool, 'r2', host[field], 0);
    expect(await answeredBy(vip, PORTS), 'a flow that is remembered stays').toEqual(before);
    const strangers = PORTS.map((from) => from + 1_000);
    expect(await answeredBy(vip, strangers), 'a new flow goes by the new ring').not.toContain('r2');

    await sleep(UDP_TIMEOUT_MS + TICK_MS);
    const after = await answeredBy(vip, PORTS);
    expect(new Set(after)).toEqual(new Set(['r1', 'r3']));
    expect(after.filter((name, i) => before[i] !== 'r2' && before[i] !== name).length).toBeLessThan(PORTS.length / 4);

    // A flow that goes on never expires, though its ring would send it elsewhere.
    await setWeight(pool, 'r2', host[field], 100);
    for (const deadline = Date.now() + UDP_TIMEOUT_MS + TICK_MS; Date.now() < deadline; await sleep(500))
      expect(await answeredBy(vip, PORTS)).toEqual(after);
  });
});
