/** `node connections.ts <JSON of ConnectionsJob>`: makes a number of connections, prints each as a line of JSON. */
import { connectOnce, type Target } from './connect.ts';

export interface ConnectionsJob {
  readonly target: Target;
  readonly count: number;
  /** How many are open at once. */
  readonly concurrency: number;
  /** Source port of the first connection, the next ones count up; without it the kernel chooses. */
  readonly firstPort?: number;
}

const job = JSON.parse(process.argv[2] ?? '') as ConnectionsJob;
let begun = 0;

async function worker(): Promise<void> {
  while (begun < job.count) {
    const localPort = job.firstPort === undefined ? undefined : job.firstPort + begun;
    begun++;
    process.stdout.write(`${JSON.stringify(await connectOnce(job.target, localPort))}\n`);
  }
}

await Promise.all(Array.from({ length: Math.min(job.concurrency, job.count) }, worker));
