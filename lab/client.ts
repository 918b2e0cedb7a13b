/** The lab’s client: curl, and drivers that run in its namespace and write down what each connection met. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connection, Target } from './drivers/connect.ts';
import type { ConnectionsJob } from './drivers/connections.ts';
import type { DownloadEvent, DownloadsJob } from './drivers/downloads.ts';
import type { Answer, ExchangeJob } from './drivers/exchange.ts';
import type { SteadyJob } from './drivers/steady.ts';
import { type Outcome, runIn, tryRunIn } from './netns.ts';
import { driverFile, runDir } from './paths.ts';
import { LabProcess } from './process.ts';
import type { Host } from './topology.ts';
import { until } from './until.ts';

export interface TargetOptions {
  /** Usually a VIP; a real’s own address works too. */
  readonly vip: string;
  /** Default 80. */
  readonly port?: number;
  /** Default 2,000. */
  readonly timeoutMs?: number;
}

export interface Summary {
  readonly total: number;
  /** How many connections each real answered, by what it calls itself. */
  readonly perReal: Readonly<Record<string, number>>;
  /** How many connections failed, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  readonly failed: number;
  /** Of those that were answered; 0 where none was. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

export interface Download {
  readonly flow: number;
  readonly state: 'open' | 'broken' | 'done';
  readonly real?: string;
  readonly error?: string;
}

export function summarise(connections: readonly Connection[]): Summary {
  const count = (names: (string | undefined)[]): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const name of names.filter((name) => name !== undefined).sort()) counts[name] = (counts[name] ?? 0) + 1;
    return counts;
  };
  const answered = connections.filter((connection) => connection.real !== undefined);
  const sorted = answered.map((connection) => connection.ms).sort((a, b) => a - b);
  const quantile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return {
    total: connections.length,
    perReal: count(connections.map((connection) => connection.real)),
    failures: count(connections.map((connection) => connection.error)),
    failed: connections.length - answered.length,
    latencyMs: { p50: quantile(0.5), p99: quantile(0.99), max: sorted.at(-1) ?? 0 },
  };
}

function parseLines<T>(text: string): T[] {
  // The last piece is empty, or a line that is still being written.
  const complete = text.split('\n').slice(0, -1);
  return complete.map((line) => JSON.parse(line) as T);
}

function target(options: TargetOptions, path: string): Target {
  return { address: options.vip, port: options.port ?? 80, path, timeoutMs: options.timeoutMs ?? 2_000 };
}

/** A driver that runs until it is stopped, and what it has written so far. */
class RunningDriver<T> {
  readonly #process: LabProcess;
  readonly #output: string;

  constructor(process: LabProcess, output: string) {
    this.#process = process;
    this.#output = output;
  }

  async lines(): Promise<T[]> {
    return parseLines<T>(await readFile(this.#output, 'utf8'));
  }

  /** Ends the driver after its last open connection, and returns everything it has written. */
  async stop(): Promise<T[]> {
    await this.#process.end('SIGTERM');
    return this.lines();
  }
}

export class Steady {
  readonly #driver: RunningDriver<Connection>;

  constructor(driver: RunningDriver<Connection>) {
    this.#driver = driver;
  }

  /** The connections that are over, in the order in which they were started. */
  async connections(): Promise<Connection[]> {
    return (await this.#driver.lines()).sort((a, b) => a.start - b.start);
  }

  async stop(): Promise<Connection[]> {
    return (await this.#driver.stop()).sort((a, b) => a.start - b.start);
  }
}

export class Downloads {
  readonly #driver: RunningDriver<DownloadEvent>;

  constructor(driver: RunningDriver<DownloadEvent>) {
    this.#driver = driver;
  }

  /** Everything that has happened, in order. */
  events(): Promise<DownloadEvent[]> {
    return this.#driver.lines();
  }

  /** How each download stands now, by flow; those that were never answered are missing while they wait. */
  async flows(): Promise<Download[]> {
    return latest(await this.#driver.lines());
  }

  /** Cuts the downloads that are left, and returns how each stood before. */
  async stop(): Promise<Download[]> {
    return latest(await this.#driver.stop());
  }
}

function latest(events: readonly DownloadEvent[]): Download[] {
  const flows = new Map<number, Download>();
  for (const { flow, event, real, error } of events) {
    flows.set(flow, {
      flow,
      state: event,
      ...(real === undefined ? {} : { real }),
      ...(error === undefined ? {} : { error }),
    });
  }
  return [...flows.values()].sort((a, b) => a.flow - b.flow);
}

export class LabClient {
  readonly host: Host;
  #drivers = 0;

  constructor(host: Host) {
    this.host = host;
  }

  /** The real curl; a failure is an outcome like any other. */
  curl(args: readonly string[]): Promise<Outcome> {
    return tryRunIn(this.host.namespace, 'curl', ['--silent', '--show-error', ...args]);
  }

  /** Makes `count` TCP connections with one HTTP request each and waits for the last. */
  async connections(
    count: number,
    options: TargetOptions & Partial<Pick<ConnectionsJob, 'concurrency' | 'firstPort'>>,
  ): Promise<Connection[]> {
    const { concurrency = 50, firstPort } = options;
    const job: ConnectionsJob = { target: target(options, '/'), count, concurrency, ...(firstPort && { firstPort }) };
    const argv = [driverFile('connections'), JSON.stringify(job)];
    return parseLines<Connection>(await runIn(this.host.namespace, process.execPath, argv));
  }

  /** Sends datagrams, each from a source port; a second sending from the same port is of the same flow. */
  async exchange(
    datagrams: readonly { readonly from: number; readonly payload: Buffer }[],
    { vip, port = 80, timeoutMs = 1_000 }: TargetOptions,
  ): Promise<{ from: number; payload: Buffer | null }[]> {
    const encoded = datagrams.map(({ from, payload }) => ({ from, payload: payload.toString('base64') }));
    const job: ExchangeJob = { address: vip, port, datagrams: encoded, timeoutMs };
    const output = await runIn(this.host.namespace, process.execPath, [driverFile('exchange'), JSON.stringify(job)]);
    return parseLines<Answer>(output).map(({ from, payload }) => ({
      from,
      payload: payload === null ? null : Buffer.from(payload, 'base64'),
    }));
  }

  /** Makes `rate` new connections a second until it is stopped. */
  async steady(rate: number, options: TargetOptions): Promise<Steady> {
    const job: SteadyJob = { target: target(options, '/'), rate };
    return new Steady(await this.#start<Connection>('steady', job));
  }

  /** Opens `count` downloads of /large at `bytesPerSecond` each; resolves when every one has begun, or failed. */
  async downloads(
    count: number,
    bytesPerSecond: number,
    options: TargetOptions & { readonly stallMs?: number },
  ): Promise<Downloads> {
    const job: DownloadsJob = {
      target: target(options, `/large?rate=${bytesPerSecond}`),
      count,
      stallMs: options.stallMs ?? 5_000,
    };
    const downloads = new Downloads(await this.#start<DownloadEvent>('downloads', job));
    const begun = async () => (await downloads.flows()).length === count;
    await until(begun, { what: `${count} downloads have begun or failed`, timeoutMs: job.stallMs + 5_000 });
    return downloads;
  }

  async #start<T>(driver: string, job: SteadyJob | DownloadsJob): Promise<RunningDriver<T>> {
    const name = `${driver}-${process.pid}-${++this.#drivers}`;
    const folder = join(runDir, this.host.name);
    await mkdir(folder, { recursive: true });
    const output = join(folder, `${name}.ndjson`);
    const started = new LabProcess({
      name,
      namespace: this.host.namespace,
      command: process.execPath,
      args: [driverFile(driver), JSON.stringify(job)],
      stdout: output,
    });
    await started.start();
    return new RunningDriver<T>(started, output);
  }
}
