import { describe, expect, it, vi } from 'vitest';
import type { VipId, VipRecord } from '../../src/core/data-plane.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { MemoryMapStore } from '../../src/dataplane/memory-store.ts';
import { ServedPorts } from '../../src/dataplane/served-ports.ts';
import { plainOptions } from '../support/model.ts';

const WEB = '192.0.2.10|80|tcp';

/** Pools by VIP, or more about it. */
function vips(of: Readonly<Record<VipId, number | Partial<VipRecord>>>): { vips: Map<VipId, VipRecord> } {
  const records = Object.entries(of).map(([id, what], number) => {
    const { pool = 0, ...fields } = typeof what === 'number' ? { pool: what } : what;
    return [id as VipId, { ...plainOptions, number, pool, ...fields }] as const;
  });
  return { vips: new Map(records) };
}

/** Pools with flows from elsewhere after the last of these changes. */
function after(...steps: readonly Parameters<typeof vips>[0][]): number[] {
  const served = new ServedPorts();
  return (
    steps
      .map((step) => {
        const pools = [...served.takeOver(vips(step))].sort();
        served.tookOver();
        return pools;
      })
      .at(-1) ?? []
  );
}

describe('a pool has flows from elsewhere', () => {
  it.each<[string, Parameters<typeof vips>[0], Parameters<typeof vips>[0], number[]]>([
    ['when a VIP moves to it', { [WEB]: 1 }, { [WEB]: 2 }, [2]],
    ['when its VIP has another hash', { [WEB]: 1 }, { [WEB]: { pool: 1, hash: 'source' } }, [1]],
    ['when its VIP hashes fragments', { [WEB]: 1 }, { [WEB]: { pool: 1, fragments: 'hash' } }, [1]],
    ['when its VIP has a flow cache again', { [WEB]: { pool: 1, flowCache: false } }, { [WEB]: 1 }, [1]],
    ['when its VIP has no ids any more', { [WEB]: { pool: 1, tcpServerId: true } }, { [WEB]: 1 }, [1]],
    [
      'when clients of its VIP have another pool',
      { [WEB]: { pool: 1, clients: [{ prefix: '10.0.0.0/8', pool: 2 }] } },
      { [WEB]: { pool: 1, clients: [{ prefix: '10.0.0.0/8', pool: 3 }] } },
      [1],
    ],
    [
      'when its VIP has no more prefixes of clients',
      { [WEB]: { pool: 1, clients: [{ prefix: '10.0.0.0/8', pool: 2 }] } },
      { [WEB]: 1 },
      [1],
    ],
    [
      'when its VIP takes a port out of every port',
      { '192.0.2.10|0|tcp': 1 },
      { '192.0.2.10|0|tcp': 1, [WEB]: 2 },
      [2],
    ],
    ['when its VIP takes every port that is left', { [WEB]: 1 }, { [WEB]: 1, '192.0.2.10|0|tcp': 2 }, [2]],
    [
      'when its VIP takes an address out of a prefix',
      { '192.0.2.0/24|80|tcp': 1 },
      { '192.0.2.0/24|80|tcp': 1, [WEB]: 2 },
      [2],
    ],
    ['when its VIP is a prefix of what was served', { [WEB]: 1 }, { [WEB]: 1, '192.0.2.0/24|80|tcp': 2 }, [2]],
    ['when a port falls back to every port', { '192.0.2.10|0|tcp': 1, [WEB]: 2 }, { '192.0.2.10|0|tcp': 1 }, [1]],
    [
      'when an address falls back to a prefix',
      { '192.0.2.0/24|80|tcp': 1, [WEB]: 2 },
      { '192.0.2.0/24|80|tcp': 1 },
      [1],
    ],
  ])('%s', (_what, before, next, pools) => {
    expect(after(before, next)).toEqual(pools);
  });

  it('when a VIP comes back that was away', () => {
    expect(after({ [WEB]: 1 }, {}, { [WEB]: 1 })).toEqual([1]);
    expect(after({ '192.0.2.0/24|80|tcp': 1 }, {}, { [WEB]: 2 })).toEqual([2]);
  });
});

describe('VIPs of which it is not known whether they are in force', () => {
  it('count as in force, and so do those before', () => {
    const served = new ServedPorts();
    served.takeOver(vips({ [WEB]: 1 }));
    served.tookOver();
    // However often it is tried.
    for (let i = 0; i < 3; i++) expect([...served.takeOver(vips({ [WEB]: 2 }))]).toEqual([2]);
    expect([...served.takeOver(vips({ [WEB]: 1 }))]).toEqual([1]);
    served.tookOver();
    expect([...served.takeOver(vips({ [WEB]: 1 }))]).toEqual([]);
  });

  it('are kept once, however often they are tried', () => {
    const served = new ServedPorts();
    served.takeOver(vips({ [WEB]: 1 }));
    served.tookOver();
    const tries = Array.from({ length: 4 }, () => vips({ [WEB]: 2 }));
    const looks = tries.map((one) => vi.spyOn(one.vips, 'get'));
    for (const one of tries) served.takeOver(one);
    // Each is looked at with the next one, and then no more.
    const [first, ...others] = looks.map(({ mock }) => mock.calls.length);
    expect(others).toEqual([first, first, 0]);
    // Whichever came last is in force once that is known.
    served.takeOver(vips({ [WEB]: 1 }));
    served.tookOver();
    expect([...served.takeOver(vips({ [WEB]: 1 }))]).toEqual([]);
  });

  it('are told to the map store before each attempt to put them there', async () => {
    const store = new MemoryMapStore();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    const swap = (of: Parameters<typeof vips>[0]) =>
      dataPlane.apply({ op: 'swap-directory', directory: { ...vips(of), tunnels: [], own: [] }, fresh: [] });
    const told: number[][] = [];
    vi.spyOn(store, 'unsettle').mockImplementation((pools) => told.push([...pools]));
    await swap({ [WEB]: 1 });
    const broken = vi.spyOn(store, 'swapTable').mockRejectedValue(new Error('no memory'));
    for (let i = 0; i < 2; i++) await expect(swap({ [WEB]: 2 })).rejects.toThrow('no memory');
    broken.mockRestore();
    await swap({ [WEB]: 2 });
    await swap({ [WEB]: 2 });
    expect(told).toEqual([[], [2], [2], [2], []]);
  });
});

describe('what has no VIP any more', () => {
  const other = { '192.0.2.11|80|tcp': 2 };

  /** Pools with flows from elsewhere when the VIP comes back, after so many calls of `settle` while it was away. */
  function whenBack(calls: number, meanwhile: (served: ServedPorts) => void = () => {}): number[] {
    const served = new ServedPorts();
    const swap = (of: Parameters<typeof vips>[0]) => {
      const pools = served.takeOver(vips(of));
      served.tookOver();
      return [...pools];
    };
    swap({ ...other, [WEB]: 1 });
    swap(other);
    meanwhile(served);
    for (let i = 0; i < calls; i++) served.settle();
    return swap({ ...other, [WEB]: 1 });
  }

  it('is forgotten after a whole time between two looks, and nothing else is', () => {
    expect(whenBack(1)).toEqual([1]);
    expect(whenBack(2)).toEqual([]);
    const served = new ServedPorts();
    served.takeOver(vips({ [WEB]: 1 }));
    for (let i = 0; i < 3; i++) served.settle();
    expect([...served.takeOver(vips({ '192.0.2.10|0|tcp': 3, ...other }))]).toEqual([3]);
  });

  it('is not when it was there again meanwhile', () => {
    const comesAndGoes = (served: ServedPorts) => {
      served.settle();
      for (const step of [{ ...other, [WEB]: 1 }, other]) {
        served.takeOver(vips(step));
        served.tookOver();
      }
    };
    expect(whenBack(1, comesAndGoes)).toEqual([1]);
    expect(whenBack(2, comesAndGoes)).toEqual([]);
  });

  it('is forgotten by the data plane as time passes', async () => {
    const store = new MemoryMapStore();
    const dataPlane = new MapDataPlane(store, new RingBuilder());
    const told: number[][] = [];
    vi.spyOn(store, 'unsettle').mockImplementation((pools) => told.push([...pools]));
    const swap = (of: Parameters<typeof vips>[0]) =>
      dataPlane.apply({ op: 'swap-directory', directory: { ...vips(of), tunnels: [], own: [] }, fresh: [] });
    await swap({ [WEB]: 1 });
    await swap({});
    await swap({ [WEB]: 1 });
    await swap({});
    for (let i = 0; i < 2; i++) dataPlane.settle();
    await swap({ [WEB]: 1 });
    expect(told).toEqual([[], [], [1], [], []]);
  });
});

describe('a pool has none', () => {
  it('of the first VIPs', () => {
    expect(after({ [WEB]: 1, '192.0.2.10|0|tcp': 2, '192.0.2.0/24|80|tcp': 3 })).toEqual([]);
  });

  it.each<[string, Parameters<typeof vips>[0], Parameters<typeof vips>[0]]>([
    ['when nothing changes', { [WEB]: 1 }, { [WEB]: 1 }],
    ['by a VIP for an address of its own', { [WEB]: 1 }, { [WEB]: 1, '192.0.2.11|80|tcp': 2 }],
    ['by a VIP for a port of its own', { [WEB]: 1 }, { [WEB]: 1, '192.0.2.10|443|tcp': 2 }],
    ['by a VIP for a protocol of its own', { [WEB]: 1 }, { [WEB]: 1, '192.0.2.10|80|udp': 2 }],
    [
      'by what a VIP says of anything else',
      { [WEB]: 1 },
      { [WEB]: { pool: 1, udpTimeoutMs: 60_000, icmpEcho: false } },
    ],
    [
      'by an address outside of a prefix',
      { '192.0.2.0/24|80|tcp': 1 },
      { '192.0.2.0/24|80|tcp': 1, '198.51.100.1|80|tcp': 2 },
    ],
    [
      'when a VIP goes that was in no prefix',
      { '192.0.2.0/24|80|tcp': 1, '198.51.100.1|80|tcp': 2 },
      { '192.0.2.0/24|80|tcp': 1 },
    ],
    ['when a VIP goes that nobody follows', { [WEB]: 1, '192.0.2.11|80|tcp': 2 }, { '192.0.2.11|80|tcp': 2 }],
  ])('%s', (_what, before, next) => {
    expect(after(before, next)).toEqual([]);
  });
});
