import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PilotfishError } from '../../src/core/errors.ts';
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
      '	__u64 too_big_window; /* the same for too_big_answers */\n',
      '	__u64 too_big_window; /* the same for too_big_answers */\n	__u64 other;\n',
      `map cpu_state has valueSize ${structs.pf_cpu_state.size + 8}, not ${structs.pf_cpu_state.size}`,
    ],
    [
      'a longer key',
      'layout.h',
      '	__u32 length; /* bits that count',
      '	__u32 vlan;\n	__u32 length; /* bits that count',
      'map prefixes has keySize 28, not 24',
    ],
    [
      'another map type',
      'maps.h',
      'TYPE_ARRAY);\n	__uint(max_entries, 1);\n	__type(key, __u32);\n	__type(value, struct pf_flow_block)',
      'TYPE_HASH);\n	__uint(max_entries, 1);\n	__type(key, __u32);\n	__type(value, struct pf_flow_block)',
      'map flows has type hash, not array',
    ],
    [
      'a map under another name',
      'maps.h',
      '#define PILOTFISH_MAPS_H',
      '#define PILOTFISH_MAPS_H\n#define flows streams',
      'map flows is missing',
    ],
    [
      'a larger variable',
      'layout.h',
      'PF_NUMBERS = 65536',
      'PF_NUMBERS = 65537',
      'variable reals takes 2097184 bytes, not 2097152',
    ],
    [
      'one more reason',
      'layout.h',
      '	PF_FORWARDED,	',
      '	PF_TIRED,\n	PF_FORWARDED,	',
      `map cpu_state has valueSize ${structs.pf_cpu_state.size + 8}, not ${structs.pf_cpu_state.size}`,
    ],
    [
      'one more event',
      'layout.h',
      '	PF_EVENT_COUNT\n',
      '	PF_EVENT_YAWN,\n	PF_EVENT_COUNT\n',
      `map cpu_state has valueSize ${structs.pf_cpu_state.size + 8}, not ${structs.pf_cpu_state.size}`,
    ],
    [
      'two fields that changed places',
      'layout.h',
      "	__u16 pool;	    /* index of its pool's ring in rings */\n	__u16 flags;	    /* enum pf_flag */",
      "	__u16 flags;	    /* enum pf_flag */\n	__u16 pool;	    /* index of its pool's ring in rings */",
      'its structs are those of',
    ],
    [
      'one more constant',
      'layout.h',
      '	__u32 egress;',
      '	__u32 other[2];\n	__u32 egress;',
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
