import { readFileSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { ethernet, ipv4, parseEthernet, rawSegment, tcpFlags, udp } from '../support/frames.ts';
import { pcapFile } from '../support/pcap.ts';
import { client, flowFrame, linesOf, TraceFolder } from '../support/trace.ts';

/** What `pilotfish trace` is told about the host. */

const words = 'tcp 198.51.100.7:40000 > 192.0.2.10:443';
const { ack } = tcpFlags;
const ownMac = '02:00:00:00:00:02';

let folder: TraceFolder;

beforeAll(() => {
  folder = new TraceFolder();
});

afterAll(() => folder[Symbol.dispose]());

const file = (name: string): string => folder.file(name);
const save = (name: string, content: Uint8Array): string => folder.save(name, content);
const trace = (...args: string[]): Promise<CommandResult> => folder.trace(args);

describe('frames', () => {
  it('leave by another interface, but answers go back', async () => {
    const packets = [words, 'icmp 198.51.100.7 > 192.0.2.10 echo', `${words} len 1441`];
    const args = ['--egress', '--mtu', '1500', ...packets.flatMap((text) => ['--packet', text])];
    const lines = linesOf(await trace(...args, '--out', file('out.pcap')));
    expect(lines.map(({ action, reason }) => [action, reason])).toEqual([
      ['REDIRECT', 'forwarded'],
      ['TX', 'echo_answered'],
      ['TX', 'too_big_answered'],
    ]);
    const lengths = lines.reduce((sum, { outLen }) => sum + 16 + (outLen ?? 0), 24);
    expect(statSync(file('out.pcap')).size).toBe(lengths);
  });

  it('are passed up to a local real, and it is told', async () => {
    const [line] = linesOf(await trace('--local', '10.0.0.99, 10.0.0.11', '--packet', words));
    expect(line).toMatchObject({ action: 'PASS', reason: 'local_real', real: '10.0.0.11', path: 'ring', outLen: 54 });
  });

  it('keep their VLAN tags', async () => {
    const [line] = linesOf(await trace('--packet', `${words} vlan 100 vlan 200`, '--out', file('out.pcap')));
    expect(line).toMatchObject({ action: 'TX', reason: 'forwarded', outLen: 82 });
    expect(
      readFileSync(file('out.pcap'))
        .subarray(40 + 12, 40 + 22)
        .toString('hex'),
    ).toBe('81000064810000c80800');
  });

  it.each<[string, string[], string, string]>([
    ['made up from its address', [], '192.0.2.22', '02:01:0a:00:00:29'],
    ['as it is given', ['--neighbour', '10.0.0.41=02:00:00:00:0B:41'], '192.0.2.22', '02:00:00:00:0b:41'],
  ])('go to the MAC address of an l2 real: %s', async (_what, args, vip, mac) => {
    const [line] = linesOf(await trace(...args, '--packet', `tcp ${client}:1 > ${vip}:80`, '--out', file('out.pcap')));
    expect(line).toMatchObject({ action: 'TX', real: '10.0.0.41', outLen: 54 });
    expect(parseEthernet(readFileSync(file('out.pcap')).subarray(40))).toMatchObject({ to: mac, from: ownMac });
  });

  it('are dropped where the MAC address of an l2 real is not known', async () => {
    const args = ['--neighbour', '10.0.0.41=00:00:00:00:00:00', '--packet', `tcp ${client}:1 > 192.0.2.22:80`];
    expect(linesOf(await trace(...args))).toMatchObject([
      { action: 'DROP', reason: 'no_neighbour', real: '10.0.0.41' },
    ]);
  });

  it('are opened where a tunnel ends, by IPIP and by GUE at its port', async () => {
    const inner = flowFrame(ack).subarray(14);
    const ends = '198.18.0.1,2001:db8:5::1';
    const ipip = ethernet(ipv4({ from: '198.18.0.9', to: '198.18.0.1' }, rawSegment(4, inner)));
    const gue = (port: number) =>
      ethernet(ipv4({ from: '198.18.0.9', to: '198.18.0.1' }, udp({ from: 50_000, to: port, payload: inner })));
    const path = save('tunnels.pcap', pcapFile([ipip, gue(6080), gue(7777)]));
    const lines = linesOf(await trace('--decap', ends, '--in', path));
    expect(lines.map(({ reason, events, path }) => [reason, events, path])).toEqual([
      ['forwarded', ['opened'], 'ring'],
      ['forwarded', ['opened'], 'cache'],
      ['not_vip', null, null],
    ]);
    const other = linesOf(await trace('--decap', ends, '--gue-port', '7777', '--in', path));
    expect(other.map(({ events }) => events)).toEqual([['opened'], null, ['opened']]);
  });

  it('are passed for an address of this LB, if it is only in the prefix of a VIP', async () => {
    const vips = 'vips: {all: {address: 10.0.0.0/8, port: 0, protocol: tcp, pool: web}}';
    const reals = 'pools: {web: {checks: [{type: tcp, port: 80}], reals: {r1: {address: 172.20.0.11}}}}';
    const path = save('own.yaml', Buffer.from(`${vips}\n${reals}\n`));
    const ask = [
      '--packet',
      'tcp 198.51.100.7:40000 > 10.0.0.2:22 syn',
      '--packet',
      'tcp 198.51.100.7:1 > 10.0.0.3:22',
    ];
    const answers = async (...options: string[]) =>
      linesOf(await pilotfish(['trace', '--state', path, ...options, ...ask])).map(({ reason }) => reason);
    expect(await answers()).toEqual(['forwarded', 'forwarded']);
    expect(await answers('--own', '10.0.0.2,10.0.0.1')).toEqual(['not_vip', 'forwarded']);
  });

  it('are dropped when there is no gateway', async () => {
    const [line] = linesOf(await trace('--gateway-mac', '00:00:00:00:00:00', '--packet', words));
    expect(line).toMatchObject({ action: 'DROP', reason: 'no_gateway', real: '10.0.0.11' });
  });
});
