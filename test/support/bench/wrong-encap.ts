import { load as loadOurs } from '../../../bench/packet/ours.ts';
import type { LoadSubject } from '../../../bench/packet/subject.ts';

/** Reals of the other family than the row’s: frames grow by more than they should. */
export const load: LoadSubject = (object, program, row) => loadOurs(object, program, { ...row, realFamily: 6 });
