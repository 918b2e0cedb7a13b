import { expect, it } from 'vitest';
import { enums } from '../../src/dataplane/layout.gen.ts';
import { openObject } from '../../src/dataplane/native.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';

it('buckets of the flow cache and tables begin with a cache line', async () => {
  using compiler = new BpfCompiler();
  const object = openObject(compiler.compileProbe('line-probe'));
  await object.load();
  const { object: own, store } = await loadProgram({ vips: 4, pools: 2, reals: 8, flowsPerCpu: 8 });
  try {
    const program = object.program('line_probe');
    program.testRun({ data: new Uint8Array(64) });
    const values = object.map('values');
    const { keys, values: bytes, count } = values.entries();
    const size = bytes.length / count;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const addresses = Array.from({ length: keys.length / 4 }, (_, i) => view.getBigUint64(i * size, true));
    expect(new Set(addresses).size).toBe(4);
    expect(addresses).not.toContain(0n);
    expect(addresses.map((at) => (at + BigInt(store.toLine)) % BigInt(enums.pf_line.PF_LINE))).toEqual([
      0n,
      0n,
      0n,
      0n,
    ]);
    values.close();
    program.close();
  } finally {
    own.close();
    object.close();
  }
});
