import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { messageOf, PilotfishError } from '../core/errors.ts';
import { frameOf } from '../core/packet-frame.ts';
import { readPacket } from '../core/packet-words.ts';
import { reasonNames } from '../dataplane/counters.ts';
import { type Capture, pcapHeader, pcapRecord, readPcap } from '../dataplane/pcap.ts';
import { LONGEST_FRAME, Tracer } from '../dataplane/tracer.ts';
import { counted, formatTable } from './output.ts';
import { exitCodes } from './report-error.ts';
import { readGoodState } from './state-file.ts';
import { type TraceHostOptions, traceHost } from './trace-host.ts';

export interface TraceOptions extends TraceHostOptions {
  readonly state: string;
  /** pcap file; `-` is the standard input. */
  readonly in?: string;
  readonly out?: string;
  /** In place of `in`: frames in words. */
  readonly packet?: readonly string[];
  /** What leaves does so by another interface. */
  readonly egress?: boolean;
  readonly output: 'json' | 'table';
}

/** One line of the output. */
interface Line {
  /** Of the frame, from 1. */
  readonly n: number;
  readonly action: string;
  readonly reason: string | null;
  readonly vip: string | null;
  readonly pool: string | null;
  readonly real: string | null;
  readonly path: string | null;
  readonly slot: number | null;
  readonly outLen: number | null;
  readonly events: readonly string[] | null;
}

/** Lines and frames that are written at once. */
const BATCH = 1_000;
const columns = ['n', 'action', 'reason', 'vip', 'pool', 'real', 'path', 'slot', 'outLen', 'events'] as const;

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return path === '-' ? await buffer(process.stdin) : readFileSync(path);
  } catch (cause) {
    throw new PilotfishError('PF_PCAP', `${path} cannot be read: ${messageOf(cause)}`, {
      fix: 'check the path and the rights of the file',
      cause,
    });
  }
}

/** Frames in words come from the gateway, as those of clients do. */
function captureOf(packets: readonly string[], { gatewayMac, ownMac }: TraceHostOptions): Capture {
  const frames = packets.map((text) => ({
    data: frameOf(readPacket(text), { from: gatewayMac, to: ownMac }),
    seconds: 0,
    fraction: 0,
  }));
  return { nanoseconds: false, frames, brokenOff: null };
}

/** What is to be sent. @throws PilotfishError PF_USAGE, PF_PCAP */
async function captureFor(options: TraceOptions): Promise<Capture> {
  const { in: path, packet, state } = options;
  if (packet !== undefined) return captureOf(packet, options);
  if (path === undefined)
    throw new PilotfishError('PF_USAGE', 'no packet is given', {
      fix: 'name a pcap file with --in, or write one: --packet "tcp 198.51.100.7:40000 > 192.0.2.10:443 syn"',
    });
  if (path === '-' && state === '-')
    throw new PilotfishError('PF_USAGE', '--in and --state cannot both be the standard input', {
      fix: 'write one of them to a file',
    });
  return readPcap(await readBytes(path), path);
}

function openOut(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (cause) {
    throw cannotWrite(path, cause);
  }
}

function cannotWrite(path: string, cause: unknown): PilotfishError {
  return new PilotfishError('PF_USAGE', `--out ${path} cannot be written: ${messageOf(cause)}`, {
    fix: 'choose a path in a folder that you may write, with room for it',
    cause,
  });
}

/** Frames that leave or go up, as a pcap file. */
class FrameWriter implements Disposable {
  readonly #path: string;
  readonly #file: number;
  #waiting: Uint8Array[] = [];

  constructor(path: string, nanoseconds: boolean) {
    this.#path = path;
    this.#file = openOut(path);
    this.#waiting.push(pcapHeader(nanoseconds));
  }

  add(record: Uint8Array): void {
    this.#waiting.push(record);
    if (this.#waiting.length >= BATCH) this.flush();
  }

  flush(): void {
    try {
      writeFileSync(this.#file, Buffer.concat(this.#waiting));
    } catch (cause) {
      throw cannotWrite(this.#path, cause);
    }
    this.#waiting = [];
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

async function print(text: string): Promise<void> {
  if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
}

function summary(counts: ReadonlyMap<string, number>, frames: number): string {
  const parts = reasonNames.filter((reason) => counts.has(reason)).map((reason) => `${counts.get(reason)} ${reason}`);
  return `${counted(frames, 'frame')}${parts.length > 0 ? ': ' : ''}${parts.join(', ')}`;
}

/** Sends all frames through and prints what became of them. */
async function traceAll(tracer: Tracer, capture: Capture, out: FrameWriter | null, table: boolean): Promise<void> {
  const counts = new Map<string, number>();
  let lines: Line[] = [];
  for (const [i, captured] of capture.frames.entries()) {
    const { frame, ...fields } = tracer.trace(captured.data);
    lines.push({ n: i + 1, ...fields, outLen: frame?.length ?? null });
    if (fields.reason !== null) counts.set(fields.reason, (counts.get(fields.reason) ?? 0) + 1);
    if (frame !== null) out?.add(pcapRecord({ ...captured, data: frame }));
    if (table || lines.length < BATCH) continue;
    await print(jsonLines(lines));
    lines = [];
  }
  out?.flush();
  await print(table ? `${formatTable(columns, lines.map(cells))}\n` : jsonLines(lines));
  console.error(summary(counts, capture.frames.length));
}

function jsonLines(lines: readonly Line[]): string {
  return lines.map((line) => `${JSON.stringify(line, [...columns])}\n`).join('');
}

function cells(line: Line): (string | number | null)[] {
  return columns.map((column) => (column === 'events' ? (line.events?.join(' ') ?? null) : line[column]));
}

/** What keeps the answer from being whole; each is told when the rest is done. */
function faultsOf({ frames, brokenOff }: Capture, path: string): PilotfishError[] {
  const faults: PilotfishError[] = [];
  const long = frames.flatMap(({ data }, i) => (data.length > LONGEST_FRAME ? [i] : []));
  const [first] = long;
  if (first !== undefined)
    faults.push(
      new PilotfishError(
        'PF_PCAP',
        `${path}: ${counted(long.length, 'frame')} not tried: frame ${first + 1} has ${frames[first]?.data.length} bytes, and the kernel tries a program on ${LONGEST_FRAME} at most`,
        {
          fix: 'they were put together from several by GRO or TSO: capture with ethtool -K eth0 gro off lro off gso off tso off',
        },
      ),
    );
  if (brokenOff !== null)
    faults.push(
      new PilotfishError('PF_PCAP', `${path} is not whole: ${brokenOff}`, {
        fix: 'the frames before it are done; copy or capture the file anew',
      }),
    );
  return faults;
}

/**
 * Sends frames through the real program, which is attached to nothing.
 * @throws PilotfishError PF_STATE, PF_PCAP, PF_USAGE; those of Tracer.load
 */
export async function runTrace(options: TraceOptions): Promise<number> {
  const capture = await captureFor(options);
  const snapshot = await readGoodState(options.state);
  const host = traceHost(snapshot, options);
  using tracer = await Tracer.load({
    snapshot,
    host,
    egress: options.egress ?? false,
    frames: capture.frames.length,
  });
  using out = options.out === undefined ? null : new FrameWriter(options.out, capture.nanoseconds);
  await traceAll(tracer, capture, out, options.output === 'table');
  const faults = faultsOf(capture, options.in ?? '');
  for (const fault of faults) console.error(fault.describe());
  return faults.length === 0 ? exitCodes.done : exitCodes.failed;
}
