import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type BpfMap, type BpfObject, createMap, openObject, VerifierError } from '../../src/dataplane/native.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';
import { thrownBy } from '../support/thrown-by.ts';

const compiler = new BpfCompiler();
const directory = mkdtempSync(join(tmpdir(), 'pilotfish-native-'));
const path = compiler.compileProbe('native');

afterAll(() => {
  compiler[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

/** Of the inner map of `rings` in that file. */
const RING_BYTES = 65_537 * 2;
const BPF_F_MMAPABLE = 1 << 10;

const frame = new Uint8Array(64);
const entriesOf = (object: BpfObject, name: string) => object.maps().find((map) => map.name === name)?.maxEntries;

describe('opening', () => {
  it('lists what the file holds', () => {
    const object = openObject(path);
    expect(object.programs()).toContain('give_answer');
    expect(object.maps()).toContainEqual({
      name: 'rings',
      type: 'array_of_maps',
      keySize: 4,
      valueSize: 4,
      valueBytes: 4,
      maxEntries: 64,
      flags: 0,
    });
    object.close();
  });

  it('names the file when it is missing or no object', () => {
    const missing = join(directory, 'missing.o');
    expect(thrownBy(() => openObject(missing))).toMatchObject({
      code: 'PF_OBJECT',
      message: expect.stringContaining(missing),
      fix: 'Build it: npm run build.',
    });
    const text = join(directory, 'text.o');
    writeFileSync(text, 'not an object at all, however long this file may be\n'.repeat(10));
    expect(thrownBy(() => openObject(text)).message).toMatch(/text\.o: .*not a proper ELF object/);
    expect(() => openObject(`${path}\0`)).toThrow(TypeError);
  });
});

describe('before loading', () => {
  it('map sizes can be set, which the kernel then keeps', async () => {
    const object = openObject(path);
    object.setMaxEntries('small_hash', 17);
    expect(entriesOf(object, 'small_hash')).toBe(17);
    await object.load();
    const map = object.map('small_hash');
    expect(map.info.maxEntries).toBe(17);
    expect(thrownBy(() => object.setMaxEntries('small_hash', 18)).message).toContain('only before it is loaded');
    map.close();
    object.close();
  });

  it('the inner map of a map of maps can be set: others are like that one, and not like the one in the file', async () => {
    const object = openObject(path);
    const newMap = (maxEntries: number) =>
      createMap({ type: 'array', name: 'inner', keySize: 4, valueSize: RING_BYTES, maxEntries, flags: BPF_F_MMAPABLE });
    const like = newMap(2);
    object.setInnerMap('rings', like);
    like.close();
    await object.load();
    const rings = object.map('rings');
    const one = newMap(1);
    const two = newMap(2);
    const fd = (map: BpfMap) => new Uint8Array(Uint32Array.of(map.fd).buffer);
    const key = new Uint8Array(4);
    rings.put(key, fd(two));
    expect(thrownBy(() => rings.put(key, fd(one))).message).toContain('EINVAL');
    expect(rings.get(key)).toEqual(new Uint8Array(Uint32Array.of(two.id).buffer));
    expect(thrownBy(() => object.setInnerMap('rings', one)).message).toContain('only before it is loaded');
    for (const map of [one, two, rings]) map.close();
    object.close();
  });

  it('only maps of maps have an inner map', () => {
    const object = openObject(path);
    const like = createMap({ type: 'array', name: 'inner', keySize: 4, valueSize: 4, maxEntries: 1 });
    expect(thrownBy(() => object.setInnerMap('small_hash', like)).message).toContain('EINVAL');
    expect(thrownBy(() => object.setInnerMap('none', like)).message).toContain("it has no map 'none'");
    like.close();
    expect(thrownBy(() => object.setInnerMap('rings', like)).message).toContain('it has been closed');
    object.close();
  });

  it('constants can be set, and the program has them', async () => {
    const object = openObject(path);
    expect(object.rodata()).toEqual(new Uint8Array(Uint32Array.of(7, 8).buffer));
    object.setRodata(new Uint8Array(Uint32Array.of(1234, 5).buffer));
    expect(object.rodata()).toEqual(new Uint8Array(Uint32Array.of(1234, 5).buffer));
    await object.load();
    const program = object.program('give_answer');
    expect(program.testRun({ data: frame }).retval).toBe(1234);
    expect(thrownBy(() => object.setRodata(new Uint8Array(8))).message).toContain('only before it is loaded');
    program.close();
    object.close();
  });

  it.each([0, 4, 7, 9, 12])('constants of %i bytes instead of 8 are refused', (length) => {
    const object = openObject(path);
    expect(thrownBy(() => object.setRodata(new Uint8Array(length)))).toMatchObject({
      code: 'PF_LAYOUT',
      message: `section .rodata of BPF object ${path} takes 8 bytes of value, not ${length}`,
    });
    object.close();
  });

  it('only sections have initial values, and nothing has a handle', () => {
    const object = openObject(path);
    expect(thrownBy(() => object.rodata('small_hash')).message).toContain("map 'small_hash' has no initial value");
    expect(thrownBy(() => object.rodata('.data')).message).toContain("it has no map '.data'");
    expect(thrownBy(() => object.map('small_hash')).message).toContain('only once it is loaded');
    expect(thrownBy(() => object.program('pass')).message).toContain('only once it is loaded');
    object.close();
  });
});

describe('loading', () => {
  it('reports what the verifier refuses: one telling line, all of it on request', async () => {
    const object = openObject(compiler.compileProbe('refused'));
    const error: unknown = await object.load().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(VerifierError);
    const { code, message, log } = error as VerifierError;
    expect(code).toBe('PF_VERIFIER');
    expect(message).toMatch(
      /refused program unchecked of BPF object .*: R\d .*outside of the packet \(\d+ lines omitted; EACCES\)$/,
    );
    expect(log).toContain('invalid access to packet, off=13 size=1');
    expect(log.split('\n').length).toBeGreaterThan(3);
    await expect(object.load()).rejects.toMatchObject({ message: expect.stringContaining('only before it is loaded') });
    object.close();
  });

  it('reports a map that the kernel refuses as no fault of a program', async () => {
    const object = openObject(path);
    object.setMaxEntries('big_hash', 2 ** 32 - 1);
    await expect(object.load()).rejects.toMatchObject({
      code: 'PF_OBJECT',
      message: expect.stringContaining("map 'big_hash': failed to create"),
    });
    object.close();
  });

  it('shuts other calls out until it is done', async () => {
    const object = openObject(path);
    const loading = object.load();
    expect(thrownBy(() => object.maps()).message).toContain('it is being loaded');
    await expect(object.load()).rejects.toMatchObject({ message: expect.stringContaining('it is being loaded') });
    await loading;
    expect(object.maps().length).toBeGreaterThan(5);
    object.close();
  });

  it('ends in peace when the object is closed meanwhile', async () => {
    const object = openObject(path);
    const loading = object.load();
    object.close();
    await loading;
    expect(thrownBy(() => object.map('numbers')).message).toContain('it has been closed');
  });

  it('tells how large the programs became', async () => {
    const object = openObject(path);
    await object.load();
    const program = object.program('give_last_slot');
    expect(program.info).toMatchObject({ name: 'give_last_slot', id: program.id });
    expect(program.info.verifiedInstructions).toBeGreaterThan(10);
    expect(program.info.xlatedBytes).toBeGreaterThan(80);
    expect(program.info.jitedBytes).toBeGreaterThan(20);
    expect(thrownBy(() => object.program('none')).message).toContain("it has no program 'none'");
    program.close();
    object.close();
  });
});

it('closes twice, and says afterwards that it is closed', async () => {
  const object = openObject(path);
  object.close();
  object.close();
  expect(thrownBy(() => object.maps())).toMatchObject({
    code: 'PF_OBJECT',
    message: `BPF object ${path}: it has been closed (bpf_object__next_map: EBADF)`,
  });
  await expect(object.load()).rejects.toMatchObject({ code: 'PF_OBJECT' });
});
