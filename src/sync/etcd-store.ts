import type { Revision } from '../core/model.ts';
import type { EtcdClient, EtcdOptions, StorePoint } from './etcd-client.ts';
import { pointOf, prefixOf } from './etcd-client.ts';
import { EtcdClients } from './etcd-clients.ts';
import { StoreError, type StoreFailure } from './etcd-errors.ts';
import { listPrefix } from './etcd-list.ts';
import type { Step } from './etcd-txn.ts';
import { chunks, operations } from './etcd-txn.ts';

export interface StoreChanges {
  /** By key relative to the prefix, written in this order. */
  readonly put: ReadonlyMap<string, string>;
  /** Keys relative to the prefix, deleted in this order after all puts; those that are put as well are left alone. */
  readonly delete: readonly string[];
}

/** Reads and writes keys of the store on request, for the command line. All keys are relative to the prefix. */
export class EtcdStore {
  readonly #clients: EtcdClients;
  readonly #prefix: string;

  constructor(options: EtcdOptions) {
    this.#clients = new EtcdClients(options);
    this.#prefix = prefixOf(options);
  }

  /**
   * Every key that starts with `prefix` (such as `desired/`), as of one revision, from the first endpoint that serves.
   *
   * @throws StoreError (PF_STORE) of the last endpoint
   */
  async list(prefix: string): Promise<{ keys: Map<string, string>; revision: Revision }> {
    const { keys, point } = await this.#clients.use((client) => listPrefix(client, this.#prefix + prefix));
    return {
      keys: new Map(keys.entries().map(([key, value]) => [key.slice(this.#prefix.length), value])),
      revision: revisionOf(point),
    };
  }

  /**
   * Writes in transactions of at most 128 operations; each one is atomic, several are not, so order the changes such
   * that every prefix of them is a valid state.
   *
   * @param guard refuse to overwrite or delete any key that somebody changed after this revision; a key that somebody
   * deleted since is not noticed
   * @returns the revision after the last write; null when there was nothing to write
   * @throws StoreError (PF_STORE), of kind `conflict` when the guard failed; its message says how much was written, and
   * how much may be
   */
  async apply(changes: StoreChanges, guard?: Revision): Promise<Revision | null> {
    const step = (key: string, value: string | null): Step => ({ key: Buffer.from(this.#prefix + key), value });
    const deleted = new Set(changes.delete).difference(changes.put);
    const steps = [
      ...changes.put.entries().map(([key, value]) => step(key, value)),
      ...deleted.values().map((key) => step(key, null)),
    ];
    let written = 0;
    let point: StorePoint | null = null;
    for (const chunk of chunks(steps)) {
      let sent = 0;
      try {
        point = await this.#clients.use((client) => {
          sent = chunk.length;
          return write(client, chunk, guard);
        });
      } catch (error) {
        throw error instanceof StoreError ? withProgress(error, written, sent, steps.length) : error;
      }
      written += chunk.length;
    }
    return point === null ? null : revisionOf(point);
  }

  /** Gives up what is running and releases the connection. Idempotent. */
  close(): void {
    this.#clients.close();
  }
}

/** @throws StoreError of kind `conflict` when the guard did not hold and nothing was written */
async function write(client: EtcdClient, chunk: readonly Step[], guard: Revision | undefined): Promise<StorePoint> {
  const answer = await client.txn({
    compare:
      guard === undefined
        ? []
        : chunk.map(({ key }) => ({ key, target: 'Mod', result: 'Less', mod_revision: guard.number + 1 })),
    success: operations(chunk),
  });
  if (answer.succeeded) return pointOf(answer.header);
  const reason = `a key was changed by somebody else after revision ${guard?.number}`;
  throw new StoreError('conflict', client.endpoint, reason);
}

/** After these a request that was sent may have been carried out all the same. */
const unknownOutcomes = new Set<StoreFailure>(['unreachable', 'timeout', 'no-leader', 'closed', 'other']);

/** @param sent changes of the transaction that failed; 0 when there was no connection to send it by */
function withProgress(error: StoreError, written: number, sent: number, all: number): StoreError {
  const possible = unknownOutcomes.has(error.kind) ? sent : 0;
  if (written + possible === 0) return error;
  const more = possible === 0 ? '' : `, the next ${possible} may be`;
  const progress = `${written} of ${all} changes are written${more}: run it again to finish`;
  return new StoreError(error.kind, error.endpoint, `${error.reason}; ${progress}`, error);
}

const revisionOf = ({ clusterId, revision }: StorePoint): Revision => ({ generation: clusterId, number: revision });
