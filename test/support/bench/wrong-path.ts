import { load as loadPilotfish } from '../../../bench/packet/pilotfish.ts';
import type { LoadSubject } from '../../../bench/packet/subject.ts';

/** Expects every packet to take the ring, so that the hits of the scenario are what should not be. */
export const load: LoadSubject = (object, program, scenario) =>
  loadPilotfish(object, program, { ...scenario, path: 'ring' });
