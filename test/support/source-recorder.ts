import { Writable } from 'node:stream';
import type { Logger } from 'pino';
import { pino } from 'pino';
import type { Revision } from '../../src/core/model.ts';
import type { KeySet, SourceListener, SourceStatus } from '../../src/sync/source.ts';

/** A source listener that keeps everything it was told. */
export class SourceRecorder implements SourceListener {
  readonly deliveries: { readonly keys: KeySet; readonly revision: Revision }[] = [];
  readonly statuses: SourceStatus[] = [];
  /** Deliveries and statuses in their order. */
  readonly events: ('keys' | SourceStatus['state'])[] = [];
  /** As many of the next deliveries fail. */
  failures = 0;

  keys(keys: KeySet, revision: Revision): void {
    if (this.failures > 0) {
      this.failures--;
      throw new Error('a listener that fails on purpose');
    }
    this.deliveries.push({ keys, revision });
    this.events.push('keys');
  }

  status(status: SourceStatus): void {
    this.statuses.push(status);
    this.events.push(status.state);
  }

  get last(): { readonly keys: KeySet; readonly revision: Revision } | undefined {
    return this.deliveries.at(-1);
  }

  get state(): SourceStatus['state'] | undefined {
    return this.statuses.at(-1)?.state;
  }

  value(key: string): string | undefined {
    return this.last?.keys.get(key);
  }
}

/** A logger whose lines a test can read. */
export function recordingLogger(): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(line, _encoding, done) {
      lines.push(JSON.parse(String(line)) as Record<string, unknown>);
      done();
    },
  });
  return { log: pino({ level: 'debug' }, stream), lines };
}
