/** Entry of the checking thread: a scheduler between two ends of a message channel. */
import { parentPort, workerData } from 'node:worker_threads';
import { runCheck } from './checkers.ts';
import type { ThreadMessage, UpdateMessage, WorkerSettings } from './protocol.ts';
import { Scheduler } from './scheduler.ts';

const REPORT_EVERY_MS = 1_000;

const port = parentPort;
if (port === null) throw new Error('worker.ts runs only as a worker thread');

const settings: WorkerSettings = workerData;
let sequence = 0;

const scheduler = new Scheduler({
  ...settings,
  runCheck,
  onTransition: (transition) => port.postMessage({ sequence, transition } satisfies ThreadMessage),
});

setInterval(() => port.postMessage({ report: scheduler.takeReport() } satisfies ThreadMessage), REPORT_EVERY_MS);

port.on('message', (message: UpdateMessage) => {
  sequence = message.sequence;
  scheduler.update(message.targets);
});
