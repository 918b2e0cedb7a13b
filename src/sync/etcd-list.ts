import type { EtcdClient, RangeResponse, StorePoint } from './etcd-client.ts';
import { pointOf, prefixEnd } from './etcd-client.ts';

/** Small enough that a page of ordinary values stays well below the sizes that proxies and members object to. */
const PAGE_KEYS = 1_000;

export interface Listing {
  /** Full keys, without any prefix taken off. */
  readonly keys: Map<string, string>;
  /** The point that every page shows. */
  readonly point: StorePoint;
}

/**
 * Reads every key that starts with `prefix`, as of one revision. The first page is a linearizable read, so the result
 * is never older than what any earlier read of the same store has shown.
 *
 * Throws StoreError; of kind `compacted` when the store forgot that revision between two pages.
 */
export async function listPrefix(client: EtcdClient, prefix: string): Promise<Listing> {
  const keys = new Map<string, string>();
  const end = prefixEnd(prefix);
  let point: StorePoint | undefined;
  let from: Buffer = Buffer.from(prefix);
  for (;;) {
    const page: RangeResponse = await client.range({
      key: from,
      range_end: end,
      limit: PAGE_KEYS,
      ...(point === undefined ? {} : { revision: point.revision }),
    });
    point ??= pointOf(page.header);
    for (const { key, value } of page.kvs) {
      keys.set(key.toString(), value.toString());
    }
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) {
      return { keys, point };
    }
    from = Buffer.concat([last.key, Buffer.of(0)]);
  }
}
