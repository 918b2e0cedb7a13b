import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { decode, indexKey } from '../../src/dataplane/codec.ts';
import { kernelClock } from '../../src/dataplane/kernel-clock.ts';
import { enums } from '../../src/dataplane/layout.gen.ts';
import { possibleCpus } from '../../src/dataplane/native.ts';
import type { ProgramBench } from './program-bench.ts';

/** Bits of a word for notes; those above are the stamp of the moment that they hold for. */
const NOTE_BITS = 48n;

/** Of flows of TCP, if new ones are few. */
export const NOTE_TICKS = enums.pf_note_ticks.PF_NOTE_TICKS;

/** As bpf/note.h has it: it differs from one change to the next, and from one moment to the next. */
async function stampsNow({ loaded }: ProgramBench): Promise<{ readonly aging: bigint; readonly ageless: bigint }> {
  const { rate, jiffies } = await kernelClock();
  const variable = loaded.object.map('.data.changes');
  const { count } = decode('pf_changes', variable.get(indexKey(0)) ?? new Uint8Array(8));
  variable.close();
  const ticks = Math.floor(jiffies() / ((loaded.tickMs * rate) / 1_000));
  const stamp = (at: number) => BigInt((count + at) & 0xffff);
  return { aging: stamp(ticks), ageless: stamp(ticks - (ticks % NOTE_TICKS)) };
}

/** Has every flow of the CPU noted, as if each shared its note with one that is: what is noted says nothing of where a flow is. */
export async function noteAll(bench: ProgramBench): Promise<void> {
  const map = bench.loaded.object.map('notes');
  const { aging, ageless } = await stampsNow(bench);
  const word = (stamp: bigint) =>
    new Uint8Array(BigUint64Array.of((stamp << NOTE_BITS) | ((1n << NOTE_BITS) - 1n)).buffer);
  const words = map.info.maxEntries / possibleCpus();
  for (let i = 0; i < words; i++) map.put(indexKey(bench.cpu * words + i), word(i < words / 2 ? ageless : aging));
  map.close();
}

/** Resolves when a moment of flows of TCP has just begun. */
export async function startOfMoment({ loaded }: ProgramBench): Promise<void> {
  const { rate, jiffies } = await kernelClock();
  const moment = NOTE_TICKS * loaded.tickMs;
  await sleep(moment - (((jiffies() * 1_000) / rate) % moment) + 20);
}

/** Calls `look` while every flow is noted, and is sure that it was to the end. */
export async function whileNoted<T>(bench: ProgramBench, look: () => T): Promise<T> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const before = await stampsNow(bench);
    await noteAll(bench);
    const seen = look();
    const { aging, ageless } = await stampsNow(bench);
    if (aging === before.aging && ageless === before.ageless) return seen;
  }
  return expect.fail('no tick was long enough');
}
