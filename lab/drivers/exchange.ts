/**
 * `node exchange.ts <JSON of ExchangeJob>`: sends datagrams one after the other, each when the one before was answered or
 * its time is over, and prints what came back as lines of JSON.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';

export interface ExchangeJob {
  readonly address: string;
  readonly port: number;
  readonly datagrams: readonly Datagram[];
  /** For each answer. */
  readonly timeoutMs: number;
}

export interface Datagram {
  /** Source port. */
  readonly from: number;
  /** In base64. */
  readonly payload: string;
}

export interface Answer {
  readonly from: number;
  /** In base64; null: none came. */
  readonly payload: string | null;
}

const job = JSON.parse(process.argv[2] ?? '') as ExchangeJob;
const sockets = new Map<number, Socket>();

async function socketOn(port: number): Promise<Socket> {
  const open = sockets.get(port);
  if (open !== undefined) return open;
  const six = isIPv6(job.address);
  // A port of IPv6 alone: another run of this driver may have that of IPv4.
  const socket = createSocket({ type: six ? 'udp6' : 'udp4', ipv6Only: six });
  socket.bind(port);
  await once(socket, 'listening');
  sockets.set(port, socket);
  return socket;
}

for (const { from, payload } of job.datagrams) {
  const socket = await socketOn(from);
  const answered = once(socket, 'message', { signal: AbortSignal.timeout(job.timeoutMs) }).then(
    ([message]: Buffer[]) => message?.toString('base64') ?? null,
    () => null,
  );
  socket.send(Buffer.from(payload, 'base64'), job.port, job.address);
  console.log(JSON.stringify({ from, payload: await answered } satisfies Answer));
}
for (const socket of sockets.values()) socket.close();
