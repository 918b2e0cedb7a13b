import type { LoadSubject } from '../../../bench/packet/subject.ts';
import { loadProgram } from '../../../src/dataplane/program.ts';

/** The program with nothing in its maps: it passes what a row wants forwarded. */
export const load: LoadSubject = async (object) => {
  const { object: loaded, program } = await loadProgram({ vips: 1, pools: 1, reals: 1, flowsPerCpu: 8 }, object);
  return { program, afterWarmUp: async () => {}, verify: () => null, close: () => loaded.close() };
};
