import type { Directory, Observed } from '../core/data-plane.ts';
import { PilotfishError } from '../core/errors.ts';
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

/** The way from the directory in place to another. */
interface Change {
  readonly directory: Directory;
  readonly next: NumberedPrefixes;
  /** Numbers of the old and the new. */
  readonly both: PrefixNumbers;
  readonly added: PrefixNumbers;
  readonly table: DirectoryTable;
  /** The old directory with the prefixes that come; null: they make no difference to it. */
  readonly before: Omit<InPlace, 'id'> | null;
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

  /** Reads everything back: sound when it is, byte for byte, what was put there. */
  observe(): Pick<Observed, 'directory' | 'directorySound'> {
    const last = this.#inPlace;
    this.#trieSound &&= this.#trie.isSound();
    if (last === null || this.#store.tableId('directory') !== last.id)
      return { directory: null, directorySound: false };
    const directorySound =
      this.#trieSound &&
      same(last.table.bytes, this.#store.tableBytes('directory')) &&
      same(last.table.filter, this.#store.get('address_filter', FIRST));
    return { directory: last.directory, directorySound };
  }

  /**
   * A packet meets all of the old directory or all of the new one, whatever prefixes come and go. Where there is no room
   * for that, it meets for a moment what VIPs both have.
   *
   * @throws PilotfishError PF_MAP_FULL, PF_MAP
   */
  async swap(directory: Directory): Promise<void> {
    const last = this.#inPlace?.directory;
    let change: Change;
    try {
      change = this.#prepare(directory);
    } catch (error) {
      if (!(error instanceof PilotfishError) || error.code !== 'PF_MAP_FULL' || last === undefined) throw error;
      const alone = numberPrefixes(directory, this.#numbers);
      this.#build(directory, alone, alone.scopeOf);
      // It would fit without what it inherits to prefixes that go, or what the old one inherits to those that come.
      const vips = new Map([...directory.vips].filter(([id]) => last.vips.has(id)));
      await this.#carryOut(this.#prepare({ ...directory, vips }));
      change = this.#prepare(directory);
    }
    await this.#carryOut(change);
  }

  /** @throws PilotfishError PF_MAP_FULL */
  #prepare(directory: Directory): Change {
    const next = numberPrefixes(directory, this.#numbers);
    const both = union(this.#numbers, next);
    const added = difference(next, this.#numbers);
    const last = this.#inPlace;
    return {
      directory,
      next,
      both,
      added,
      table: this.#build(directory, both, next.scopeOf),
      // Addresses of a new prefix are looked up by its number from the moment that the trie has it. So the old directory
      // gets what that number inherits from shorter prefixes first.
      before:
        last === null || added.prefixes.size === 0
          ? null
          : { ...last, table: this.#build(last.directory, both, last.scopeOf) },
    };
  }

  async #carryOut({ directory, next, both, added, table, before }: Change): Promise<void> {
    if (!this.#trieSound) await this.#trieChange(() => this.#trie.repair());
    await this.#trieChange(async () => {
      if (before !== null && !same(before.table.bytes, this.#inPlace?.table.bytes ?? null))
        await this.#put(before.directory, before.table, before.scopeOf);
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

  #build(directory: Directory, { prefixes }: PrefixNumbers, scopes: InPlace['scopeOf']): DirectoryTable {
    const size = this.#store.tableSize('directory');
    const entries = directoryEntries(directory, { prefixes, scopes, tickMs: this.#store.tickMs }, size);
    return directoryTable(entries, size);
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
