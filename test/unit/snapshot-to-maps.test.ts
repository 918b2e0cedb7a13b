import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lingering } from '../../src/core/linger.ts';
import { lingeringWithin, nextLingering } from '../../src/core/linger.ts';
import type { RealKey } from '../../src/core/model.ts';
import { applied } from '../../src/core/observed.ts';
import type { ParsedState } from '../../src/core/parse-state.ts';
import { parseState } from '../../src/core/parse-state.ts';
import { plan } from '../../src/core/plan.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import type { HostImage, Target } from '../../src/core/target.ts';
import { buildTarget } from '../../src/core/target.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { encodeVoidReal } from '../../src/dataplane/records.ts';
import { revision } from '../support/desired.ts';
import { forwardingOf } from '../support/meaning.ts';
import { editArb, healthArb, startKeys, verdictsOn } from '../support/state-arb.ts';
import { WatchedStore } from '../support/watched-store.ts';

const host: HostImage = {
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  local: new Set(['10.0.0.6']),
  neighbours: new Map([['10.0.0.1', '02:00:00:00:00:11']]),
  tunnels: [{ address: '203.0.113.1', guePort: 6080 }],
  own: new Set(),
};
const rings = new RingBuilder(512);
/** Few enough that there is not always room for old and new at once. */
const sizes = { reals: 16, real_traffic: 16 };

const stepArb = fc.record({
  edits: fc.array(editArb, { minLength: 1, maxLength: 12 }),
  health: healthArb,
  seconds: fc.constantFrom(0, 2, 90),
});

/** Of the numbers’ next users: all of them were used before. */
const generationsArb = fc.array(fc.integer({ min: 1, max: 127 }), { minLength: sizes.reals, maxLength: sizes.reals });

/** Maps that one target alone was brought into. */
async function freshBuild(target: Target, gone: ReadonlySet<RealKey>): Promise<string[]> {
  const store = new MemoryMapStore(sizes);
  const dataPlane = new MapDataPlane(store, rings);
  for (const op of plan(target, dataPlane.observe())) await dataPlane.apply(op);
  return forwardingOf(store, dataPlane.observe(), gone);
}

describe('from keys to maps', () => {
  it('whatever came before, the maps forward as if they were built from the last keys alone', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(stepArb, { minLength: 1, maxLength: 5 }),
        generationsArb,
        async (steps, generations) => {
          const store = new MemoryMapStore(sizes);
          for (let number = 1; number < sizes.reals; number++)
            store.put('reals', indexKey(number), encodeVoidReal(generations[number] ?? 0));
          const watched = new WatchedStore(store);
          const dataPlane = new MapDataPlane(watched, rings);
          const keys = startKeys();
          let parsed: ParsedState | null = null;
          let lingering: Lingering = new Map();
          let now = 0;
          for (const { edits, health, seconds } of steps) {
            now += seconds * 1_000;
            for (const [key, value] of edits)
              if (value === null) keys.delete(key);
              else keys.set(key, value);
            const next: ParsedState = parseState(keys, revision, parsed);
            const before = dataPlane.observe();
            lingering = nextLingering(lingering, parsed?.snapshot ?? null, next.snapshot, now);
            lingering = lingeringWithin(lingering, next.snapshot, before.limits);
            parsed = next;
            const target = buildTarget(next.snapshot, host, verdictsOn(next.snapshot, health), lingering);
            let expected = before;
            for (const op of plan(target, before)) {
              await dataPlane.apply(op);
              expected = applied(expected, [op]);
              expect(dataPlane.observe()).toEqual(expected);
            }
            expect(watched.faults).toEqual([]);
            expect(plan(target, dataPlane.observe())).toEqual([]);
            const gone = new Set(lingering.keys());
            expect(forwardingOf(store, dataPlane.observe(), gone)).toEqual(await freshBuild(target, gone));
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
