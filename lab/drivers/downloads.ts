/**
 * `node downloads.ts <JSON of DownloadsJob>`: holds slow downloads open until SIGTERM and prints what happens to each
 * as a line of JSON. The real sets the pace, so that each download has packets both ways all the time.
 */
import { get } from 'node:http';
import type { Target } from './connect.ts';

export interface DownloadsJob {
  readonly target: Target;
  readonly count: number;
  /** A download without a byte for this long counts as broken. */
  readonly stallMs: number;
}

export interface DownloadEvent {
  /** 0 to count - 1. */
  readonly flow: number;
  /** Wall clock, in milliseconds. */
  readonly at: number;
  readonly event: 'open' | 'broken' | 'done';
  readonly real?: string;
  /** Only with `broken`: an error code of the system, `STALL`, or `STATUS_` and the number. */
  readonly error?: string;
  readonly bytes: number;
  /** Of the client, by which a capture tells the flows apart; absent before there was a socket. */
  readonly port?: number;
}

const job = JSON.parse(process.argv[2] ?? '') as DownloadsJob;

function hold(flow: number): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    let real: string | undefined;
    let localPort: number | undefined;
    let over = false;
    const say = (event: DownloadEvent['event'], error?: string) => {
      const line: DownloadEvent = {
        flow,
        at: Date.now(),
        event,
        bytes,
        ...(real === undefined ? {} : { real }),
        ...(error === undefined ? {} : { error }),
        ...(localPort === undefined ? {} : { port: localPort }),
      };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    };
    const finish = (event: 'broken' | 'done', error?: string) => {
      if (over) return;
      over = true;
      clearTimeout(stall);
      say(event, error);
      resolve();
    };
    const fail = (error: NodeJS.ErrnoException) => finish('broken', error.code ?? error.message);

    const { address, port, path } = job.target;
    const asked = get({ host: address, port, path, agent: false }, (response) => {
      const header = response.headers['x-real'];
      if (typeof header === 'string') real = header;
      if (response.statusCode !== 200) {
        finish('broken', `STATUS_${response.statusCode}`);
        asked.destroy();
        return;
      }
      say('open');
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        stall.refresh();
      });
      response.once('error', fail);
      response.once('end', () => finish('done'));
    });
    asked.once('error', fail);
    asked.once('socket', (socket) => {
      socket.once('connect', () => {
        localPort = socket.localPort;
      });
    });
    const stall = setTimeout(() => {
      asked.destroy(Object.assign(new Error('no byte arrived in time'), { code: 'STALL' }));
    }, job.stallMs);
  });
}

process.once('SIGTERM', () => process.exit(0));
await Promise.all(Array.from({ length: job.count }, (_, flow) => hold(flow)));
