import type { DataPlane, Limits, MapOp, Observed, RealRecord, RingSpec, ServerIds } from '../core/data-plane.ts';
import { ringSignature } from '../core/data-plane.ts';
import type { RingBuilder } from '../core/ring-builder.ts';
import { indexKey, indexOf } from './codec.ts';
import { resetTraffic } from './counters.ts';
import { DirectoryMaps } from './directory-maps.ts';
import type { MapStore } from './map-store.ts';
import { surelyHeld } from './perfect-hash.ts';
import * as records from './records.ts';
import { ServedPorts } from './served-ports.ts';
import { serverIdTable } from './server-id-table.ts';

const FIRST = indexKey(0);

/**
 * Carries plans out on a MapStore and reads back what is there. What the maps cannot hold, which pool has which number
 * and what each ring was made of, is kept here.
 */
export class MapDataPlane implements DataPlane {
  readonly #store: MapStore;
  readonly #rings: RingBuilder;
  readonly #limits: Limits;
  readonly #directory: DirectoryMaps;
  #serverIds: { readonly id: number; readonly bytes: Uint8Array; readonly serverIds: ServerIds } | null = null;
  readonly #poolNumbers = new Map<string, number>();
  readonly #signatures = new Map<number, string>();
  readonly #served = new ServedPorts();

  constructor(store: MapStore, rings: RingBuilder) {
    this.#store = store;
    this.#rings = rings;
    this.#directory = new DirectoryMaps(store);
    this.#limits = {
      vips: store.maxEntries('vip_traffic'),
      pools: store.maxEntries('rings'),
      reals: Math.min(store.maxEntries('reals'), store.maxEntries('real_traffic')),
      serverIds: surelyHeld(store.tableSize('server_ids')),
    };
  }

  observe(): Observed {
    const store = this.#store;
    const settings = store.get('settings', FIRST);
    const reals = new Map<number, RealRecord>();
    const freed = new Map<number, number>();
    for (const [key, value] of store.entries('reals')) {
      const real = records.decodeReal(value);
      if (real.address !== null) reals.set(indexOf(key), real);
      else if (real.generation > 0) freed.set(indexOf(key), real.generation);
    }
    const rings = new Map<number, string>();
    for (const [pool, id] of store.ringIds()) rings.set(pool, this.#signatures.get(id) ?? `not ours: ${id}`);
    return {
      settings: settings === null ? null : records.decodeSettings(settings),
      ...this.#directory.observe(),
      serverIds: this.#observeServerIds(),
      reals,
      freed,
      rings,
      pools: new Map(this.#poolNumbers),
      limits: this.#limits,
    };
  }

  async apply(op: MapOp): Promise<void> {
    const store = this.#store;
    switch (op.op) {
      case 'settings':
        return this.#putSettings(records.encodeSettings(op.settings));
      case 'put-real':
        if (op.fresh) resetTraffic(store, 'real', op.number);
        return this.#putReal(op.number, op.real);
      case 'void-real':
        return this.#voidReal(op.number, op.generation);
      case 'name-pool':
        this.#poolNumbers.set(op.name, op.pool);
        return;
      case 'swap-rings':
        return this.#swapRings(op.rings);
      case 'remove-pools':
        return this.#removePools(op.pools);
      case 'swap-server-ids':
        return this.#swapServerIds(op.serverIds);
      case 'swap-directory':
        for (const number of op.fresh) resetTraffic(store, 'vip', number);
        store.unsettle(this.#served.takeOver(op.directory));
        await this.#directory.swap(op.directory);
        return this.#served.tookOver();
    }
  }

  /**
   * Time has passed: what was to be looked out for before the last call, and was not met since, is not any more. A flow may be silent for as
   * long as there is between two calls.
   */
  settle(): void {
    this.#store.settle();
    this.#served.settle();
  }

  #observeServerIds(): ServerIds | null {
    const last = this.#serverIds;
    if (last === null || this.#store.tableId('server_ids') !== last.id) return null;
    const bytes = this.#store.tableBytes('server_ids');
    return bytes !== null && Buffer.compare(bytes, last.bytes) === 0 ? last.serverIds : null;
  }

  async #swapServerIds(serverIds: ServerIds): Promise<void> {
    const bytes = serverIdTable(serverIds, this.#store.tableSize('server_ids'));
    this.#serverIds = { id: await this.#store.swapTable('server_ids', bytes), bytes, serverIds };
  }

  /** Written word by word, the MAC address last: so the real gets it before its encap asks for one. */
  #putReal(number: number, real: RealRecord): void {
    const key = indexKey(number);
    const next = records.encodeReal(real);
    const before = this.#store.get('reals', key);
    if (before !== null && real.encap.kind === 'l2') this.#store.put('reals', key, records.withMacOf(before, next));
    this.#store.put('reals', key, next);
  }

  #voidReal(number: number, generation: number): void {
    const key = indexKey(number);
    this.#store.put('reals', key, records.encodeVoidReal(generation, this.#store.get('reals', key) ?? undefined));
  }

  /**
   * Variables are written word by word, `room` last. It shrinks before all else and grows after it: no packet is sent to a next hop
   * that is not known any more, or not yet, nor longer than the MTU.
   */
  #putSettings(settings: Uint8Array): void {
    const before = this.#store.get('settings', FIRST);
    if (before !== null) this.#store.put('settings', FIRST, records.withRoomOfBoth(before, settings));
    this.#store.put('settings', FIRST, settings);
  }

  async #swapRings(changes: Extract<MapOp, { op: 'swap-rings' }>['rings']): Promise<void> {
    const fills = changes.map(({ pool, spec }) => ({ pool, fill: (slots: Uint16Array) => this.#fill(spec, slots) }));
    const ids = await this.#store.swapRings(fills);
    changes.forEach(({ spec }, i) => {
      this.#signatures.set(ids[i] ?? -1, ringSignature(spec));
    });
    this.#forgetGoneRings();
  }

  async #removePools(pools: readonly number[]): Promise<void> {
    await this.#store.removeRings(pools);
    for (const [name, number] of this.#poolNumbers) if (pools.includes(number)) this.#poolNumbers.delete(name);
    this.#forgetGoneRings();
  }

  /** The kernel gives the ids of freed maps to no other map, so a stale entry would only be a leak. */
  #forgetGoneRings(): void {
    const live = new Set(this.#store.ringIds().values());
    for (const id of this.#signatures.keys()) if (!live.has(id)) this.#signatures.delete(id);
  }

  #fill(spec: RingSpec, slots: Uint16Array): void {
    const { indexes } = this.#rings.ring(spec.seed, spec.members);
    if (indexes === null) {
      slots.fill(0);
      return;
    }
    const numbers = Uint16Array.from(spec.members, (member) => member.number);
    for (let slot = 0; slot < slots.length; slot++) slots[slot] = numbers[indexes[slot] ?? 0] ?? 0;
  }
}
