import { indexKey, indexOf } from './codec.ts';
import { structs } from './layout.gen.ts';
import type { Entries, MapStore } from './map-store.ts';

const KEY_BYTES = structs.pf_prefix_key.size;
const VALUE_BYTES = 4;

/** Bytes as a text of as many characters, since byte arrays are no keys of a Map. */
function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function* each({ keys, values, count }: Entries): Iterable<readonly [string, number]> {
  for (let i = 0; i < count; i++)
    yield [
      textOf(keys.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES)),
      indexOf(values.subarray(i * VALUE_BYTES, (i + 1) * VALUE_BYTES)),
    ];
}

function packed(entries: readonly (readonly [string, number])[]): Entries {
  return {
    keys: Buffer.from(entries.map(([key]) => key).join(''), 'latin1'),
    values: Buffer.concat(entries.map(([, value]) => indexKey(value))),
    count: entries.length,
  };
}

/** The map prefixes, and what it should hold. */
export class PrefixTrie {
  readonly #store: MapStore;
  readonly #wanted = new Map<string, number>();

  constructor(store: MapStore) {
    this.#store = store;
  }

  /** @throws PilotfishError PF_MAP_FULL, PF_MAP; some may be in then */
  async add(entries: Entries): Promise<void> {
    await this.#store.putMany('prefixes', entries);
    for (const [key, value] of each(entries)) this.#wanted.set(key, value);
  }

  /** @throws PilotfishError PF_MAP; some may be gone then */
  async remove(entries: Entries): Promise<void> {
    await this.#store.deleteMany('prefixes', entries);
    for (const [key] of each(entries)) this.#wanted.delete(key);
  }

  /** Does it hold what it should, and nothing else? */
  isSound(): boolean {
    const held = this.#read();
    return held.size === this.#wanted.size && this.#missing(held).length === 0;
  }

  /** Makes it hold what it should, whatever is there. */
  async repair(): Promise<void> {
    const held = this.#read();
    await this.#store.putMany('prefixes', packed(this.#missing(held)));
    await this.#store.deleteMany('prefixes', packed([...held].filter(([key]) => !this.#wanted.has(key))));
  }

  #missing(held: ReadonlyMap<string, number>): (readonly [string, number])[] {
    return [...this.#wanted].filter(([key, value]) => held.get(key) !== value);
  }

  #read(): Map<string, number> {
    return new Map([...this.#store.entries('prefixes')].map(([key, value]) => [textOf(key), indexOf(value)]));
  }
}
