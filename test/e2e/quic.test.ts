import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { statePrefix } from '../../lab/agent.ts';
import { Lab } from '../../lab/lab.ts';
import { type CidForm, longPacket, readPacket, shortPacket } from '../../lab/quic.ts';
import { until } from '../../lab/until.ts';
import { counted, poolKeys, putAll, untilAllServe } from '../support/lab-state.ts';
import { needs } from '../support/require.ts';

const vip4 = '192.0.2.40';
const vip6 = '2001:db8:1::40';

/** The VIPs of a port read connection ids in one form. */
const ports = { katran: 443, quicLb: 4433, off: 8443 } as const;

/** Each real issues connection ids of another version of katran’s form. */
const katranForms = { r1: 'katran-1', r2: 'katran-2', r3: 'katran-3' } as const;
type RealName = keyof typeof katranForms;
const realNames = Object.keys(katranForms) as RealName[];

/** Ids as long as the real’s version of katran’s form allows; the same host is another real in another pool. */
const serverIds = {
  four: { r1: 0xa5c3, r2: 0x9a5c31, r3: 0xfe9a5c31 },
  six: { r1: 0x5a3c, r2: 0xa9c513, r3: 0xef9a5c13 },
} as const;

/** What a server says about a packet: its name, and whether it knows the connection. */
interface Reply {
  readonly real: string;
  readonly connection: string;
  /** The server’s own connection id; empty with a short header. */
  readonly cid: Buffer;
}

describe.skipIf(needs('etcd', 'etcdctl', 'nginx', 'ip', 'tc', 'ethtool'))('QUIC', () => {
  let lab: Lab;
  /** Source ports that no flow has had before: each a new 5-tuple. */
  let nextPort = 20_000;

  const weigh = (name: RealName, weight: number) => {
    const { address, address6 } = lab.real(name).host;
    return putAll(lab, {
      [`pools/four/reals/${name}`]: { address, weight, serverIds: [serverIds.four[name]] },
      [`pools/six/reals/${name}`]: { address: address6, weight, serverIds: [serverIds.six[name]] },
    });
  };

  async function startServers(vip: string, pool: keyof typeof serverIds): Promise<void> {
    for (const name of realNames) {
      const serve = (port: number, form: CidForm) =>
        lab.real(name).serve('quic-server', { addresses: [vip], port, form, serverId: serverIds[pool][name] });
      await serve(ports.katran, katranForms[name]);
      await serve(ports.quicLb, 'quic-lb');
      if (vip === vip4) await serve(ports.off, katranForms[name]);
    }
  }

  beforeAll(async () => {
    lab = await Lab.up();
    await Promise.all([startServers(vip4, 'four'), startServers(vip6, 'six')]);
    const udp = { protocol: 'udp' };
    await putAll(lab, {
      ...poolKeys(lab, 'four', 4),
      ...poolKeys(lab, 'six', 6, { encap: 'gue' }),
      'vips/katran-4': { ...udp, address: vip4, port: ports.katran, pool: 'four', quic: 'katran' },
      'vips/katran-6': { ...udp, address: vip6, port: ports.katran, pool: 'six', quic: 'katran' },
      'vips/quic-lb-4': { ...udp, address: vip4, port: ports.quicLb, pool: 'four', quic: 'quic-lb' },
      'vips/quic-lb-6': { ...udp, address: vip6, port: ports.quicLb, pool: 'six', quic: 'quic-lb' },
      'vips/off-4': { ...udp, address: vip4, port: ports.off, pool: 'four', quic: 'off' },
    });
    for (const name of realNames) await weigh(name, 100);
    await untilAllServe(lab, 5);
  });

  afterAll(() => lab?.down());

  afterEach(async () => {
    for (const name of realNames) await weigh(name, 100);
    await untilAllServe(lab, 5);
  });

  /** Sends each packet from a source port of its own, which no packet had before. */
  async function send(vip: string, port: number, packets: readonly Buffer[]): Promise<Reply[]> {
    const datagrams = packets.map((payload) => ({ from: nextPort++, payload }));
    const answers = await lab.client.exchange(datagrams, { vip, port });
    return answers.map(({ payload }) => {
      const { text, source } = readPacket(payload ?? shortPacket(Buffer.alloc(8), 'nobody answers'));
      const [real = '', connection = ''] = text.split(' ');
      return { real, connection, cid: source };
    });
  }

  /** Opens connections until each real has one. */
  async function connect(vip: string, port: number): Promise<Reply[]> {
    const initials = Array.from({ length: 30 }, () => longPacket('initial', randomBytes(8), randomBytes(8), ''));
    const replies = await send(vip, port, initials);
    const found = realNames
      .map((name) => replies.find(({ real }) => real === name))
      .filter((reply) => reply !== undefined);
    expect(found.map(({ real }) => real)).toEqual(realNames);
    return found;
  }

  /** The client of each connection changes its address again and again, here its port. */
  async function goOn(vip: string, port: number, connections: readonly Reply[]): Promise<Reply[]> {
    const packets = connections.flatMap(({ cid }) => [
      longPacket('handshake', cid, Buffer.alloc(8), 'long'),
      ...Array.from({ length: 9 }, (_, i) => shortPacket(cid, `short ${i}`)),
    ]);
    return send(vip, port, packets);
  }

  const stayed = (connections: readonly Reply[]): object[] =>
    connections.flatMap(({ real }) =>
      Array.from({ length: 10 }, () => expect.objectContaining({ real, connection: 'known' })),
    );

  it.each([
    ['katran’s ids over IPv4', vip4, ports.katran],
    ['katran’s ids over IPv6 and GUE', vip6, ports.katran],
    ['QUIC-LB’s ids over IPv4', vip4, ports.quicLb],
    ['QUIC-LB’s ids over IPv6 and GUE', vip6, ports.quicLb],
  ])('keeps a client that moves at its real while the ring changes: %s', async (_what, vip, port) => {
    const connections = await connect(vip, port);
    expect(await goOn(vip, port, connections)).toEqual(stayed(connections));
    for (const drained of ['r1', 'r2'] as const) {
      await weigh(drained, 0);
      await untilAllServe(lab, 5);
      expect(await goOn(vip, port, connections)).toEqual(stayed(connections));
      await weigh(drained, 100);
    }
    expect(await counted(lab, 'no_real')).toBe(0);
  });

  it('does not follow ids of a real in maintenance', async () => {
    const connections = await connect(vip4, ports.katran);
    const override = `${statePrefix}desired/overrides/four/r2`;
    await lab.etcd.put(override, { state: 'maintenance' });
    try {
      const inMaintenance = async () =>
        (await lab.lb('lb1').state()).pools.flatMap(({ reals }) => reals).some((r) => r.state === 'maintenance');
      await until(inMaintenance, { what: 'r2 is in maintenance' });
      const unknownIds = async () => (await lab.lb('lb1').state()).events.unknown_id ?? Number.NaN;
      const before = await unknownIds();
      const replies = await goOn(vip4, ports.katran, connections);
      expect((await unknownIds()) - before).toBe(10);
      expect(new Set(replies.map(({ real }) => real))).toEqual(new Set(['r1', 'r3']));
      expect(replies.filter(({ connection }) => connection === 'unknown').length).toBe(10);
    } finally {
      await lab.etcd.delete(override);
    }
  });

  it('loses a client that moves where quic is off', async () => {
    const connections = await connect(vip4, ports.off);
    const replies = await goOn(vip4, ports.off, connections);
    const strangers = replies.filter(({ connection }) => connection === 'unknown');
    expect(strangers.length).toBeGreaterThan(replies.length / 3);
  });
});
