import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PilotfishError } from '../core/errors.ts';
import { openObject } from './native.ts';

const clockPath = fileURLToPath(new URL('../../build/clock.bpf.o', import.meta.url));

/** Kernels are built with one of these (CONFIG_HZ of x86-64 and arm64). */
const RATES = [100, 250, 300, 1_000] as const;
const MEASURED_MS = 40;
const LONGEST_JIFFY_MS = 1_000;

/** What the program tells time by, and no interface of the kernel tells. */
export interface KernelClock {
  /** Jiffies a second. */
  readonly rate: number;
  /** Now; the low 32 bits. */
  jiffies(): number;
}

interface Edge {
  readonly jiffies: number;
  readonly atMs: number;
}

/** The moment at which the next jiffy begins. */
function nextEdge(read: () => number): Edge {
  const before = read();
  const start = performance.now();
  for (;;) {
    const jiffies = read();
    const atMs = performance.now();
    if (jiffies !== before) return { jiffies, atMs };
    if (atMs - start > LONGEST_JIFFY_MS)
      throw new PilotfishError('PF_KERNEL', `the kernel’s clock stood still for ${LONGEST_JIFFY_MS} ms`);
  }
}

async function measure(): Promise<KernelClock> {
  const object = openObject(clockPath);
  try {
    await object.load();
    const program = object.program('pilotfish_clock');
    const data = new Uint8Array(64);
    const read = (): number => program.testRun({ data }).retval;
    const first = nextEdge(read);
    await sleep(MEASURED_MS);
    const last = nextEdge(read);
    program.close();
    const measured = (((last.jiffies - first.jiffies) >>> 0) / (last.atMs - first.atMs)) * 1_000;
    const rate = RATES.reduce((best, r) => (Math.abs(r - measured) < Math.abs(best - measured) ? r : best));
    const jiffies = (): number => (last.jiffies + Math.floor(((performance.now() - last.atMs) * rate) / 1_000)) >>> 0;
    return { rate, jiffies };
  } finally {
    object.close();
  }
}

let measured: Promise<KernelClock> | undefined;

/**
 * Measured once in a process.
 * @throws PilotfishError PF_OBJECT, PF_VERIFIER, PF_CAPABILITY, PF_KERNEL
 */
export function kernelClock(): Promise<KernelClock> {
  measured ??= measure().catch((error: unknown) => {
    measured = undefined;
    throw error;
  });
  return measured;
}
