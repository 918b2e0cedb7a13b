import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PilotfishError } from '../../src/core/errors.ts';
import { reasonNames } from '../../src/dataplane/counters.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import type { LoadedProgram } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { BpfCompiler } from '../support/compile-bpf.ts';

const sizes = { vips: 4, pools: 2, reals: 8, flowsPerCpu: 8 };

async function refusal(path: string): Promise<PilotfishError> {
  let loaded: LoadedProgram;
  try {
    loaded = await loadProgram(sizes, path);
  } catch (error) {
    if (error instanceof PilotfishError) return error;
    throw error;
  }
  loaded.object.close();
  throw new Error(`${path} was loaded`);
}

describe('an object compiled from other structs', () => {
  let compiler: BpfCompiler;

  beforeAll(() => {
    compiler = new BpfCompiler();
  });

  afterAll(() => compiler[Symbol.dispose]());

  it.each([
    [
      'a longer value',
      'layout.h',
      '	__u32 pool;   /* index',
      '	__u32 weight;\n	__u32 pool;   /* index',
      'map vips has valueSize 12, not 8',
    ],
    [
      'a longer key',
      'layout.h',
      '	__u32 family; /* enum pf_family */',
      '	__u32 family; __u32 vlan;',
      'map vip_addresses has keySize 24, not 20',
    ],
    [
      'another map type',
      'maps.h',
      'TYPE_HASH);\n	__uint(max_entries, 1);\n	__type(key, struct pf_vip_key)',
      'TYPE_LRU_HASH);\n	__uint(max_entries, 1);\n	__type(key, struct pf_vip_key)',
      'map vips has type lru_hash, not hash',
    ],
    [
      'a map under another name',
      'maps.h',
      '#define PILOTFISH_MAPS_H',
      '#define PILOTFISH_MAPS_H\n#define settings knobs',
      'map settings is missing',
    ],
    [
      'one more reason',
      'layout.h',
      '	PF_FORWARDED,	',
      '	PF_TIRED,\n	PF_FORWARDED,	',
      `it counts ${reasonNames.length + 1} reasons, not ${reasonNames.length}`,
    ],
    [
      'two fields that changed places',
      'layout.h',
      '	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */\n	__u8 family;   /* enum pf_family */',
      '	__u8 family;   /* enum pf_family */\n	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */',
      'its structs are those of',
    ],
    [
      'one more constant',
      'layout.h',
      '	__u32 tracing;',
      '	__u32 other[2];\n	__u32 tracing;',
      `constants take ${structs.pf_constants.size + 8} bytes, not ${structs.pf_constants.size}`,
    ],
  ])('%s', async (_what, header, from, to, fault) => {
    const path = compiler.compileChanged(header, from, to);
    const error = await refusal(path);
    expect(error.code).toBe('PF_LAYOUT');
    expect(error.message).toContain(path);
    expect(error.message).toContain(fault);
    expect(error.fix).toContain('npm run build');
  });
});
