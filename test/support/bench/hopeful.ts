import { load as loadOurs } from '../../../bench/packet/ours.ts';
import type { LoadSubject, PeerModule } from '../../../bench/packet/subject.ts';

/** Nothing to measure but misses and other addresses. */
export const load: LoadSubject = (object, program, row) =>
  row.path === 'not a VIP' ? loadOurs(object, program, row) : Promise.resolve(null);

/** One that every machine meets, one that none can, one that cannot be told. */
export const wanted: PeerModule['wanted'] = {
  'not-vip-1/ipip': { atMostNs: 1e6 },
  'not-vip-1m/ipip': { atMostNs: 1e6, times: 1e6 },
  'not-ip/ipip': { times: 1 },
};
