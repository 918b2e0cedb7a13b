import { expect } from 'vitest';
import { decode, indexKey } from '../../src/dataplane/codec.ts';
import { kernelClock } from '../../src/dataplane/kernel-clock.ts';
import { possibleCpus } from '../../src/dataplane/native.ts';
import type { ProgramBench } from './program-bench.ts';

/** Bits of a word for notes; those above are the stamp of the moment that they hold for. */
const NOTE_BITS = 48n;

/** As bpf/tick.h has it: it differs from one change to the next, and from one tick to the next. */
async function stampNow({ loaded }: ProgramBench): Promise<bigint> {
  const { rate, jiffies } = await kernelClock();
  const variable = loaded.object.map('.data.changes');
  const { count } = decode('pf_changes', variable.get(indexKey(0)) ?? new Uint8Array(8));
  variable.close();
  const ticks = Math.floor(jiffies() / ((loaded.tickMs * rate) / 1_000));
  return BigInt((count + ticks) & 0xffff);
}

/** Has every flow of the CPU noted, as if each shared its note with one that is: what is noted says nothing of where a flow is. */
export async function noteAll(bench: ProgramBench): Promise<void> {
  const map = bench.loaded.object.map('notes');
  const stamp = await stampNow(bench);
  const word = new Uint8Array(BigUint64Array.of((stamp << NOTE_BITS) | ((1n << NOTE_BITS) - 1n)).buffer);
  const words = map.info.maxEntries / possibleCpus();
  for (let index = bench.cpu * words; index < (bench.cpu + 1) * words; index++) map.put(indexKey(index), word);
  map.close();
}

/** Calls `look` while every flow is noted, and is sure that it was to the end. */
export async function whileNoted<T>(bench: ProgramBench, look: () => T): Promise<T> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const before = await stampNow(bench);
    await noteAll(bench);
    const seen = look();
    if ((await stampNow(bench)) === before) return seen;
  }
  return expect.fail('no tick was long enough');
}
