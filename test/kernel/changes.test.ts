import { beforeEach, describe, expect, it } from 'vitest';
import { Changes } from '../../src/dataplane/changes.ts';
import { decode } from '../../src/dataplane/codec.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { createMap } from '../../src/dataplane/native.ts';

/** The variable changes, as the program reads it before, during and after changes. */

const BPF_F_MMAPABLE = 1 << 10;

let changes: Changes;
let read: () => { readonly count: number; readonly vips: number };

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
    expect(changes.after(read)).toEqual({ count: 1, vips: 0 });
    expect(await changes.afterAll(async () => read())).toEqual({ count: 2, vips: 0 });
    expect(read()).toEqual({ count: 3, vips: 0 });
  });

  it('of VIPs ends what recent VIPs hold for before it begins, and says anew what they hold for when it is counted', async () => {
    changes.ofVips(() => undefined);
    expect(read()).toEqual({ count: 2, vips: 2 });
    expect(changes.ofVips(read)).toEqual({ count: 2, vips: 0 });
    expect(read()).toEqual({ count: 3, vips: 3 });
    expect(await changes.allOfVips(async () => read())).toEqual({ count: 3, vips: 0 });
    expect(read()).toEqual({ count: 4, vips: 4 });
  });

  it('of something else leaves them', () => {
    changes.ofVips(() => undefined);
    changes.after(() => undefined);
    expect(read()).toEqual({ count: 3, vips: 2 });
  });

  it('of VIPs that fails has ended them all the same', async () => {
    changes.ofVips(() => undefined);
    expect(() => changes.ofVips(fail)).toThrow('refused');
    expect(read()).toEqual({ count: 3, vips: 3 });
    await expect(changes.allOfVips(async () => fail())).rejects.toThrow('refused');
    expect(read()).toEqual({ count: 4, vips: 4 });
  });

  it('of VIPs during another one does not end that', async () => {
    let end: (() => void) | undefined;
    const first = changes.allOfVips(() => new Promise<void>((resolve) => (end = resolve)));
    await changes.allOfVips(async () => undefined);
    expect(read()).toEqual({ count: 2, vips: 0 });
    end?.();
    await first;
    expect(read()).toEqual({ count: 3, vips: 3 });
  });
});
