import { fileURLToPath } from 'node:url';
import { defaultLimits } from '../core/admission.ts';
import { directoryKeyLimit, HOST_DIRECTORY_KEYS } from '../core/directory-keys.ts';
import { PilotfishError } from '../core/errors.ts';
import { decode, encode } from './codec.ts';
import { BLOCK_BUCKETS, BUCKET_ENTRIES, TICK_MASK } from './flow-cache.ts';
import { type KernelClock, kernelClock } from './kernel-clock.ts';
import { KernelMapStore, type LoadedSizes, newTable } from './kernel-store.ts';
import { enums, fingerprint, maps, structs, variables } from './layout.gen.ts';
import type { BpfObject, BpfProgram } from './native.ts';
import { arrayValueOffset, openObject, possibleCpus } from './native.ts';
import { tablePlaces } from './perfect-hash.ts';

/** The compiled program; the path is the same from src/ and from dist/. */
export const objectPath = fileURLToPath(new URL('../../build/pilotfish.bpf.o', import.meta.url));
/** The same that writes down what it decides about each packet, in the map decisions. */
export const tracingObjectPath = fileURLToPath(new URL('../../build/pilotfish-trace.bpf.o', import.meta.url));

export interface ProgramSizes {
  readonly vips: number;
  readonly pools: number;
  readonly reals: number;
  /** Client prefixes of all VIPs; default as many as the desired state may have. */
  readonly clients?: number;
  /** Server ids, as the desired state counts them; default as many as it may have. */
  readonly serverIds?: number;
  /** Flow cache entries of each CPU; rounded up to full buckets of 8, at least one. */
  readonly flowsPerCpu: number;
  /** Have the outer headers of flows ready whose packets come close together; default true. */
  readonly hotFlows?: boolean;
  /** Each CPU remembers so many new flows a second and no more; default 500,000. */
  readonly newFlowsPerSecond?: number;
  /** Each CPU tells so many senders a second that a packet is too big, and no more; default 1,000. */
  readonly tooBigAnswersPerSecond?: number;
  /** Index of the interface that packets to reals leave by; default the one that they came in by. */
  readonly egress?: number;
  /** Take the object that writes down what it decides about each packet; default false. */
  readonly tracing?: boolean;
}

const { PF_NUMBERS, PF_REAL_NUMBERS } = enums.pf_numbers;
const NEW_FLOWS_PER_SECOND = 500_000;
const MOST_IN_WINDOW = 2 ** 32 - 1;
/** As docs/reference/packets.md has it. */
const TOO_BIG_ANSWERS_PER_SECOND = 1_000;
/** 65,536 words are 512 KB. */
const MOST_NOTE_WORDS = 2 ** 16;
/** For three to six notes a flow, of which a word has 48. */
const FLOWS_PER_NOTE_WORD = 16;
/** A tick takes about so long: the 10 bits that the flow cache has for it are then good for half an hour. */
const TICK_SECONDS = 2;

/**
 * Room beyond the limits: make before break has the old and the new at the same time, and a removed real keeps its
 * number while its flows drain. Of reals there is less of it when the limit is above half of all numbers.
 */
const HEADROOM = 2;

/** The program in the kernel, attached to nothing yet. */
export interface LoadedProgram {
  readonly object: BpfObject;
  readonly program: BpfProgram;
  readonly store: KernelMapStore;
  /** Entries of the flow cache of each CPU, as it was made. */
  readonly flowsPerCpu: number;
  /** Length of a tick of the flow cache. */
  readonly tickMs: number;
  /** The tick that the flow cache writes down now. */
  tick(): number;
}

/** The map types in use, by the number that BTF has (enum bpf_map_type) and the name that libbpf has. */
const mapTypes: Readonly<Record<number, string>> = {
  2: 'array',
  6: 'percpu_array',
  11: 'lpm_trie',
  12: 'array_of_maps',
};

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
  for (const [name, { section, valueSize, entries }] of Object.entries(variables)) {
    const size = found.get(section)?.valueSize;
    if (size !== valueSize * entries)
      faults.push(`variable ${name} takes ${size ?? 0} bytes, not ${valueSize * entries}`);
  }
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

/** Where the kernel does not say it, nothing is lost but some speed. */
function bytesToLine(): number {
  const { PF_LINE } = enums.pf_line;
  return (PF_LINE - ((arrayValueOffset() ?? 0) % PF_LINE)) % PF_LINE;
}

/** Of one CPU, a power of two. No more than a CPU has near, or a look at a note would cost what it saves. */
function noteWords(flows: number): number {
  return Math.min(MOST_NOTE_WORDS, 2 ** Math.ceil(Math.log2(Math.max(1, flows / FLOWS_PER_NOTE_WORD))));
}

interface Configured extends LoadedSizes, Pick<LoadedProgram, 'flowsPerCpu' | 'tick'> {}

/** Sets what must be known before load. */
function configure(object: BpfObject, sizes: ProgramSizes, { rate, jiffies }: KernelClock): Configured {
  const buckets = Math.max(1, Math.ceil(sizes.flowsPerCpu / BUCKET_ENTRIES));
  const words = noteWords(buckets * BUCKET_ENTRIES);
  const hot = sizes.hotFlows ?? true;
  const vips = Math.min(PF_NUMBERS, sizes.vips * HEADROOM);
  const reals = Math.min(PF_REAL_NUMBERS, sizes.reals * HEADROOM + 1);
  const entries = {
    prefixes: (sizes.vips + (sizes.clients ?? defaultLimits.clients)) * HEADROOM,
    vip_hits: vips,
    vip_traffic: vips,
    rings: Math.min(PF_NUMBERS, sizes.pools * HEADROOM),
    real_hits: reals,
    real_traffic: reals,
    flows: Math.ceil((buckets * possibleCpus()) / BLOCK_BUCKETS),
    notes: 2 * words * possibleCpus(),
    hot_flows: hot ? enums.pf_hot_places.PF_HOT_PLACES * possibleCpus() : 1,
  };
  for (const [map, count] of Object.entries(entries)) object.setMaxEntries(map, count);
  const tables = {
    directory: tablePlaces(directoryKeyLimit(sizes.vips) + HOST_DIRECTORY_KEYS),
    server_ids: tablePlaces((sizes.serverIds ?? defaultLimits.serverIds) * HEADROOM),
  };
  for (const table of ['directory', 'server_ids'] as const) {
    const like = newTable(table, tables[table]);
    object.setInnerMap(table, like);
    like.close();
  }
  const tickShift = Math.round(Math.log2(TICK_SECONDS * rate));
  const windowShift = Math.round(Math.log2(rate));
  const inWindow = (perSecond: number): number =>
    Math.min(MOST_IN_WINDOW, Math.round((perSecond * 2 ** windowShift) / rate));
  const toLine = bytesToLine();
  const constants = decode('pf_constants', object.rodata());
  object.setRodata(
    encode('pf_constants', {
      ...constants,
      flow_buckets: buckets,
      directory_mask: tables.directory - 1,
      server_id_mask: tables.server_ids - 1,
      hot: hot ? 1 : 0,
      egress: sizes.egress ?? 0,
      tick_shift: tickShift,
      window_shift: windowShift,
      new_flows: inWindow(sizes.newFlowsPerSecond ?? NEW_FLOWS_PER_SECOND),
      to_line: toLine,
      note_mask: words - 1,
      too_big_answers: inWindow(sizes.tooBigAnswersPerSecond ?? TOO_BIG_ANSWERS_PER_SECOND),
    }),
  );
  return {
    flowsPerCpu: buckets * BUCKET_ENTRIES,
    reals,
    tickMs: (2 ** tickShift / rate) * 1_000,
    toLine,
    tick: () => (jiffies() >>> tickShift) & TICK_MASK,
    tables,
  };
}

/**
 * Loads the program with maps of these sizes.
 *
 * @throws PilotfishError PF_OBJECT, PF_LAYOUT, PF_VERIFIER, PF_CAPABILITY, PF_KERNEL
 */
export async function loadProgram(
  sizes: ProgramSizes,
  path: string = sizes.tracing ? tracingObjectPath : objectPath,
): Promise<LoadedProgram> {
  const object = openObject(path);
  try {
    checkLayout(object, path);
    const { flowsPerCpu, tick, ...loadedSizes } = configure(object, sizes, await kernelClock());
    await object.load();
    const store = new KernelMapStore(object, loadedSizes);
    return { object, program: object.program('pilotfish'), store, flowsPerCpu, tickMs: store.tickMs, tick };
  } catch (error) {
    object.close();
    throw error;
  }
}
