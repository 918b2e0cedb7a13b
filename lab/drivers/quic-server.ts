/**
 * `node quic-server.ts <JSON of QuicServerJob>`: issues a connection id with its server id to whoever sends an Initial
 * packet, and answers every packet with its name and with what it knows of the connection. It is no QUIC server beyond that.
 */
import { type CidForm, connectionId, longPacket, readPacket, shortPacket } from '../quic.ts';
import { answerUdp, type UdpServerJob } from './listen-udp.ts';

export interface QuicServerJob extends UdpServerJob {
  readonly serverId: number;
  readonly form: CidForm;
}

const job = JSON.parse(process.argv[2] ?? '') as QuicServerJob;
/** The client’s connection ids, by the ones that were issued. */
const connections = new Map<string, Buffer>();

function answer(asked: Buffer): Buffer {
  const { type, destination, source } = readPacket(asked);
  if (type === 'initial') {
    const own = connectionId(job.form, job.serverId);
    connections.set(own.toString('hex'), source);
    return longPacket('handshake', source, own, `${job.name} new`);
  }
  const client = connections.get(destination.toString('hex'));
  if (client === undefined) return shortPacket(Buffer.alloc(destination.length), `${job.name} unknown`);
  return type === 'handshake'
    ? longPacket('handshake', client, destination, `${job.name} known`)
    : shortPacket(client, `${job.name} known`);
}

await answerUdp(job, answer);
