import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Directory, VipId } from '../../src/core/data-plane.ts';
import { RingBuilder } from '../../src/core/ring-builder.ts';
import { readTraffic } from '../../src/dataplane/counters.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';
import { enums, structs } from '../../src/dataplane/layout.gen.ts';
import type { LoadedProgram } from '../../src/dataplane/program.ts';
import { loadProgram } from '../../src/dataplane/program.ts';
import { ethernet, ipv4, tcp } from '../support/frames.ts';
import { plainOptions } from '../support/model.ts';
import { allowedCpus, settings } from '../support/program-bench.ts';
import { type Need, skipUnless } from '../support/require.ts';

/**
 * A packet sees the old directory or the new one, never a mix: a packet for a VIP’s prefix, which takes two look-ups, runs
 * through the program on another CPU without a pause, while directories take turns in which the prefix has another place.
 */

const cpus = allowedCpus();
const twoCpus: Need = cpus.length > 1 ? { ok: true } : { ok: false, reason: 'this process may run on one CPU only' };

const SEED = '00'.repeat(16);
const PREFIX = '192.0.2.0/24|443|tcp';
const PORT = 443;
const SWAPS = 600;
const { size: ENTRY_BYTES, fields } = structs.pf_entry;
const data = ethernet(ipv4({ from: '198.51.100.7', to: '192.0.2.77' }, tcp({ from: 40_000, to: PORT })));

/** The prefix has pool 0; the others, which differ by `generation`, have pool 1. */
function directoryOf(generation: number): Directory {
  const vips = new Map([[PREFIX as VipId, { ...plainOptions, flowCache: false, number: 0, pool: 0 }]]);
  for (let i = 1; i < 124; i++)
    vips.set(`203.${generation}.113.${i}|80|tcp`, { ...plainOptions, flowCache: false, number: i, pool: 1 });
  return { vips, tunnels: [], own: [] };
}

interface Placed {
  readonly directory: Directory;
  /** By place: the port of the entry; 0 where there is none, or none of one port. */
  readonly ports: readonly number[];
  /** Of the prefix’s entry. */
  readonly place: number;
}

describe.skipIf(skipUnless(['two-cpus'], twoCpus))('a directory that changes under the eyes of the program', () => {
  let loaded: LoadedProgram;
  let dataPlane: MapDataPlane;

  beforeAll(async () => {
    loaded = await loadProgram({ vips: 128, pools: 2, reals: 2, flowsPerCpu: 8 });
    dataPlane = new MapDataPlane(loaded.store, new RingBuilder(2));
    await dataPlane.apply({ op: 'settings', settings });
    for (const pool of [0, 1]) {
      const address = `10.0.0.${pool + 1}`;
      const number = pool + 1;
      await dataPlane.apply({ op: 'name-pool', pool, name: `p${pool}` });
      // Passed up as it is, so that the frame is the same for every run.
      const real = { address, pool, generation: 0, encap: { kind: 'local' } } as const;
      await dataPlane.apply({ op: 'put-real', number, real, fresh: true });
      const spec = { seed: SEED, members: [{ address, weight: 1, number }] };
      await dataPlane.apply({ op: 'swap-rings', rings: [{ pool, spec }] });
    }
  });

  afterAll(() => loaded?.object.close());

  const swapTo = (directory: Directory): Promise<void> =>
    dataPlane.apply({ op: 'swap-directory', directory, fresh: [] });

  async function placed(directory: Directory): Promise<Placed> {
    await swapTo(directory);
    const bytes = loaded.store.tableBytes('directory')!;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const ports: number[] = [];
    let place = -1;
    // Before the first place stands how many there are, less one.
    for (let n = 1; n <= view.getUint32(0, true) + 1; n++) {
      ports[n] = view.getUint16(n * ENTRY_BYTES + fields.port.offset);
      const family = view.getUint8(n * ENTRY_BYTES + fields.family.offset);
      if (family === enums.pf_family.PF_FAMILY_PREFIX && ports[n] === PORT) place = n;
    }
    expect(place).toBeGreaterThanOrEqual(0);
    return { directory, ports, place };
  }

  /** Two of which one has another VIP where the other has the prefix: a place of the one read in the other is seen. */
  async function pair(): Promise<readonly [Directory, Directory]> {
    const all: Placed[] = [];
    for (let generation = 0; generation < 100; generation++) {
      const next = await placed(directoryOf(generation));
      const other = all.find(({ ports }) => ports[next.place] === 80);
      if (other !== undefined) return [next.directory, other.directory];
      all.push(next);
    }
    throw new Error('no two directories have a VIP in the place of the prefix');
  }

  const packetsOf = (real: number): bigint => readTraffic(loaded.store, 'real', real).packets;

  it('is never a mix when it is swapped', { timeout: 120_000 }, async () => {
    const [one, other] = await pair();
    let goesOn = true;
    let sent = 0n;
    const repeat = 1_000_000;
    const before = packetsOf(1);
    const traffic = (async () => {
      for (; goesOn; sent += BigInt(repeat)) await loaded.program.testRunAsync({ data, repeat, cpu: cpus[1] ?? 0 });
    })();
    for (let n = 0; n < SWAPS; n++) await swapTo(n % 2 === 0 ? one : other);
    goesOn = false;
    await traffic;
    console.info(`${SWAPS} swaps under ${sent} packets`);
    expect(packetsOf(2)).toBe(0n);
    expect(packetsOf(1) - before).toBe(sent);
  });
});
