/**
 * How long a change in the store takes until no packet sees the old ring: one real’s weight is written to a real etcd
 * and followed through source, parser, reconciler and kernel. bench/README.md says how to read it.
 *
 *   node bench/put.ts [--reals <number>]... [--changes 250] [--json]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Etcd3 } from 'etcd3';
import { messageOf } from '../src/core/errors.ts';
import { keys } from '../src/core/key-path.ts';
import { DEFAULT_PREFIX } from '../src/sync/etcd-client.ts';
import { startEtcd } from '../test/support/etcd.ts';
import { vipAddress } from './packet/frames.ts';
import type { Passage } from './put/loop.ts';
import { Loop } from './put/loop.ts';
import { Probe } from './put/probe.ts';
import { median, percentile, printTable } from './stats.ts';

const WARM_UP = 20;
/** Between two changes, at random up to this: so that they do not fall into step with etcd or with the kernel. */
const PAUSE_MS = 20;
/** The real whose weight goes to and fro. */
const REAL = { address: '10.1.0.1', weight: 100 };

/** Milliseconds; the parts make up the total. */
const parts = ['total', 'store to source', 'parse', 'coalesce and plan', 'ring build', 'swap'] as const;
type Times = Readonly<Record<(typeof parts)[number], number>>;

function timesOf(putAt: number, { deliveredAt, parsedAt, plannedAt, buildMs, doneAt }: Passage): Times {
  return {
    total: doneAt - putAt,
    'store to source': deliveredAt - putAt,
    parse: parsedAt - deliveredAt,
    'coalesce and plan': plannedAt - parsedAt,
    'ring build': buildMs,
    swap: doneAt - plannedAt - buildMs,
  };
}

/** One VIP, one pool. */
function stateOf(reals: number): Map<string, object> {
  const state = new Map<string, object>([
    [keys.vip('vip'), { address: vipAddress(4, 0), port: 80, protocol: 'tcp', pool: 'pool' }],
    [keys.pool('pool'), {}],
    [keys.real('pool', 'r0'), REAL],
  ]);
  for (let i = 1; i < reals; i++)
    state.set(keys.real('pool', `r${i}`), { address: `10.1.${i >> 8}.${(i & 0xff) + 1}`, weight: 100 });
  return state;
}

async function measureOne(loop: Loop, put: (weight: number) => Promise<unknown>, probe: Probe, weight: number) {
  const before = loop.ringIds().get(0);
  let putAt = 0;
  const passage = await loop.passage(() => {
    putAt = performance.now();
    return put(weight);
  });
  const reached = probe.reached();
  if (loop.ringIds().get(0) === before || reached !== (weight === 0 ? 'none' : 'all'))
    throw new Error(`weight ${weight} was reported as in force, but ${reached} of the probes reach the real`);
  return timesOf(putAt, passage);
}

async function measure(reals: number, changes: number, signal: AbortSignal): Promise<Times[]> {
  await using etcd = await startEtcd();
  const client = new Etcd3({ hosts: etcd.endpoint });
  let loop: Loop | undefined;
  try {
    const put = (key: string, value: object) =>
      client.put(`${DEFAULT_PREFIX}${key}`).value(JSON.stringify(value)).exec();
    for (const [key, value] of stateOf(reals)) await put(key, value);
    loop = await Loop.start(etcd.endpoint);
    const probe = new Probe(loop.loaded.program, REAL.address);
    const times: Times[] = [];
    for (let i = 0; i < WARM_UP + changes; i++) {
      const putWeight = (weight: number) => put(keys.real('pool', 'r0'), { ...REAL, weight });
      times.push(await measureOne(loop, putWeight, probe, i % 2 === 0 ? 0 : REAL.weight));
      await sleep(Math.random() * PAUSE_MS, undefined, { signal });
    }
    return times.slice(WARM_UP);
  } finally {
    await loop?.close();
    client.close();
  }
}

function print(reals: number, times: readonly Times[], json: boolean): void {
  const figures = parts.map((part) => {
    const values = times.map((time) => time[part]);
    return { part, medianMs: median(values), p99Ms: percentile(values, 0.99) };
  });
  if (json) {
    console.log(JSON.stringify({ reals, changes: times.length, figures }));
    return;
  }
  const total = figures[0]?.medianMs ?? Number.NaN;
  console.log(`\npool of ${reals} reals, ${times.length} changes`);
  printTable(
    ['part', 'share of the median total', 'median ms', 'p99 ms'],
    figures.map(({ part, medianMs, p99Ms }) => [
      part,
      `${((medianMs / total) * 100).toFixed(0)} %`,
      medianMs.toFixed(2),
      p99Ms.toFixed(2),
    ]),
  );
}

const { values: options } = parseArgs({
  options: {
    reals: { type: 'string', multiple: true, default: ['3', '100', '1000'] },
    changes: { type: 'string', default: '250' },
    json: { type: 'boolean', default: false },
  },
});
if ([...options.reals, options.changes].some((text) => !/^[1-9]\d*$/.test(text))) {
  console.error('--reals and --changes take whole numbers of at least 1.');
  process.exit(2);
}
// So that an interrupted run takes its etcd and its directory with it.
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => interrupted.abort(new Error(`ended by ${signal}`)));
try {
  for (const reals of options.reals.map(Number))
    print(reals, await measure(reals, Number(options.changes), interrupted.signal), options.json);
} catch (error) {
  console.error(interrupted.signal.aborted ? messageOf(interrupted.signal.reason) : error);
  process.exitCode = 1;
}
