import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flowHash, flowKeys, slotOf } from '../../src/core/flow-hash.ts';
import { readFlow } from '../../src/core/packet-words.ts';
import type { CommandResult } from '../support/command.ts';
import { seed } from '../support/explain.ts';
import type { Segment } from '../support/frames.ts';
import {
  arp,
  ethernet,
  etherTypes,
  icmp,
  ipv4,
  ipv6,
  parseEthernet,
  parseIpv4,
  rawSegment,
  tcp,
  tcpFlags,
  udp,
} from '../support/frames.ts';
import { pcapFile } from '../support/pcap.ts';
import { client, flowFrame, linesOf, TraceFolder, to } from '../support/trace.ts';
import { until } from '../support/until.ts';

/** `pilotfish trace` as people run it, on captures of every kind of frame. */

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const bytes = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const client6 = bytes('20010db8 00000000 00000000 00000007');
const vip6 = bytes('20010db8 ffff0000 00000000 00000010');
const real6 = bytes('20010db8 00010000 00000000 00000001');
const { syn, ack, fin } = tcpFlags;
const payload = Uint8Array.from({ length: 40 }, (_, i) => i);

const web = (flags: number, port = 40_000): Segment => tcp({ from: port, to: 443, flags });

let folder: TraceFolder;

beforeAll(() => {
  folder = new TraceFolder();
});

afterAll(() => folder[Symbol.dispose]());

const file = (name: string): string => folder.file(name);
const save = (name: string, content: Uint8Array): string => folder.save(name, content);
const trace = (...args: string[]): Promise<CommandResult> => folder.trace(args);

/** What a frame becomes, and its line but for the number. */
interface Case {
  readonly what: string;
  readonly frame: Uint8Array;
  readonly line: string;
  readonly out: Uint8Array | null;
}

const noReal = '"real":null,"path":null,"slot":null';
const forwarded = '"action":"TX","reason":"forwarded"';

/** The slot that a flow of this kind asks for, and in `idle` and `empty` finds nobody in. */
function slotTo(destination: string): number {
  const flow = readFlow(`tcp ${client}:40000 > ${destination}:80`);
  return slotOf(flowHash(flowKeys(seed), flow, '5-tuple'));
}

function passes(what: string, frame: Uint8Array, reason: string): Case {
  const line = `"action":"PASS","reason":"${reason}","vip":null,"pool":null,${noReal},"outLen":${frame.length},"events":null`;
  return { what, frame, line, out: frame };
}

function dropped(what: string, frame: Uint8Array, reason: string, found = `"vip":null,"pool":null,${noReal}`): Case {
  return { what, frame, line: `"action":"DROP","reason":"${reason}",${found},"outLen":null,"events":null`, out: null };
}

const macs = { from: '02:00:00:00:00:02', to: '02:00:00:00:00:01' };

/** @param from the outer source: its last two bytes are the flow hash's bits 16 to 31 */
function toR1(frame: Uint8Array, from: string, packetLength = frame.length - 14): Uint8Array {
  const inner = {
    protocol: frame[12] === 0x86 ? 41 : 4,
    bytes: frame.subarray(14, 14 + packetLength),
    checksumAt: null,
  };
  const outer = ipv4({ from, to: '10.0.0.11', ttl: 64, id: 0 }, inner);
  return ethernet(Buffer.concat([outer, frame.subarray(14 + packetLength)]), macs);
}

const udpFrame = ethernet(ipv4({ from: client, to: '192.0.2.10' }, udp({ from: 40_000, to: 443 })), { padTo: 60 });
const frame6 = ethernet(ipv6(client6, vip6, web(syn)), { type: etherTypes.ipv6 });
const answer = ethernet(ipv4({ from: '192.0.2.10', to: client }, tcp({ from: 443, to: 40_000, flags: syn | ack })));

/** Flows, slots and what the outer sources hold of the hash are published vectors: docs/reference/flow-hash.md. */
const mixed: readonly Case[] = [
  passes('ARP', ethernet(arp(client, '192.0.2.10'), { type: etherTypes.arp }), 'not_ip'),
  passes('another address', to('192.0.2.99', web(syn)), 'not_vip'),
  passes('another port', to('192.0.2.10', tcp({ from: 40_000, to: 80 })), 'not_vip'),
  passes('ICMP that is no echo', to('192.0.2.10', icmp(13, payload)), 'icmp_other'),
  {
    what: 'a ping',
    frame: to('192.0.2.10', icmp(8, payload)),
    line: `"action":"TX","reason":"echo_answered","vip":null,"pool":null,${noReal},"outLen":82,"events":null`,
    out: ethernet(ipv4({ from: '192.0.2.10', to: client, ttl: 64 }, icmp(0, payload)), {
      from: '02:00:00:00:00:02',
      to: '02:00:00:00:00:09',
    }),
  },
  {
    what: 'an ACK that nobody remembers',
    frame: flowFrame(ack),
    line: `${forwarded},"vip":"web-443","pool":"web","real":"10.0.0.11","path":"ring","slot":12557,"outLen":74,"events":null`,
    out: toR1(flowFrame(ack), '172.16.235.11'),
  },
  {
    what: 'the same flow again',
    frame: flowFrame(fin | ack),
    line: `${forwarded},"vip":"web-443","pool":"web","real":"10.0.0.11","path":"cache","slot":null,"outLen":74,"events":null`,
    out: toR1(flowFrame(fin | ack), '172.16.235.11'),
  },
  {
    what: 'its ports anew: a SYN never asks the cache',
    frame: flowFrame(syn),
    line: `${forwarded},"vip":"web-443","pool":"web","real":"10.0.0.11","path":"ring","slot":12557,"outLen":74,"events":null`,
    out: toR1(flowFrame(syn), '172.16.235.11'),
  },
  {
    what: 'another flow',
    frame: flowFrame(syn, 40_001),
    line: `${forwarded},"vip":"web-443","pool":"web","real":"10.0.0.11","path":"ring","slot":28442,"outLen":74,"events":null`,
    out: toR1(flowFrame(syn, 40_001), '172.16.164.150'),
  },
  {
    what: 'UDP, padded by the NIC',
    frame: udpFrame,
    line: `${forwarded},"vip":"quic","pool":"web","real":"10.0.0.11","path":"ring","slot":57541,"outLen":80,"events":null`,
    out: toR1(udpFrame, '172.16.44.160', 28),
  },
  {
    what: 'IPv6 to an IPv4 real',
    frame: frame6,
    line: `${forwarded},"vip":"web-6","pool":"web","real":"10.0.0.11","path":"ring","slot":56667,"outLen":94,"events":null`,
    out: toR1(frame6, '172.16.223.5'),
  },
  {
    what: 'a VIP of every port, to an IPv6 real',
    frame: answer,
    line: `${forwarded},"vip":"all","pool":"six","real":"2001:db8:1::1","path":"ring","slot":59162,"outLen":94,"events":null`,
    out: ethernet(
      Buffer.concat([bytes('6009e147 0028 04 40 01000000 00000000 47e119e7 b39bdfac'), real6, answer.subarray(14)]),
      { ...macs, type: etherTypes.ipv6 },
    ),
  },
  dropped(
    'a pool without reals',
    to('192.0.2.20', tcp({ from: 40_000, to: 80, flags: syn })),
    'no_real',
    `"vip":"empty","pool":"empty","real":null,"path":null,"slot":${slotTo('192.0.2.20')}`,
  ),
  dropped(
    'a pool of which all are drained or of weight 0',
    to('192.0.2.21', tcp({ from: 40_000, to: 80, flags: syn })),
    'no_real',
    `"vip":"idle","pool":"idle","real":null,"path":null,"slot":${slotTo('192.0.2.21')}`,
  ),
  dropped('a first fragment', to('192.0.2.10', web(ack), { dontFragment: false, moreFragments: true }), 'fragment'),
  dropped(
    'a later fragment',
    to('192.0.2.10', rawSegment(6, payload), { dontFragment: false, fragmentOffset: 185 }),
    'fragment',
  ),
  dropped('IP options', to('192.0.2.10', web(ack), { options: Uint8Array.of(1, 1, 1, 1) }), 'ip_options'),
  dropped('a packet longer than its frame', to('192.0.2.10', web(ack), { totalLength: 41 }), 'malformed'),
  passes('a cut IP header', flowFrame(ack).subarray(0, 33), 'unreadable'),
  passes('less than an Ethernet header', flowFrame(ack).subarray(0, 13), 'unreadable'),
];

const golden = mixed.map(({ line }, i) => `{"n":${i + 1},${line}}\n`).join('');
const frames = mixed.map(({ frame }) => frame);
const summary =
  '20 frames: 1 not_ip, 2 unreadable, 2 not_vip, 1 icmp_other, 2 fragment, 1 ip_options, 1 malformed, 2 no_real, 7 forwarded, 1 echo_answered\n';

describe('a capture of all kinds of frames', () => {
  it.each([
    ['little-endian, microseconds', {}, []],
    ['big-endian, nanoseconds', { littleEndian: false, nanoseconds: true }, ['--json']],
  ])('is told line by line: %s', async (_what, form, options) => {
    const path = save('mixed.pcap', pcapFile(frames, form));
    expect(await trace('--in', path, ...options)).toEqual({ code: 0, stdout: golden, stderr: summary });
  });

  it.each([false, true])(
    'leaves in --out what passes or is sent, byte for byte; nanoseconds: %s',
    async (nanoseconds) => {
      const path = save('mixed.pcap', pcapFile(frames, { nanoseconds, littleEndian: false }));
      const { code, stderr } = await trace('--in', path, '--out', file('out.pcap'));
      expect([code, stderr]).toEqual([0, summary]);
      const left = mixed.flatMap(({ out }, i) =>
        out === null ? [] : [{ data: out, seconds: 1_000 + i, fraction: i }],
      );
      expect(left.length).toBe(14);
      expect(readFileSync(file('out.pcap'))).toEqual(pcapFile(left, { nanoseconds }));
    },
  );

  it('may come over the standard input, late, and be printed as a table', async () => {
    const path = save('few.pcap', pcapFile(frames.slice(5, 7)));
    const prefix = ['sh', '-c', `(sleep 0.3; cat ${path}) | "$@"`, 'sh'];
    expect(await folder.trace(['--in', '-', '-o', 'table'], prefix)).toEqual({
      code: 0,
      stdout: [
        'n  action  reason     vip      pool  real       path    slot  outLen  events',
        '1  TX      forwarded  web-443  web   10.0.0.11  ring   12557      74  -',
        '2  TX      forwarded  web-443  web   10.0.0.11  cache      -      74  -',
        '',
      ].join('\n'),
      stderr: '2 frames: 2 forwarded\n',
    });
  });
});

describe('frames in words', () => {
  const words = 'tcp 198.51.100.7:40000 > 192.0.2.10:443';
  const [gateway, own] = ['02:00:00:00:0a:01', '02:00:00:00:0a:02'];

  it('are sent in their order, from the gateway and to this LB', async () => {
    const packets = [`${words} syn`, `${words} len 100 tos 0xb8`, 'udp [2001:db8::7]:1 > [2001:db8:ffff::10]:443'];
    const macOptions = ['--gateway-mac', gateway.toUpperCase(), '--own-mac', own];
    const result = await trace(
      ...packets.flatMap((text) => ['--packet', text]),
      ...macOptions,
      '--out',
      file('out.pcap'),
    );
    expect(linesOf(result).map(({ action, path, outLen }) => [action, path, outLen])).toEqual([
      ['TX', 'ring', 74],
      ['TX', 'cache', 174],
      ['PASS', null, 62],
    ]);
    const out = readFileSync(file('out.pcap'));
    const sent = parseEthernet(out.subarray(40, 40 + 74));
    expect(sent).toMatchObject({ from: own, to: gateway, type: etherTypes.ipv4 });
    const second = parseEthernet(out.subarray(40 + 74 + 16, 40 + 74 + 16 + 174));
    expect(parseIpv4(second.payload).tos).toBe(0xb8);
    expect(parseEthernet(out.subarray(-62))).toMatchObject({ from: gateway, to: own, type: etherTypes.ipv6 });
  });

  it.each([
    [1_500, 'forwarded'],
    [3_440, 'forwarded'],
  ])('of %i bytes are not too big by default', async (length, reason) => {
    const [line] = linesOf(await trace('--packet', `${words} len ${length - 40}`));
    expect(line).toMatchObject({ reason, outLen: length + 34 });
  });

  it('are too big for an MTU by one byte, and the real is told all the same', async () => {
    const packets = [`${words} syn len 1440`, `${words} syn len 1441`, `${words} syn len 1441 nodf`];
    const [fits, exceeds, mute] = linesOf(
      await trace('--mtu', '1500', ...packets.flatMap((text) => ['--packet', text])),
    );
    expect(fits).toMatchObject({ action: 'TX', reason: 'forwarded' });
    const found = { real: '10.0.0.11', path: 'ring' };
    expect(exceeds).toMatchObject({ action: 'TX', reason: 'too_big_answered', ...found, outLen: 14 + 20 + 8 + 548 });
    expect(mute).toMatchObject({ action: 'DROP', reason: 'too_big', ...found, outLen: null });
  });
});

describe('many frames', () => {
  it('go to one CPU in their order: what comes second is remembered', async () => {
    const ports = Array.from({ length: 2_000 }, (_, i) => 1_024 + i);
    const path = save('order.pcap', pcapFile([...ports, ...ports].map((port) => flowFrame(ack, port))));
    const lines = linesOf(await trace('--in', path));
    expect(lines.map(({ n }) => n)).toEqual(Array.from({ length: 4_000 }, (_, i) => i + 1));
    expect(new Set(lines.slice(0, 2_000).map((line) => line.path))).toEqual(new Set(['ring']));
    expect(new Set(lines.slice(2_000).map((line) => line.path))).toEqual(new Set(['cache']));
  });

  it('of every length are told, and none stops the others', async () => {
    const lengths = [...Array.from({ length: 80 }, (_, i) => i), 3_519, 3_520, 3_521, 65_535, 262_144];
    const first = flowFrame(ack);
    const path = save(
      'lengths.pcap',
      pcapFile(lengths.map((length) => Buffer.concat([first, Buffer.alloc(length)]).subarray(0, length))),
    );
    const result = await trace('--in', path);
    const lines = linesOf(result);
    expect(lines.length).toBe(lengths.length);
    expect([lines[0], lines[13], lines[33], lines[34], lines[54]]).toMatchObject([
      { action: 'PASS', reason: 'unreadable', outLen: 0 },
      { action: 'PASS', reason: 'unreadable', outLen: 13 },
      { action: 'PASS', reason: 'unreadable', outLen: 33 },
      { action: 'DROP', reason: 'malformed' },
      { action: 'TX', reason: 'forwarded' },
    ]);
    expect(lines.slice(-5).map(({ action, reason }) => [action, reason])).toEqual([
      ['TX', 'forwarded'],
      ['TX', 'forwarded'],
      ['ABORTED', null],
      ['ABORTED', null],
      ['ABORTED', null],
    ]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /PF_PCAP: .*: 3 frames not tried: frame 83 has 3521 bytes, .* on 3520 at most\n {2}fix: .*gro off/,
    );
  });

  it("that are too big are all answered: an LB's limit by the second is none here", async () => {
    const path = save(
      'big.pcap',
      pcapFile(
        Array.from({ length: 3_000 }, () => to('192.0.2.10', tcp({ from: 1, to: 443, payload: new Uint8Array(1441) }))),
      ),
    );
    const reasons = linesOf(await trace('--mtu', '1500', '--in', path)).map(({ reason }) => reason);
    expect(new Set(reasons)).toEqual(new Set(['too_big_answered']));
  });

  it('100,000 of them are all told and all written', async () => {
    const one = flowFrame(ack);
    const many = Array.from({ length: 100_000 }, (_, i) => {
      const frame = Buffer.from(one);
      frame.writeUInt32BE(0xc6336400 + (i % 50_000), 26);
      return frame;
    });
    const path = save('many.pcap', pcapFile(many));
    const out = file('many-out.pcap');
    const command = [process.execPath, main, ...folder.args, '--in', path, '--out', out];
    // To a file: the output is larger than what the helper for commands takes.
    execFileSync('sh', ['-c', '"$@" > "$0"', file('many.ndjson'), ...command], { stdio: 'pipe' });
    const lines = readFileSync(file('many.ndjson'), 'utf8').split('\n').slice(0, -1);
    expect(lines.length).toBe(100_000);
    expect(JSON.parse(lines[99_999] ?? '')).toMatchObject({ n: 100_000, action: 'TX', path: 'cache', outLen: 74 });
    expect(lines.filter((line) => line.includes('"path":"ring"')).length).toBe(50_000);
    expect(statSync(out).size).toBe(24 + 100_000 * (16 + 74));
  });

  it('end with their reader', async () => {
    const path = save('order.pcap', pcapFile(Array.from({ length: 20_000 }, () => flowFrame(ack))));
    const { stdout, stderr } = await folder.trace(['--in', path], ['sh', '-c', '"$@" | head -n 1', 'sh']);
    expect([stdout.split('\n').length, stderr.includes('EPIPE')]).toEqual([2, false]);
  });
});

describe('afterwards', () => {
  const programs = (): number[] =>
    (
      JSON.parse(execFileSync('bpftool', ['-j', 'prog', 'list'], { encoding: 'utf8' })) as {
        id: number;
        name?: string;
      }[]
    )
      .filter(({ name }) => name === 'pilotfish')
      .map(({ id }) => id);

  /** By descriptors of processes that live: another one may run its own at the same time. */
  function heldByProcesses(): Set<number> {
    const held = new Set<number>();
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
      try {
        for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
          const [, id] = /^prog_id:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? [];
          if (id !== undefined) held.add(Number(id));
        }
      } catch {
        // It has ended meanwhile, and so holds nothing.
      }
    return held;
  }

  it('nothing is left: no program, no pin', async () => {
    const before = new Set(programs());
    const path = save('mixed.pcap', pcapFile(frames));
    const inOwnBpffs = 'mount -t bpf bpf /sys/fs/bpf && "$@" && find /sys/fs/bpf -mindepth 1 ! -name *.debug';
    const result = await folder.trace(['--in', path], ['unshare', '--mount', 'sh', '-c', inOwnBpffs, 'sh']);
    expect(result).toEqual({ code: 0, stdout: golden, stderr: summary });
    await until('the program is gone', 10_000, () => {
      const held = heldByProcesses();
      return programs().every((id) => before.has(id) || held.has(id));
    });
  });
});
