import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandResult, pilotfish } from '../support/command.ts';
import { tcpFlags } from '../support/frames.ts';
import { pcapFile } from '../support/pcap.ts';
import { flowFrame, linesOf, TraceFolder } from '../support/trace.ts';

/** What `pilotfish trace` says when it cannot do what it is asked. */

const icmp = 'icmp 198.51.100.7 > 192.0.2.10 echo';
let folder: TraceFolder;

beforeAll(() => {
  folder = new TraceFolder();
});

afterAll(() => folder[Symbol.dispose]());

const file = (name: string): string => folder.file(name);
const save = (name: string, content: Uint8Array): string => folder.save(name, content);
const trace = (...args: string[]): Promise<CommandResult> => folder.trace(args);

describe('what cannot be traced', () => {
  it('breaks off in the middle: the frames before it are told, and the exit code is 1', async () => {
    const whole = pcapFile([flowFrame(tcpFlags.ack), flowFrame(tcpFlags.ack)]);
    const path = save('half.pcap', whole.subarray(0, -1));
    const result = await trace('--in', path, '--out', file('out.pcap'));
    expect(result.code).toBe(1);
    expect(linesOf(result).length).toBe(1);
    expect(result.stderr).toBe(
      `1 frame: 1 forwarded\nPF_PCAP: ${path} is not whole: record 2 has 53 of its 54 bytes and no more\n  fix: the frames before it are done; copy or capture the file anew\n`,
    );
    expect(statSync(file('out.pcap')).size).toBe(24 + 16 + 74);
  });

  it('a capture without frames is no mistake', async () => {
    const path = save('none.pcap', pcapFile([]));
    expect(await trace('--in', path)).toEqual({ code: 0, stdout: '', stderr: '0 frames\n' });
  });

  it.each<[string, () => string[], number, string]>([
    ['no packets', () => [], 2, 'PF_USAGE: no packet is given\n  fix: name a pcap file with --in'],
    [
      'two kinds of packets',
      () => ['--in', 'x', '--packet', 'y'],
      2,
      "'--in <file>' cannot be used with option '--packet",
    ],
    [
      'words that are none',
      () => ['--packet', 'tcp nonsense'],
      2,
      'PF_USAGE: "tcp nonsense": has no source > destination',
    ],
    ['a file that is not there', () => ['--in', file('gone')], 2, 'gone cannot be read: ENOENT'],
    [
      'pcapng',
      () => ['--in', save('ng', Buffer.from('0a0d0d0a00000000', 'hex'))],
      2,
      'is a pcapng file, not a classic pcap\n  fix: convert it: editcap -F pcap',
    ],
    ['a MAC that is none', () => ['--packet', 'x', '--own-mac', '02:00'], 2, 'It must be a MAC address'],
    ['an MTU that is none', () => ['--packet', 'x', '--mtu', '99'], 2, 'from 576 to 65535'],
    ['two ways to print', () => ['--packet', 'x', '--json', '-o', 'table'], 2, "cannot be used with option '--json'"],
    [
      'an output that cannot be written',
      () => ['--packet', 'tcp 1.2.3.4:5 > 1.2.3.4:5', '--out', join(folder.path, 'no', 'such', 'folder')],
      2,
      'PF_USAGE: --out ',
    ],
    [
      'a tunnel that ends nowhere',
      () => ['--packet', icmp, '--decap', '192.0.2.1,x'],
      2,
      'PF_USAGE: --decap "x" is no address',
    ],
    ['a local address that is none', () => ['--packet', icmp, '--local', ''], 2, 'PF_USAGE: --local "" is no address'],
    [
      'a neighbour without a MAC',
      () => ['--packet', icmp, '--neighbour', '10.0.0.1'],
      2,
      'PF_USAGE: --neighbour "10.0.0.1" has no MAC',
    ],
    [
      'a neighbour without an address',
      () => ['--packet', icmp, '--neighbour', 'r1=02:00:00:00:00:01'],
      2,
      'PF_USAGE: --neighbour "r1" is no address',
    ],
    ['a port of GUE that is none', () => ['--packet', icmp, '--gue-port', '0'], 2, 'from 1 to 65535'],
    ['both from the standard input', () => ['--in', '-', '--state', '-'], 2, 'cannot both be the standard input'],
  ])('%s', async (_what, args, code, message) => {
    const result = await trace(...args());
    expect(result.stderr).toContain(message);
    expect([result.code, result.stdout]).toEqual([code, '']);
  });

  it('a state with mistakes: every one is listed, as check lists them', async () => {
    const path = save('bad.yaml', Buffer.from('vips: {a: {port: 1}, b: {}}'));
    const [traced, checked] = await Promise.all([
      pilotfish(['trace', '--state', path, '--packet', 'tcp 1.2.3.4:5 > 1.2.3.4:5']),
      pilotfish(['check', '-f', path]),
    ]);
    expect(traced).toEqual(checked);
    expect([traced.code, traced.stderr.split('\n').length]).toEqual([2, 16]);
  });

  it('anything, by a user without the capabilities', async () => {
    chmodSync(folder.path, 0o755);
    const unprivileged = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--'];
    const { code, stdout, stderr } = await folder.trace(['--packet', 'tcp 1.2.3.4:5 > 1.2.3.4:5'], unprivileged);
    expect([code, stdout, stderr.split(':', 1)[0]]).toEqual([1, '', 'PF_CAPABILITY']);
  });
});
