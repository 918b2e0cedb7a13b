import { describe, expect, it, vi } from 'vitest';
import type { SettingsImage } from '../../src/core/data-plane.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { decode, indexKey } from '../../src/dataplane/codec.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { structs } from '../../src/dataplane/layout.gen.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { settings } from '../support/planning.ts';

/**
 * A packet is sent if it is no longer than `room`: that may say at no moment that there is a next hop which is not known, or a
 * larger MTU than there is. Variables are written word by word, from the first one on.
 */

const unknown = { ...settings, gatewayMac: '00:00:00:00:00:00' };

/** What the program may read while the settings change: every word that differs is a moment. */
async function moments(from: SettingsImage, to: SettingsImage) {
  const store = new MemoryMapStore({ vip_traffic: 1, rings: 1, reals: 1, real_traffic: 1 });
  const dataPlane = new MapDataPlane(store, new RingBuilder());
  await dataPlane.apply({ op: 'settings', settings: from });
  let held = store.get('settings', indexKey(0)) ?? new Uint8Array();
  const seen = [decode('pf_settings', held)];
  vi.spyOn(store, 'put').mockImplementation((_map, _key, value) => {
    for (let end = 8; end <= value.length; end += 8) {
      held = Uint8Array.from([...value.subarray(0, end), ...held.subarray(end)]);
      seen.push(decode('pf_settings', held));
    }
  });
  await dataPlane.apply({ op: 'settings', settings: to });
  return seen;
}

describe('while settings change', () => {
  it.each([
    ['the next hop is lost', settings, unknown],
    ['the next hop is found', unknown, settings],
    ['the MTU shrinks', settings, { ...settings, mtu: settings.mtu - 100 }],
    ['the MTU grows', settings, { ...settings, mtu: settings.mtu + 100 }],
    ['both change', { ...unknown, mtu: 9_000 }, { ...settings, mtu: 1_280 }],
  ])('there is no room that was not there before or is not there afterwards: %s', async (_what, from, to) => {
    const seen = await moments(from, to);
    const room = ({ gatewayMac, mtu }: SettingsImage): number => (gatewayMac === unknown.gatewayMac ? 0 : mtu);
    expect(seen.at(0)?.room).toBe(room(from));
    expect(seen.at(-1)?.room).toBe(room(to));
    for (const moment of seen) {
      expect(moment.room).toBeLessThanOrEqual(moment.mtu);
      if (moment.room > 0) expect(moment.gateway_mac.some((byte) => byte !== 0)).toBe(true);
    }
  });

  it('`room` is in the last word, and what it depends on is in others before', () => {
    const word = (field: keyof typeof structs.pf_settings.fields) =>
      Math.floor(structs.pf_settings.fields[field].offset / 8);
    expect(word('room')).toBe(structs.pf_settings.size / 8 - 1);
    expect(Math.max(word('mtu'), word('gateway_mac'))).toBeLessThan(word('room'));
  });
});
