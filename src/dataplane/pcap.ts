import { PilotfishError } from '../core/errors.ts';

/**
 * Captures in the classic pcap format (draft-ietf-opsawg-pcap), read and written whole. It knows frames and times, and
 * nothing about what is in a frame.
 */

export interface CapturedFrame {
  /** From the destination MAC address on, without a checksum at its end. */
  readonly data: Uint8Array;
  /** Since 1970. */
  readonly seconds: number;
  /** Of a second, in the unit of the capture. */
  readonly fraction: number;
}

export interface Capture {
  /** Unit of the fractions: nanoseconds, or else microseconds. */
  readonly nanoseconds: boolean;
  readonly frames: readonly CapturedFrame[];
  /** Why not everything could be read: the file ends in the middle of a record. Null when it is whole. */
  readonly brokenOff: string | null;
}

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
const ETHERNET = 1;
/** What libpcap takes for the largest frame there can be. */
const MAX_FRAME = 262_144;

const captureAnew = 'capture on one Ethernet interface: tcpdump -i eth0 -s 0 -w whole.pcap';

/** First bytes of what people take for a pcap file, and what to do about it. */
const lookAlikes: readonly { readonly magic: string; readonly what: string; readonly fix: string }[] = [
  {
    magic: '0a0d0d0a',
    what: 'is a pcapng file, not a classic pcap',
    fix: 'convert it: editcap -F pcap in.pcapng out.pcap',
  },
  { magic: '1f8b', what: 'is compressed', fix: 'unpack it first: gunzip' },
  { magic: '28b52ffd', what: 'is compressed', fix: 'unpack it first: unzstd' },
  { magic: 'a1b2cd34', what: 'is a pcap file with records of another form', fix: 'convert it: editcap -F pcap' },
  { magic: '34cdb2a1', what: 'is a pcap file with records of another form', fix: 'convert it: editcap -F pcap' },
];

/** Link types that captures on Linux have; see https://www.tcpdump.org/linktypes.html. */
const linkTypes: Readonly<Record<number, string>> = {
  0: 'loopback of BSD',
  12: 'IP without a frame',
  101: 'IP without a frame',
  105: 'Wi-Fi',
  113: 'Linux cooked, as of -i any',
  127: 'Wi-Fi',
  228: 'IPv4 without a frame',
  229: 'IPv6 without a frame',
  276: 'Linux cooked, as of -i any',
};

function refuse(name: string, what: string, fix: string): never {
  throw new PilotfishError('PF_PCAP', `${name} ${what}`, { fix });
}

/** Which byte order and unit the file has. */
function readMagic(view: DataView, name: string): { littleEndian: boolean; nanoseconds: boolean } {
  for (const littleEndian of [true, false]) {
    const magic = view.getUint32(0, littleEndian);
    if (magic === MICROSECONDS || magic === NANOSECONDS) return { littleEndian, nanoseconds: magic === NANOSECONDS };
  }
  return refuse(name, 'is not a pcap file', captureAnew);
}

function checkLinkType(field: number, name: string): void {
  // The upper six bits tell about frame checksums.
  const type = field & 0x03ffffff;
  if (type === ETHERNET) return;
  const known = linkTypes[type] === undefined ? '' : ` (${linkTypes[type]})`;
  refuse(name, `has link type ${type}${known}, not Ethernet (${ETHERNET})`, captureAnew);
}

/**
 * Reads a pcap file: either byte order, micro- or nanoseconds, link type Ethernet. One that ends in the middle of a
 * record has the frames before it.
 *
 * @param name of the file, for messages
 * @throws PilotfishError PF_PCAP for another format or link type, and for frames that were not captured whole
 */
export function readPcap(bytes: Uint8Array, name: string): Capture {
  if (bytes.length === 0) refuse(name, 'is empty', captureAnew);
  const first = Buffer.from(bytes.subarray(0, 4)).toString('hex');
  const other = lookAlikes.find(({ magic }) => first.startsWith(magic));
  if (other !== undefined) refuse(name, other.what, other.fix);
  if (bytes.length < FILE_HEADER) refuse(name, `is no pcap file: it has ${bytes.length} bytes`, captureAnew);

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { littleEndian, nanoseconds } = readMagic(view, name);
  checkLinkType(view.getUint32(20, littleEndian), name);

  const frames: CapturedFrame[] = [];
  const cut: { n: number; length: number; of: number }[] = [];
  let at = FILE_HEADER;
  let brokenOff: string | null = null;
  while (at < bytes.length && brokenOff === null) {
    const left = bytes.length - at - RECORD_HEADER;
    const length = left < 0 ? 0 : view.getUint32(at + 8, littleEndian);
    if (left < 0) brokenOff = `record ${frames.length + 1} has ${bytes.length - at} bytes of its header and no more`;
    else if (length > MAX_FRAME) brokenOff = `record ${frames.length + 1} says that it has ${length} bytes`;
    else if (length > left) brokenOff = `record ${frames.length + 1} has ${left} of its ${length} bytes and no more`;
    else {
      const [seconds, fraction] = [view.getUint32(at, littleEndian), view.getUint32(at + 4, littleEndian)];
      const of = view.getUint32(at + 12, littleEndian);
      at += RECORD_HEADER;
      frames.push({ data: bytes.subarray(at, at + length), seconds, fraction });
      if (length < of) cut.push({ n: frames.length, length, of });
      at += length;
    }
  }
  const [firstCut] = cut;
  if (firstCut !== undefined)
    refuse(
      name,
      `has ${cut.length} of ${frames.length} frames not whole: frame ${firstCut.n} has ${firstCut.length} of its ${firstCut.of} bytes`,
      'capture whole frames: tcpdump -s 0',
    );
  return { nanoseconds, frames, brokenOff };
}

/** What a pcap file of Ethernet frames begins with; little-endian, as `pcapRecord`. */
export function pcapHeader(nanoseconds: boolean): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nanoseconds ? NANOSECONDS : MICROSECONDS, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, MAX_FRAME, true);
  view.setUint32(20, ETHERNET, true);
  return bytes;
}

export function pcapRecord({ data, seconds, fraction }: CapturedFrame): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER + data.length);
  const view = new DataView(bytes.buffer);
  [seconds, fraction, data.length, data.length].forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  bytes.set(data, RECORD_HEADER);
  return bytes;
}
