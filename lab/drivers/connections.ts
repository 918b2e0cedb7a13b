/** `node connections.ts <JSON of ConnectionsJob>`: makes a number of connections, prints each as a line of JSON. */
import { connectOnce, type Target } from './connect.ts';

export interface ConnectionsJob {
  readonly target: Target;
  readonly count: number;
  /** How many are open at once. */
  readonly concurrency: number;
}

const job = JSON.parse(process.argv[2] ?? '') as ConnectionsJob;
let begun = 0;

async function worker(): Promise<void> {
  while (begun < job.count) {
    begun++;
    process.stdout.write(`${JSON.stringify(await connectOnce(job.target))}\n`);
  }
}

await Promise.all(Array.from({ length: Math.min(job.concurrency, job.count) }, worker));
