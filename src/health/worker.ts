/** Entry of the checking thread: a scheduler between two ends of a message channel. */
import { parentPort, workerData } from 'node:worker_threads';
import { runCheck } from './checkers.ts';
import type { TransitionMessage, UpdateMessage, WorkerSettings } from './protocol.ts';
import { Scheduler } from './scheduler.ts';

const port = parentPort;
if (port === null) throw new Error('worker.ts runs only as a worker thread');

const settings: WorkerSettings = workerData;
let sequence = 0;

const scheduler = new Scheduler({
  ...settings,
  runCheck,
  onTransition: (transition) => port.postMessage({ sequence, transition } satisfies TransitionMessage),
});

port.on('message', (message: UpdateMessage) => {
  sequence = message.sequence;
  scheduler.update(message.targets);
});
