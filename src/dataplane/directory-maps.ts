import type { Directory } from '../core/data-plane.ts';
import { indexKey } from './codec.ts';
import { directoryEntries } from './directory-entries.ts';
import type { DirectoryTable } from './directory-table.ts';
import { directoryTable } from './directory-table.ts';
import type { MapStore } from './map-store.ts';
import type { NumberedPrefixes, PrefixNumbers } from './prefix-numbers.ts';
import { difference, noPrefixes, numberPrefixes, prefixEntries, union } from './prefix-numbers.ts';
import { PrefixTrie } from './prefix-trie.ts';

const FIRST = indexKey(0);

interface InPlace {
  readonly id: number;
  readonly directory: Directory;
  readonly scopeOf: NumberedPrefixes['scopeOf'];
  readonly table: DirectoryTable;
}

function same(a: Uint8Array, b: Uint8Array | null): boolean {
  return b !== null && Buffer.compare(a, b) === 0;
}

/** The maps that a destination is looked up in: directory, address_filter and prefixes. */
export class DirectoryMaps {
  readonly #store: MapStore;
  readonly #trie: PrefixTrie;
  /** Of everything that the trie should hold. */
  #numbers: PrefixNumbers = noPrefixes;
  /** What was put into place last. */
  #inPlace: InPlace | null = null;
  /** False when a change was broken off, or others changed the trie. */
  #trieSound = true;

  constructor(store: MapStore) {
    this.#store = store;
    this.#trie = new PrefixTrie(store);
  }

  /** Reads everything back: null when it is not, byte for byte, what was put there. */
  observe(): Directory | null {
    const last = this.#inPlace;
    this.#trieSound &&= this.#trie.isSound();
    const sound =
      last !== null &&
      this.#trieSound &&
      this.#store.tableId('directory') === last.id &&
      same(last.table.bytes, this.#store.tableBytes('directory')) &&
      same(last.table.filter, this.#store.get('address_filter', FIRST));
    return sound ? last.directory : null;
  }

  /**
   * A packet meets all of the old directory or all of the new one, whatever prefixes come and go.
   *
   * @throws PilotfishError PF_MAP_FULL, PF_MAP
   */
  async swap(directory: Directory): Promise<void> {
    const next = numberPrefixes(directory, this.#numbers);
    const both = union(this.#numbers, next);
    const table = this.#build(directory, both, next.scopeOf);
    if (!this.#trieSound) await this.#trieChange(() => this.#trie.repair());
    await this.#trieChange(async () => {
      const added = difference(next, this.#numbers);
      if (added.prefixes.size > 0) await this.#makeRoom(both);
      await this.#trie.add(prefixEntries(added));
      this.#numbers = both;
    });
    await this.#put(directory, table, next.scopeOf);
    this.#store.put('address_filter', FIRST, table.filter);
    await this.#trieChange(async () => {
      await this.#trie.remove(prefixEntries(difference(both, next)));
      this.#numbers = next;
    });
  }

  /**
   * Addresses of a new prefix are looked up by its number from the moment that the trie has it. So the old directory
   * gets what that number inherits from shorter prefixes first.
   */
  async #makeRoom(numbers: PrefixNumbers): Promise<void> {
    const last = this.#inPlace;
    if (last === null) return;
    const table = this.#build(last.directory, numbers, last.scopeOf);
    if (!same(table.bytes, last.table.bytes)) await this.#put(last.directory, table, last.scopeOf);
  }

  #build(directory: Directory, { prefixes }: PrefixNumbers, scopes: InPlace['scopeOf']): DirectoryTable {
    const entries = directoryEntries(directory, { prefixes, scopes, tickMs: this.#store.tickMs });
    return directoryTable(entries, this.#store.tableSize('directory'));
  }

  async #put(directory: Directory, table: DirectoryTable, scopeOf: InPlace['scopeOf']): Promise<void> {
    this.#widenFilter(table);
    const id = await this.#store.swapTable('directory', table.bytes);
    this.#inPlace = { id, directory, scopeOf, table };
  }

  /** An address that the filter lacks is not looked up at all: its bit comes before the entry and goes after it. */
  #widenFilter({ filter }: DirectoryTable): void {
    const now = this.#store.get('address_filter', FIRST) ?? new Uint8Array(filter.length);
    const wide = now.map((bits, i) => bits | (filter[i] ?? 0));
    if (!same(wide, now)) this.#store.put('address_filter', FIRST, wide);
  }

  async #trieChange(change: () => Promise<void>): Promise<void> {
    this.#trieSound = false;
    await change();
    this.#trieSound = true;
  }
}
