import { createHash } from 'node:crypto';
import type { Observed } from '../../src/core/data-plane.ts';
import type { RealKey } from '../../src/core/model.ts';
import { realKey } from '../../src/core/model.ts';
import type { MemoryMapStore } from '../../src/dataplane/memory-store.ts';

/**
 * Where the maps send packets, and how, without this host’s own numbers: for each VIP what it is told, and for each pool
 * that it leads to a digest over the real in every slot of its ring. Equal texts forward alike.
 *
 * @param gone reals whose ids do not matter, being known only to who was there before
 */
export function forwardingOf(
  store: MemoryMapStore,
  { settings, directory, serverIds, reals, pools }: Observed,
  gone: ReadonlySet<RealKey> = new Set(),
): string[] {
  const names = new Map([...pools].map(([name, number]) => [number, name]));
  const isGone = (number: number): boolean => {
    const real = reals.get(number);
    return real !== undefined && gone.has(realKey(names.get(real.pool) ?? '', real.address));
  };
  const realOf = (number: number): string => {
    const { address, encap } = reals.get(number) ?? { address: 'none', encap: null };
    return `${address} by ${JSON.stringify(encap)}`;
  };
  const digests = new Map<number, string>();
  const digest = (pool: number): string => {
    const known = digests.get(pool);
    if (known !== undefined) return known;
    const texts = new Map([...reals.keys(), 0].map((number) => [number, realOf(number)]));
    const slots = Array.from(store.slots(pool) ?? [], (number) => texts.get(number) ?? 'none');
    const made = createHash('sha256').update(slots.join()).digest('hex');
    digests.set(pool, made);
    return made;
  };
  const idsOf = (pool: number): string[] =>
    [...(serverIds ?? [])]
      .filter(([key, number]) => key.startsWith(`${pool}|`) && !isGone(number))
      .map(([key, number]) => `${key.split('|')[1]} ${realOf(number)}`)
      .sort();
  const lines = [...(directory?.vips ?? [])].map(([id, { number, pool, clients, ...told }]) =>
    JSON.stringify([id, told, digest(pool), idsOf(pool), clients.map((c) => [c.prefix, digest(c.pool)])]),
  );
  return [JSON.stringify(settings), JSON.stringify([directory?.tunnels, directory?.own]), ...lines.sort()];
}
