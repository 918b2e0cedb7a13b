/**
 * What the kernel reports for the program’s maps with a large state in them. bench/README.md says how to read it.
 *
 *   node bench/memory.ts [--json]
 */

import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { messageOf, PilotfishError } from '../src/core/errors.ts';
import { keys } from '../src/core/key-path.ts';
import type { Snapshot } from '../src/core/model.ts';
import { plan } from '../src/core/plan.ts';
import { RingBuilder } from '../src/core/ring-builder.ts';
import { buildTarget } from '../src/core/target.ts';
import { allUp } from '../src/core/verdicts.ts';
import { MapDataPlane } from '../src/dataplane/dataplane.ts';
import { possibleCpus } from '../src/dataplane/native.ts';
import { type LoadedProgram, loadProgram } from '../src/dataplane/program.ts';
import { vipAddress } from './packet/frames.ts';
import { host, snapshotOf } from './state.ts';
import { printTable } from './stats.ts';

const SIZES = { vips: 512, pools: 64, reals: 4_096, flowsPerCpu: 2 ** 20 };
/** Of all maps, on a machine with two CPUs. */
const WANTED_BYTES = 60e6;

/** Every limit reached: each pool has as many VIPs and reals as any other. */
function fullState(): Snapshot {
  const values = new Map<string, object>();
  for (let pool = 0; pool < SIZES.pools; pool++) values.set(keys.pool(`p${pool}`), {});
  for (let vip = 0; vip < SIZES.vips; vip++)
    values.set(keys.vip(`v${vip}`), {
      address: vipAddress(4, vip),
      port: 80,
      protocol: 'tcp',
      pool: `p${vip % SIZES.pools}`,
    });
  for (let real = 0; real < SIZES.reals; real++)
    values.set(keys.real(`p${real % SIZES.pools}`, `r${real}`), { address: `10.1.${real >> 8}.${real & 0xff}` });
  return snapshotOf(values);
}

async function fill({ store }: LoadedProgram): Promise<void> {
  const dataPlane = new MapDataPlane(store, new RingBuilder());
  const snapshot = fullState();
  const target = buildTarget(snapshot, host, allUp(snapshot), new Map());
  for (const op of plan(target, dataPlane.observe())) await dataPlane.apply(op);
  const { directory, reals, rings } = dataPlane.observe();
  const found = { vips: directory?.vips.size, reals: reals.size, pools: rings.size };
  for (const what of ['vips', 'pools', 'reals'] as const)
    if (found[what] !== SIZES[what]) throw new Error(`the maps hold ${found[what]} ${what}, not ${SIZES[what]}`);
}

interface KernelMap {
  readonly id: number;
  readonly bytes_memlock: number;
}

/** Of every map in the kernel, by id. Only bpftool opens maps by id, as inner maps have to be. */
function kernelBytes(): Map<number, number> {
  const output = execFileSync('bpftool', ['-j', 'map', 'show'], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  return new Map((JSON.parse(output) as KernelMap[]).map((map) => [map.id, map.bytes_memlock]));
}

interface Line {
  readonly map: string;
  /** Of that many maps together. */
  readonly count: number;
  readonly bytes: number;
}

/** Largest first. */
function measure({ object, store }: LoadedProgram): Line[] {
  const bytes = kernelBytes();
  const line = (map: string, ids: readonly number[]): Line => ({
    map,
    count: ids.length,
    bytes: ids.reduce((sum, id) => {
      const own = bytes.get(id);
      if (own === undefined) throw new Error(`bpftool knows no map ${id} (${map})`);
      return sum + own;
    }, 0),
  });
  const tables = (['directory', 'server_ids'] as const).map((table) => {
    const id = store.tableId(table);
    return line(`${table}: the table`, id === null ? [] : [id]);
  });
  const own = object.maps().map(({ name }) => line(name.replace(/^\.data\./, ''), [object.map(name).id]));
  return [...own, ...tables, line('rings: the rings', [...store.ringIds().values()])].toSorted(
    (a, b) => b.bytes - a.bytes,
  );
}

function print(lines: readonly Line[], json: boolean): void {
  const total = lines.reduce((sum, { bytes }) => sum + bytes, 0);
  const cpus = possibleCpus();
  if (json) {
    console.log(JSON.stringify({ cpus, totalBytes: total, wantedBytes: WANTED_BYTES, maps: lines }));
    return;
  }
  const mega = (bytes: number): string => (bytes / 1e6).toFixed(3);
  const { vips, pools, reals, flowsPerCpu } = SIZES;
  console.log(
    `${vips} VIPs, ${pools} pools, ${reals} reals, ${flowsPerCpu} flows on each of ${cpus} CPUs; ` +
      `wanted on two: at most ${WANTED_BYTES / 1e6} MB\n`,
  );
  printTable(
    ['map', 'maps', 'MB', 'share'],
    [...lines, { map: 'all', count: lines.reduce((sum, { count }) => sum + count, 0), bytes: total }].map(
      ({ map, count, bytes }) => [map, `${count}`, mega(bytes), `${((100 * bytes) / total).toFixed(1)} %`],
    ),
  );
}

try {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
  const loaded = await loadProgram(SIZES);
  await fill(loaded);
  print(measure(loaded), values.json);
  loaded.object.close();
} catch (error) {
  console.error(error instanceof PilotfishError ? error.describe() : messageOf(error));
  process.exitCode = 2;
}
