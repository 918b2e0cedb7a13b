/** `node udp-echo.ts <JSON of UdpServerJob>`: sends every datagram back with its own name and a space before it. */
import { answerUdp, type UdpServerJob } from './listen-udp.ts';

const job = JSON.parse(process.argv[2] ?? '') as UdpServerJob;
const name = Buffer.from(`${job.name} `);
await answerUdp(job, (asked) => Buffer.concat([name, asked]));
