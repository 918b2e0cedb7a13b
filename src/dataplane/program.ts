import { fileURLToPath } from 'node:url';
import { PilotfishError } from '../core/errors.ts';
import { decode, encode } from './codec.ts';
import { BUCKET_ENTRIES } from './flow-cache.ts';
import { KernelMapStore } from './kernel-store.ts';
import { enums, fingerprint, maps, structs } from './layout.gen.ts';
import type { BpfObject, BpfProgram } from './native.ts';
import { openObject, possibleCpus } from './native.ts';

/** The compiled program; the path is the same from src/ and from dist/. */
export const objectPath = fileURLToPath(new URL('../../build/pilotfish.bpf.o', import.meta.url));

export interface ProgramSizes {
  readonly vips: number;
  readonly pools: number;
  readonly reals: number;
  /** Flow cache entries of each CPU; rounded up to a power of two, at least one bucket of 8. */
  readonly flowsPerCpu: number;
  /** Have the program write down what it decides about each packet, in the map decisions; default false. */
  readonly tracing?: boolean;
}

/** A slot of a ring has 16 bits. */
const MAX_REAL_NUMBERS = 65_536;

/**
 * Room beyond the limits: make before break has the old and the new at the same time, and a removed real keeps its
 * number while its flows drain.
 */
const HEADROOM = 2;

/** The program in the kernel, attached to nothing yet. */
export interface LoadedProgram {
  readonly object: BpfObject;
  readonly program: BpfProgram;
  readonly store: KernelMapStore;
  /** Entries of the flow cache of each CPU, as it was made. */
  readonly flowsPerCpu: number;
}

/** The map types in use, by the number that BTF has (enum bpf_map_type) and the name that libbpf has. */
const mapTypes: Readonly<Record<number, string>> = { 1: 'hash', 2: 'array', 6: 'percpu_array', 12: 'array_of_maps' };

/** @throws PilotfishError PF_LAYOUT when the object was compiled from other structs than this code knows */
function checkLayout(object: BpfObject, path: string): void {
  const found = new Map(object.maps().map((map) => [map.name, map]));
  const faults: string[] = [];
  for (const [name, expected] of Object.entries(maps)) {
    const map = found.get(name);
    if (map === undefined) {
      faults.push(`map ${name} is missing`);
      continue;
    }
    const type = mapTypes[expected.type];
    if (map.type !== type) faults.push(`map ${name} has type ${map.type}, not ${type}`);
    for (const field of ['keySize', 'valueSize'] as const)
      if (map[field] !== expected[field]) faults.push(`map ${name} has ${field} ${map[field]}, not ${expected[field]}`);
  }
  const reasons = found.get('reasons')?.maxEntries;
  if (reasons !== undefined && reasons !== enums.pf_reason.PF_REASON_COUNT)
    faults.push(`it counts ${reasons} reasons, not ${enums.pf_reason.PF_REASON_COUNT}`);
  const constants = object.rodata();
  if (constants.length !== structs.pf_constants.size) {
    faults.push(`constants take ${constants.length} bytes, not ${structs.pf_constants.size}`);
  } else {
    // Sizes alone would not tell two fields that changed places.
    const other = decode('pf_constants', constants).layout_fingerprint.toString(16).padStart(16, '0');
    if (other !== fingerprint) faults.push(`its structs are those of ${other}, not of ${fingerprint}`);
  }
  if (faults.length > 0)
    throw new PilotfishError('PF_LAYOUT', `${path} does not fit this build: ${faults.join('; ')}`, {
      fix: 'run `npm run build`, or install program and agent from the same package',
    });
}

/** Sets what must be known before load. Returns the entries of each CPU’s flow cache. */
function configure(object: BpfObject, sizes: ProgramSizes): number {
  const buckets = 2 ** Math.ceil(Math.log2(Math.max(1, sizes.flowsPerCpu / BUCKET_ENTRIES)));
  const vips = sizes.vips * HEADROOM;
  const reals = Math.min(MAX_REAL_NUMBERS, sizes.reals * HEADROOM + 1);
  const entries = {
    vips,
    vip_addresses: vips,
    vip_traffic: vips,
    rings: sizes.pools * HEADROOM,
    reals,
    real_traffic: reals,
    flows: buckets * possibleCpus(),
  };
  for (const [map, count] of Object.entries(entries)) object.setMaxEntries(map, count);
  const constants = decode('pf_constants', object.rodata());
  object.setRodata(
    encode('pf_constants', { ...constants, flow_bucket_mask: buckets - 1, tracing: sizes.tracing ? 1 : 0 }),
  );
  return buckets * BUCKET_ENTRIES;
}

/**
 * Loads the program with maps of these sizes.
 *
 * @throws PilotfishError PF_OBJECT, PF_LAYOUT, PF_VERIFIER, PF_CAPABILITY
 */
export async function loadProgram(sizes: ProgramSizes, path: string = objectPath): Promise<LoadedProgram> {
  const object = openObject(path);
  try {
    checkLayout(object, path);
    const flowsPerCpu = configure(object, sizes);
    await object.load();
    return { object, program: object.program('pilotfish'), store: new KernelMapStore(object), flowsPerCpu };
  } catch (error) {
    object.close();
    throw error;
  }
}
