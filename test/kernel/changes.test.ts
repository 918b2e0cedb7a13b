import { beforeEach, describe, expect, it } from 'vitest';
import { Changes } from '../../src/dataplane/changes.ts';
import { decode } from '../../src/dataplane/codec.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { createMap } from '../../src/dataplane/native.ts';

/** The variable changes, as the program reads it before, during and after changes. */

const BPF_F_MMAPABLE = 1 << 10;

let changes: Changes;
let read: () => { readonly count: number };

beforeEach(() => {
  const map = createMap({
    type: 'array',
    name: 'changes',
    keySize: 4,
    valueSize: structs.pf_changes.size,
    maxEntries: 1,
    flags: BPF_F_MMAPABLE,
  });
  const memory = map.mmap();
  new DataView(memory.buffer, memory.byteOffset).setUint32(structs.pf_changes.fields.count.offset, 1, true);
  changes = new Changes(map);
  read = () => decode('pf_changes', memory.subarray(0, structs.pf_changes.size));
});

const fail = (): never => {
  throw new Error('refused');
};

describe('a change', () => {
  it('is counted when it is over', async () => {
    expect(changes.after(read)).toEqual({ count: 1 });
    expect(await changes.afterAll(async () => read())).toEqual({ count: 2 });
    expect(read()).toEqual({ count: 3 });
  });

  it('that fails is counted all the same', async () => {
    expect(() => changes.after(fail)).toThrow('refused');
    expect(read()).toEqual({ count: 2 });
    await expect(changes.afterAll(async () => fail())).rejects.toThrow('refused');
    expect(read()).toEqual({ count: 3 });
  });
});
