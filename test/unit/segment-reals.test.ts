import { describe, expect, it } from 'vitest';
import type { Observed, RealEncap, RealRecord } from '../../src/core/data-plane.ts';
import { segmentReals } from '../../src/core/segment-reals.ts';
import { pool, real, snapshot } from '../support/model.ts';

function observed(reals: Readonly<Record<string, RealEncap>>): Observed {
  const records = Object.entries(reals).map(([address, encap], i): [number, RealRecord] => [
    i + 1,
    { address, pool: 0, generation: 0, encap },
  ]);
  return {
    settings: null,
    directory: null,
    directorySound: false,
    serverIds: null,
    reals: new Map(records),
    freed: new Map(),
    rings: new Map(),
    pools: new Map(),
    limits: { vips: 1, pools: 1, reals: 10, serverIds: 1 },
  };
}

const mac = '02:00:00:00:00:07';

describe('the reals whose MAC addresses are needed', () => {
  it('are those of pools with encap l2, whatever their state', () => {
    const state = snapshot([
      pool('near', ['10.0.0.1', real('10.0.0.2', { state: 'maintenance' })], { encap: 'l2' }),
      pool('far', ['10.0.0.3']),
      pool('udp', ['10.0.0.4'], { encap: 'gue' }),
    ]);
    expect(segmentReals(state, null)).toEqual(new Set(['10.0.0.1', '10.0.0.2']));
  });

  it('are also those that the maps still hold', () => {
    const held = observed({
      '10.0.0.1': { kind: 'l2', mac },
      '10.0.0.8': { kind: 'l2', mac },
      '10.0.0.9': { kind: 'ipip' },
    });
    const state = snapshot([pool('near', ['10.0.0.1'], { encap: 'l2' })]);
    expect(segmentReals(state, held)).toEqual(new Set(['10.0.0.1', '10.0.0.8']));
    expect(segmentReals(snapshot([]), held)).toEqual(new Set(['10.0.0.1', '10.0.0.8']));
  });
});
