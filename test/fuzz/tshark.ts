import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pcapFile } from '../support/pcap.ts';

/** What Wireshark says about frames: a reader of packets that shares nothing with ours. */

/** All others would look into payloads, which are random. */
const wanted = /^(frame|eth|ethertype|vlan|ieee8021ad|ip|ipv6|ipv6\..*|udp|tcp|icmp|icmpv6|ah|data|_ws.*)$/;

const preferences = [
  'ip.check_checksum:TRUE',
  'tcp.check_checksum:TRUE',
  'udp.check_checksum:TRUE',
  'ip.defragment:FALSE',
  'ipv6.defragment:FALSE',
];

const fields = [
  'frame.protocols',
  'ip.checksum.status',
  'icmp.checksum.status',
  'icmpv6.checksum.status',
  'tcp.checksum.status',
  'udp.checksum.status',
  'udp.checksum',
  '_ws.expert.message',
  '_ws.expert.severity',
] as const;
type Field = (typeof fields)[number];

const SEPARATOR = '\x1f';
const BAD = '0';
/** Of the severities of Wireshark’s expert. */
const ERROR = 0x800000;
/** Checksums have fields of their own; the order of extension headers is what the client made it. */
const tolerated = /checksum|^IPv6 Hop-by-Hop extension header must appear/i;

/** A folder that Wireshark takes its settings from, for as long as it is needed. */
class Settings implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'pilotfish-tshark-'));

  constructor() {
    const known = this.tshark(['-G', 'protocols']).split('\n');
    const names = known.flatMap((line) => line.split('\t')[2] ?? []);
    writeFileSync(join(this.folder, 'disabled_protos'), names.filter((name) => !wanted.test(name)).join('\n'));
  }

  tshark(args: readonly string[]): string {
    return execFileSync('tshark', args, {
      encoding: 'utf8',
      env: { ...process.env, WIRESHARK_CONFIG_DIR: this.folder },
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 ** 28,
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What tshark read of a frame: a list for each field. */
type Lists = (field: Field) => readonly string[];

function listsOf(line: string): Lists {
  const values = line.split('\t').map((value) => (value === '' ? [] : value.split(SEPARATOR)));
  return (field) => values[fields.indexOf(field)] ?? [];
}

/** The last TCP or UDP header of these frames is a quoted one. */
const quoting = /:icmp(?:v6)?:ip(?:v6)?(?::[^:]+)*?:(tcp|udp)/;

/** What is wrong with a frame.  */
function complaintsOf(lists: Lists): string[] {
  const quoted = quoting.exec(lists('frame.protocols')[0] ?? '')?.[1];
  // A quote is cut, and what it says about the whole cannot be right.
  const own = (field: Field, protocol: string): readonly string[] =>
    lists(field).slice(0, quoted === protocol ? -1 : undefined);
  const udpSums = own('udp.checksum', 'udp');
  const sums = {
    ip: lists('ip.checksum.status'),
    icmp: lists('icmp.checksum.status'),
    icmpv6: lists('icmpv6.checksum.status'),
    tcp: own('tcp.checksum.status', 'tcp'),
    // None is allowed also over IPv6: inside the client said so, outside RFC 6935 does.
    udp: own('udp.checksum.status', 'udp').filter((_, i) => Number(udpSums[i]) !== 0),
  };
  const wrong = Object.entries(sums).flatMap(([name, statuses]) =>
    statuses.includes(BAD) ? [`${name}: bad checksum`] : [],
  );
  const grave = lists('_ws.expert.message').filter(
    (message, i) => Number(lists('_ws.expert.severity')[i]) >= ERROR && !tolerated.test(message),
  );
  return [...wrong, ...grave];
}

export interface Reading {
  /** By frame, from 0: its protocols, outermost first, such as `eth:ethertype:ip:ip:udp:data`. */
  readonly protocols: readonly string[];
  /** Wrong checksums and lengths, malformed packets. */
  readonly complaints: readonly { readonly frame: number; readonly message: string }[];
}

/** @param guePorts whose UDP payload is an IP packet */
export function readByTshark(frames: readonly Uint8Array[], guePorts: readonly number[]): Reading {
  using settings = new Settings();
  const file = join(settings.folder, 'frames.pcap');
  writeFileSync(file, pcapFile(frames));
  const lines = settings
    .tshark([
      ...['-n', '-r', file, '-T', 'fields', '-E', 'separator=/t', '-E', `aggregator=${SEPARATOR}`],
      ...fields.flatMap((field) => ['-e', field]),
      ...preferences.flatMap((preference) => ['-o', preference]),
      ...guePorts.flatMap((port) => ['-d', `udp.port==${port},ip`]),
    ])
    .split('\n')
    .slice(0, -1)
    .map(listsOf);
  return {
    protocols: lines.map((lists) => lists('frame.protocols')[0] ?? ''),
    complaints: lines.flatMap((lists, frame) => complaintsOf(lists).map((message) => ({ frame, message }))),
  };
}
