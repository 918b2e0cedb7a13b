import type { Socket } from 'node:net';
import { isIPv6 } from 'node:net';
import type { Dispatcher } from 'undici';
import { Client } from 'undici';
import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Address, StatusRange } from '../core/model.ts';
import { BODY_LIMIT, bodyMistake } from './body.ts';
import type { Probe } from './probe.ts';
import { responseFailure } from './response-reasons.ts';

type RequestCheck = Extract<ResolvedCheck, { type: 'http' | 'https' }>;

/** By which the logs of reals can tell checks from clients. */
const USER_AGENT = 'pilotfish-health';

function shownRanges(ranges: readonly StatusRange[]): string {
  return ranges.map(({ from, to }) => (from === to ? from : `${from}-${to}`)).join(', ');
}

/** Takes a response as it comes and ends the probe as soon as it can be judged. */
class Judge implements Dispatcher.DispatchHandler {
  readonly #probe: Probe;
  readonly #check: RequestCheck;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #answered = false;

  constructor(probe: Probe, check: RequestCheck) {
    this.#probe = probe;
    this.#check = check;
  }

  onRequestStart(): void {
    this.#probe.waitFor('for a response');
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    // An interim response says nothing yet.
    if (status < 200) return;
    this.#answered = true;
    if (this.#check.status.some(({ from, to }) => from <= status && status <= to))
      this.#probe.waitFor('for the end of the body');
    else this.#probe.fail(`status ${status}, expected ${shownRanges(this.#check.status)}`);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#check.body !== null) this.#chunks.push(chunk.subarray(0, BODY_LIMIT - this.#length));
    this.#length += chunk.length;
    if (this.#length > BODY_LIMIT) this.#judge();
  }

  onResponseEnd(): void {
    this.#judge();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.failWith(error);
  }

  failWith(error: Error): void {
    this.#probe.fail(responseFailure(error, this.#answered));
  }

  #judge(): void {
    const { body } = this.#check;
    const mistake = body === null ? null : bodyMistake(body, Buffer.concat(this.#chunks), this.#length > BODY_LIMIT);
    if (mistake === null) this.#probe.pass();
    else this.#probe.fail(mistake);
  }
}

function originOf(address: Address, { type, port }: RequestCheck): string {
  return `${type}://${isIPv6(address) ? `[${address}]` : address}:${port}`;
}

/**
 * Sends the request of a check over a connection that has been made for it, and ends the probe with what comes back.
 * It follows no redirect. A body of which nothing is expected is waited for as well: a server that falls silent in the
 * middle of it is not well.
 */
export function exchange(probe: Probe, socket: Socket, address: Address, check: RequestCheck): void {
  const { method, path, host, headers } = check;
  let handedOut = false;
  const client = new Client(originOf(address, check), {
    // Not at once: undici does not look again at what is to be sent while it connects. Nor twice, nor when it is gone:
    // undici would come back for another one for ever.
    connect: (_options, callback) =>
      queueMicrotask(() => {
        if (handedOut || socket.destroyed) callback(new Error('closed without a response'), null);
        else callback(null, socket);
        handedOut = true;
      }),
    // One request for each connection. The deadline is the probe’s: undici’s own are coarse.
    pipelining: 0,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  probe.over.addEventListener('abort', () => client.destroy(() => {}));
  const judge = new Judge(probe, check);
  // Before undici hears of it, which takes a reset for the end of a body that has no length.
  socket.prependListener('error', (error) => judge.failWith(error));
  const all = new Map([['user-agent', USER_AGENT], ...(host === null ? [] : [['host', host] as const]), ...headers]);
  client.dispatch({ method, path, headers: [...all].flat() }, judge);
}
