import { load as loadOurs } from '../../../bench/packet/ours.ts';
import type { LoadSubject } from '../../../bench/packet/subject.ts';

/** Expects every packet to take the ring, so that the hits of the row are what should not be. */
export const load: LoadSubject = (object, program, row) => loadOurs(object, program, { ...row, path: 'ring' });
