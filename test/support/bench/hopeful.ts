import { load as loadOurs } from '../../../bench/packet/ours.ts';
import type { LoadSubject, PeerModule } from '../../../bench/packet/subject.ts';

/** Nothing for what is not IP. */
export const load: LoadSubject = (object, program, row) =>
  row.path !== 'not IP' ? loadOurs(object, program, row) : Promise.resolve(null);

/** One that every machine meets, one that none can, one that cannot be told. */
export const wanted: PeerModule['wanted'] = {
  'not-vip-1/ipip': { atMostNs: 1e6 },
  // Of something that takes its time: so many times 0 ns were easily reached.
  'steps-1/ipip': { atMostNs: 1e6, times: 1e6 },
  'not-ip/ipip': { times: 1 },
};
