/** What the UDP servers of the reals have in common. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';

export interface UdpServerJob {
  /** What the real calls itself. */
  readonly name: string;
  /** VIPs. One socket for each: answers have to come from the address that was asked. */
  readonly addresses: readonly string[];
  readonly port: number;
}

/** In the log of a server: it listens on every address. */
export const listening = 'listening';

/** Answers every datagram, until the process is ended. */
export async function answerUdp({ addresses, port }: UdpServerJob, answer: (asked: Buffer) => Buffer): Promise<void> {
  for (const address of addresses) {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    socket.on('message', (asked, from) => socket.send(answer(asked), from.port, from.address));
    socket.bind(port, address);
    await once(socket, 'listening');
  }
  console.log(listening);
}
