import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BpfMap, type BpfObject, createMap, openObject, possibleCpus, unmap } from '../../src/dataplane/native.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';
import { thrownBy } from '../support/thrown-by.ts';
import { until } from '../support/until.ts';

const RING_SLOTS = 65_537;
const ABSENT = 9999;
const BPF_F_MMAPABLE = 1 << 10;

const compiler = new BpfCompiler();
let object: BpfObject;

beforeAll(async () => {
  object = openObject(compiler.compileProbe('native'));
  await object.load();
});

afterAll(() => {
  object?.close();
  compiler[Symbol.dispose]();
});

const u32 = (...numbers: number[]) => new Uint8Array(Uint32Array.from(numbers).buffer);
const numbersOf = (bytes: Uint8Array) => [
  ...new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / Uint32Array.BYTES_PER_ELEMENT),
];
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

function frame(selector = 0): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes[0] = selector;
  return bytes;
}

const newRing = () =>
  createMap({
    type: 'array',
    name: 'ring',
    keySize: 4,
    valueSize: RING_SLOTS * 2,
    maxEntries: 1,
    flags: BPF_F_MMAPABLE,
  });

describe('buffer lengths', () => {
  const key = u32(1, 2);
  const wrong: readonly [string, (map: BpfMap) => unknown, string][] = [
    ['put, short key', (map) => map.put(key.subarray(1), u32(1)), '8 bytes of key, not 7'],
    ['put, long key', (map) => map.put(u32(1, 2, 3), u32(1)), '8 bytes of key, not 12'],
    ['put, short value', (map) => map.put(key, u32()), '4 bytes of value, not 0'],
    ['put, long value', (map) => map.put(key, u32(1, 2)), '4 bytes of value, not 8'],
    ['get, short key', (map) => map.get(u32(1)), '8 bytes of key, not 4'],
    ['delete, long key', (map) => map.delete(u32(1, 2, 3)), '8 bytes of key, not 12'],
  ];
  it.each(wrong)('%s', (_name, call, words) => {
    const map = object.map('small_hash');
    expect(thrownBy(() => call(map))).toMatchObject({ code: 'PF_MAP', message: `map small_hash takes ${words}` });
    expect(map.entries().count).toBe(0);
    map.close();
  });

  it('of batches are those of all entries', async () => {
    const map = object.map('small_hash');
    await expect(map.putBatch(u32(1, 2, 3, 4), u32(1), 2)).rejects.toMatchObject({
      message: 'map small_hash takes 8 bytes of values, not 4',
    });
    await expect(map.putBatch(u32(1, 2, 3), u32(1, 2), 2)).rejects.toMatchObject({
      message: 'map small_hash takes 16 bytes of keys, not 12',
    });
    await expect(map.deleteBatch(u32(1, 2, 3), 1)).rejects.toMatchObject({
      message: 'map small_hash takes 8 bytes of keys, not 12',
    });
    map.close();
  });

  it('of per-CPU values count every possible CPU', () => {
    const map = object.map('counters');
    expect(map.info).toMatchObject({ valueSize: 4, valueBytes: 8 * possibleCpus() });
    expect(thrownBy(() => map.put(u32(0), u32(1))).message).toContain(`${8 * possibleCpus()} bytes of value, not 4`);
    map.close();
  });

  it('come from the bytes of a view, not of its buffer', () => {
    const map = object.map('small_hash');
    const whole = u32(77, 5, 6, 88);
    map.put(whole.subarray(4, 12), u32(3));
    expect(map.get(u32(5, 6))).toEqual(u32(3));
    expect(map.delete(u32(5, 6))).toBe(true);
    map.close();
  });
});

describe('hash', () => {
  it('puts, gets, replaces and deletes', () => {
    const map = object.map('small_hash');
    map.put(u32(1, 2), u32(10));
    map.put(u32(1, 2), u32(11));
    expect(map.get(u32(1, 2))).toEqual(u32(11));
    expect(map.get(u32(1, 3))).toBeNull();
    expect(map.delete(u32(1, 2))).toBe(true);
    expect(map.delete(u32(1, 2))).toBe(false);
    expect(map.get(u32(1, 2))).toBeNull();
    map.close();
  });

  it('says when it is full, and a batch keeps what went before', async () => {
    const map = object.map('small_hash');
    await expect(map.putBatch(u32(...range(12)), u32(...range(6)), 6)).rejects.toMatchObject({
      code: 'PF_MAP_FULL',
      message: 'map small_hash has room for 4 entries and no more',
      cause: { code: 'E2BIG', done: 4 },
    });
    expect(thrownBy(() => map.put(u32(9, 9), u32(1)))).toMatchObject({ code: 'PF_MAP_FULL' });
    expect(map.entries().count).toBe(4);
    expect(await map.deleteBatch(u32(0, 1, 70, 70, 2, 3, 4, 5, 70, 71, 6, 7), 6)).toBe(4);
    expect(map.entries().count).toBe(0);
    map.close();
  });

  it('returns all of more entries than one batch holds', async () => {
    const map = object.map('big_hash');
    const keys = range(30_000);
    await map.putBatch(u32(...keys), u32(...keys.map((key) => key * 2)), keys.length);
    const entries = map.entries();
    const values = numbersOf(entries.values);
    expect(entries.count).toBe(keys.length);
    expect(new Map(numbersOf(entries.keys).map((key, i) => [key, values[i]]))).toEqual(
      new Map(keys.map((key) => [key, key * 2])),
    );
    expect(await map.deleteBatch(u32(...keys), keys.length)).toBe(keys.length);
    map.close();
  });

  it('returns each entry that stays exactly once while others come and go', async () => {
    const map = object.map('big_hash');
    const program = object.program('churn');
    const stable = range(5_000);
    await map.putBatch(u32(...stable), u32(...stable), stable.length);
    let running = true;
    let rounds = 0;
    const churning = program.testRunAsync({ data: frame(), repeat: 2_000_000 }).finally(() => {
      running = false;
    });
    while (running) {
      const seen = numbersOf(map.entries().keys).filter((key) => key < 2 ** 31);
      expect(seen.sort((a, b) => a - b)).toEqual(stable);
      rounds++;
      await new Promise(setImmediate);
    }
    await churning;
    expect(rounds).toBeGreaterThan(1);
    program.close();
    map.close();
  });
});

describe('arrays', () => {
  it('have all entries from the start and no others', () => {
    const map = object.map('numbers');
    map.put(u32(2), u32(5));
    expect(map.get(u32(3))).toBeNull();
    expect(thrownBy(() => map.put(u32(3), u32(1)))).toMatchObject({ code: 'PF_MAP_FULL' });
    expect(thrownBy(() => map.delete(u32(2)))).toMatchObject({ code: 'PF_MAP', cause: { code: 'EINVAL' } });
    expect(numbersOf(map.entries().keys)).toEqual([0, 1, 2]);
    expect(numbersOf(map.entries().values)).toEqual([0, 0, 5]);
    map.put(u32(2), u32(0));
    map.close();
  });

  it('per CPU: more entries than one batch holds, each with a value for each CPU', () => {
    const map = object.map('counters');
    const lanes = range(possibleCpus()).flatMap((cpu) => [cpu + 100, 0]);
    map.put(u32(19_999), u32(...lanes));
    const { keys, values, count } = map.entries();
    expect(count).toBe(20_000);
    expect(numbersOf(keys)).toEqual(range(20_000));
    expect(numbersOf(values.subarray(-map.info.valueBytes))).toEqual(lanes);
    expect(numbersOf(values.subarray(0, map.info.valueBytes)).every((value) => value === 0)).toBe(true);
    map.close();
  });

  it('are seen by the program through their memory', () => {
    const map = object.map('numbers');
    const program = object.program('give_number');
    const bytes = map.mmap();
    expect(bytes.byteLength).toBe(2 * 8 + 4);
    new DataView(bytes.buffer).setUint32(8, 4242, true);
    expect(program.testRun({ data: frame(1) }).retval).toBe(4242);
    expect(program.testRun({ data: frame(3) }).retval).toBe(ABSENT);
    expect(unmap(bytes)).toBe(true);
    expect(bytes.byteLength).toBe(0);
    expect(unmap(bytes)).toBe(false);
    map.put(u32(1), u32(0));
    program.close();
    map.close();
  });

  it('cannot be mapped when they were not made for it', () => {
    const map = object.map('counters');
    expect(thrownBy(() => map.mmap())).toMatchObject({ code: 'PF_MAP', cause: { syscall: 'mmap' } });
    map.close();
  });
});

describe('memory of a map', () => {
  const mapped = () => readFileSync('/proc/self/maps', 'utf8').split('anon_inode:bpf-map').length - 1;

  it('stays when the map is closed', () => {
    const map = newRing();
    const bytes = map.mmap();
    map.close();
    bytes.fill(7);
    expect(bytes.at(-1)).toBe(7);
    expect(unmap(bytes)).toBe(true);
  });

  it('is given back at once by unmap, whatever the finalizers of earlier ones do', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const before = mapped();
    const map = newRing();
    for (let i = 0; i < 300; i++) expect(unmap(map.mmap())).toBe(true);
    expect(mapped()).toBe(before);
    const kept = map.mmap();
    collect();
    await sleep(50);
    kept.fill(1);
    expect(mapped()).toBe(before + 1);
    expect(unmap(kept)).toBe(true);
    map.close();
  });

  it('is given back with the last reference to it', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const map = newRing();
    const before = mapped();
    for (let i = 0; i < 20; i++) map.mmap();
    expect(mapped()).toBeGreaterThan(before);
    await until('all of it is unmapped', 5_000, () => {
      collect();
      return mapped() === before;
    });
    map.close();
  });
});

describe('array of maps', () => {
  it('swaps 64 rings in one batch, which the program sees', async () => {
    const outer = object.map('rings');
    const program = object.program('give_last_slot');
    expect(program.testRun({ data: frame(5) }).retval).toBe(ABSENT);
    for (const generation of [100, 200]) {
      const inner = range(64).map((slot) => {
        const ring = newRing();
        const memory = ring.mmap();
        new Uint16Array(memory.buffer)[RING_SLOTS - 1] = generation + slot;
        unmap(memory);
        return ring;
      });
      await outer.putBatch(u32(...range(64)), u32(...inner.map((ring) => ring.fd)), 64);
      expect(range(64).map((slot) => program.testRun({ data: frame(slot) }).retval)).toEqual(
        range(64).map((slot) => generation + slot),
      );
      expect(numbersOf(outer.entries().values)).toEqual(inner.map((ring) => ring.id));
      for (const ring of inner) ring.close();
    }
    expect(await outer.deleteBatch(u32(1, 3), 2)).toBe(2);
    expect(numbersOf(outer.entries().keys)).toEqual(range(64).filter((slot) => slot !== 1 && slot !== 3));
    expect(program.testRun({ data: frame(1) }).retval).toBe(ABSENT);
    program.close();
    outer.close();
  });

  it('refuses an inner map of other measures and tells how far it came', async () => {
    const outer = object.map('rings');
    const ring = newRing();
    const other = createMap({ type: 'array', name: 'other', keySize: 4, valueSize: 8, maxEntries: 1 });
    await expect(outer.putBatch(u32(0, 1), u32(ring.fd, other.fd), 2)).rejects.toMatchObject({
      code: 'PF_MAP',
      cause: { code: 'EINVAL', done: 1 },
    });
    for (const map of [outer, ring, other]) map.close();
  });
});

describe('map types without batch operations', () => {
  it('are read one by one: a prefix tree', () => {
    const map = object.map('prefixes');
    for (const i of range(50)) map.put(Uint8Array.of(24, 0, 0, 0, 10, 0, i, 0), u32(i));
    const { count, values } = map.entries();
    expect(count).toBe(50);
    expect(numbersOf(values).sort((a, b) => a - b)).toEqual(range(50));
    map.close();
  });

  it('are written one by one: an array of programs', async () => {
    const map = object.map('jumps');
    const target = object.program('give_answer');
    const program = object.program('jump');
    await map.putBatch(u32(1, 2), u32(target.fd, target.fd), 2);
    expect(range(4).map((slot) => program.testRun({ data: frame(slot) }).retval)).toEqual([ABSENT, 7, 7, ABSENT]);
    expect(await map.deleteBatch(u32(0, 1, 2), 3)).toBe(2);
    expect(program.testRun({ data: frame(1) }).retval).toBe(ABSENT);
    for (const handle of [map, target, program]) handle.close();
  });
});

describe('an LPM trie', () => {
  const BPF_F_NO_PREALLOC = 1;
  const newTrie = (maxEntries: number): BpfMap =>
    createMap({ type: 'lpm_trie', name: 'trie', keySize: 8, valueSize: 4, maxEntries, flags: BPF_F_NO_PREALLOC });
  /** As the kernel has it: how many bits count, and an address. */
  const key = (bits: number, ...address: number[]) => Uint8Array.of(...u32(bits), ...address);

  it('finds the longest prefix, and deletes only what is named', () => {
    const trie = newTrie(8);
    trie.put(key(8, 10, 0, 0, 0), u32(1));
    trie.put(key(24, 10, 0, 7, 0), u32(2));
    const found = () => [key(32, 10, 0, 7, 9), key(32, 10, 0, 8, 9), key(32, 11, 0, 0, 0)].map((k) => trie.get(k));
    expect(found()).toEqual([u32(2), u32(1), null]);
    expect(trie.delete(key(16, 10, 0, 0, 0))).toBe(false);
    expect(trie.delete(key(24, 10, 0, 7, 0))).toBe(true);
    expect(found()).toEqual([u32(1), u32(1), null]);
    trie.close();
  });

  it('takes, returns and gives up batches, and says when it is full', async () => {
    const trie = newTrie(5_000);
    const all = range(5_000).map((i) => key(24, 10, i >> 8, i & 255, 0));
    await trie.putBatch(Buffer.concat(all), u32(...range(5_000)), 5_000);
    const { keys, values, count } = trie.entries();
    const seen = new Map(range(count).map((i) => [keys.subarray(i * 8, i * 8 + 8).join(), numbersOf(values)[i]]));
    expect(seen).toEqual(new Map(all.map((k, i) => [k.join(), i])));
    await expect(trie.putBatch(key(8, 11, 0, 0, 0), u32(1), 1)).rejects.toMatchObject({ code: 'PF_MAP_FULL' });
    expect(await trie.deleteBatch(Buffer.concat([key(8, 11, 0, 0, 0), ...all]), 5_001)).toBe(5_000);
    expect(trie.entries().count).toBe(0);
    trie.close();
  });
});

describe('a closed map', () => {
  it('says so, and closes again', async () => {
    const map = newRing();
    map.close();
    map.close();
    const calls = [
      () => map.fd,
      () => map.get(u32(0)),
      () => map.put(u32(0), u32(0)),
      () => map.entries(),
      () => map.mmap(),
    ];
    for (const call of calls) {
      expect(thrownBy(call).message).toMatch(/^map ring: it has been closed/);
    }
    await expect(map.putBatch(u32(), u32(), 0)).rejects.toMatchObject({
      message: 'map ring: it has been closed (bpf_map_update_batch: EBADF)',
    });
  });

  it('does not disturb a batch that is under way', async () => {
    const outer = object.map('rings');
    const ring = newRing();
    const swap = outer.putBatch(u32(9), u32(ring.fd), 1);
    outer.close();
    await swap;
    const again = object.map('rings');
    expect(again.get(u32(9))).toEqual(u32(ring.id));
    again.close();
    ring.close();
  });
});

it('refuses map types and measures that the kernel does not know', () => {
  const sizes = { name: 'odd', keySize: 4, valueSize: 4, maxEntries: 1 };
  const unknown = { ...sizes, type: 'ring' as 'array' };
  expect(thrownBy(() => createMap(unknown)).message).toContain("there is no map type 'ring'");
  expect(thrownBy(() => createMap({ ...sizes, type: 'array', keySize: 8 }))).toMatchObject({
    code: 'PF_MAP',
    cause: { syscall: 'bpf_map_create', code: 'EINVAL' },
  });
});
