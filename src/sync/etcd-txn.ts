import type { TxnRequest } from './etcd-client.ts';

/** etcd’s defaults: `--max-txn-ops`, and `--max-request-bytes` less what the request needs around its values. */
const MAX_OPS = 128;
const MAX_BYTES = 1_000_000;

/** One write; `value` is null to delete the key. */
export interface Step {
  readonly key: Buffer;
  readonly value: string | null;
}

/** Cuts `steps` so that each piece fits into one transaction; a value that is too large by itself gets its own. */
export function* chunks(steps: readonly Step[]): Generator<readonly Step[]> {
  let chunk: Step[] = [];
  let bytes = 0;
  for (const step of steps) {
    const size = step.key.length + Buffer.byteLength(step.value ?? '');
    if (chunk.length === MAX_OPS || (chunk.length > 0 && bytes + size > MAX_BYTES)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(step);
    bytes += size;
  }
  if (chunk.length > 0) {
    yield chunk;
  }
}

/** @param lease id that the keys shall live as long as; without it they stay */
export function operations(steps: readonly Step[], lease?: string): NonNullable<TxnRequest['success']> {
  return steps.map(({ key, value }) =>
    value === null
      ? { request_delete_range: { key } }
      : { request_put: { key, value: Buffer.from(value), ...(lease === undefined ? {} : { lease }) } },
  );
}
