import type { Observed } from './data-plane.ts';
import type { Address, Snapshot } from './model.ts';

/**
 * Reals that packets go to without a tunnel (encap `l2`), whose MAC addresses are needed: those of the desired state,
 * and those that the maps hold although their keys are gone, because their flows drain.
 */
export function segmentReals(snapshot: Snapshot, observed: Observed | null): Set<Address> {
  const desired = [...snapshot.pools.values()]
    .filter(({ encap }) => encap === 'l2')
    .flatMap(({ reals }) => reals.map(({ address }) => address));
  const held = [...(observed?.reals.values() ?? [])]
    .filter(({ encap }) => encap.kind === 'l2')
    .map(({ address }) => address);
  return new Set([...desired, ...held]);
}
