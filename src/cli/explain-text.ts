import { RING_SLOTS } from '../core/data-plane.ts';
import type { Explanation, Outcome } from '../core/explain.ts';
import type { ExplainedReal } from '../core/explain-reals.ts';
import type { FlowMode } from '../core/flow-hash.ts';
import type { Explained } from './explain.ts';
import { counted, formatTable } from './output.ts';
import { sendingLines } from './sending-text.ts';

/** An explanation for somebody who has never seen the inside of the program. */

function line(title: string, text: string): string {
  return `${title.padEnd(13)}${text}`;
}

function portText(port: number): string {
  return port === 0 ? 'every port' : `port ${port}`;
}

type Vip = NonNullable<Explanation['vip']>;

function matchText({ address, match }: Vip): string {
  const by = {
    'exact port': 'its own port',
    'every port': 'its address alone, as it serves every port',
    'only one': 'its address alone, as a fragment has no port',
  }[match];
  return address.includes('/') ? `${by}; no VIP with a longer prefix matches` : by;
}

function vipText({ vip, nearest, flow, newConnection }: Explained): string {
  if (vip !== null)
    return `${vip.name}: ${vip.address}, ${portText(vip.port)}, ${vip.protocol}; matched by ${matchText(vip)}`;
  if (nearest === null) return 'none: no VIP has this address';
  if (newConnection.reason === 'fragment')
    return 'none that takes fragments: it has to be the only one of its address and protocol, with fragments: hash';
  const protocol = flow.startsWith(`${nearest.protocol} `) ? '' : `${nearest.protocol}, not ${flow.split(' ', 1)[0]}; `;
  return `none for this port and protocol; the nearest of this address is ${nearest.name}: ${protocol}${portText(nearest.port)}`;
}

function nameOf(address: string, reals: readonly ExplainedReal[]): string {
  const id = reals.find((real) => real.address === address)?.id;
  return id === undefined || id === null ? address : `${address} (${id})`;
}

function realsTable({ reals }: Explained): string {
  const rows = reals.map((real) => [
    real.id,
    real.address,
    real.weight,
    real.state,
    real.health,
    `${((100 * real.slots) / RING_SLOTS).toFixed(1)} %`,
    real.takesNewFlows ? 'yes' : 'no',
    real.why,
  ]);
  return formatTable(['REAL', 'ADDRESS', 'WEIGHT', 'STATE', 'HEALTH', 'SHARE', 'NEW FLOWS', 'WHY'], rows);
}

/** Without a real; and with one, behind its name. */
const fates: Readonly<Record<string, string>> = {
  no_real: 'is dropped (no_real): no real of the pool takes new flows',
  not_vip: 'is passed up to the host itself (not_vip)',
  fragment: 'is dropped (fragment)',
  local_real: ', which is this host: passed up (local_real)',
  no_gateway: ', but is dropped (no_gateway): the MAC address of the gateway is not known',
  no_neighbour: ', but is dropped (no_neighbour): its MAC address is not known',
};

const ways: Readonly<Record<NonNullable<Outcome['path']>, string>> = {
  cache: 'the flow cache remembers it',
  ring: 'by the ring',
  prefix: 'by the ring of the pool for clients of its prefix',
  quic: 'by the id in its QUIC connection id',
  option: 'by the id in its TCP option',
  stable: 'by the stable routing id in its payload',
};

function goesTo(outcome: Outcome, { reals, pool }: Explained): string {
  if (outcome.real === null || outcome.path === null) return fates[outcome.reason] ?? outcome.reason;
  const older = outcome.path === 'cache' ? ', whose flow it was before' : '';
  const other = outcome.pool === pool ? '' : ` of pool ${outcome.pool}${older}`;
  const fate = outcome.reason === 'forwarded' ? '' : (fates[outcome.reason] ?? outcome.reason);
  return `goes to ${nameOf(outcome.real, reals)}${other}: ${ways[outcome.path]}${fate}`;
}

function idLines({ ids, reals }: Explained): string[] {
  return ids.map(({ setting, id, real }, i) => {
    const owner = real === null ? 'of no real that keeps its flows' : `of ${nameOf(real.address, reals)}`;
    const what = id === null ? 'the packet as given carries no id' : `id ${id}, ${owner}`;
    return line(i === 0 ? 'Id' : '', `${setting}: ${what}`);
  });
}

function clientLines({ client }: Explained): string[] {
  return client === null ? [] : [line('Client', `its prefix ${client.prefix} goes to pool ${client.pool}`)];
}

/** What the hash is over, where it is not all of the flow. */
const modeTexts: Readonly<Record<FlowMode, string>> = {
  '5-tuple': "the flow's hash",
  source: "the source address's hash",
  'dest-port': "the destination port's hash",
  pair: 'the hash of the two addresses',
};

function cacheLines(explained: Explained): string[] {
  const { cache, cacheMode, reals, lb } = explained;
  if (cacheMode === null) return [line('Flow cache', 'not used by this VIP (flowCache: false)')];
  if (cache === null || lb === null) return [line('Flow cache', 'not looked at: only an agent has one')];
  const what = cacheMode === 'pair' ? 'pair of addresses (fragments: hash)' : 'flow';
  if (cache.length === 0) return [line('Flow cache', `does not know the ${what} on any CPU of this host`)];
  return cache.map(({ cpu, real }, i) => {
    const state =
      real === null ? 'has an entry that is void' : `remembers the ${what} at ${nameOf(real.address, reals)}`;
    return line(i === 0 ? 'Flow cache' : '', `CPU ${cpu} ${state}`);
  });
}

function nextPacketLines(explained: Explained): string[] {
  const { nextPacket } = explained;
  const where = (cpu: number | null): string => {
    if (nextPacket.length === 1) return '';
    return cpu === null ? 'on any other CPU ' : `on CPU ${cpu} `;
  };
  return nextPacket.map((outcome, i) =>
    line(i === 0 ? 'Next packet' : '', `${where(outcome.cpu)}${goesTo(outcome, explained)}`),
  );
}

function newFlowLines(explained: Explained): string[] {
  const { vip, flow, newConnection, cacheMode } = explained;
  // With fragments: hash there are no flows, and a SYN is like any other packet.
  if (vip === null || cacheMode === 'pair') return [];
  return [line('New flow', `${flow.startsWith('tcp') ? 'a SYN ' : ''}${goesTo(newConnection, explained)}`)];
}

function poolLines(explained: Explained): string[] {
  const { pool, reals, mode, hash, slot, owner, floor } = explained;
  if (pool === null || slot === null || mode === null) return [];
  const takers = reals.filter(({ takesNewFlows }) => takesNewFlows).length;
  const owned = owner === null ? 'which nobody has: the ring is empty' : `which is ${nameOf(owner, reals)}'s`;
  return [
    ...idLines(explained),
    ...clientLines(explained),
    line('Pool', `${pool}: ${counted(reals.length, 'real')}, new flows go to ${takers}`),
    ...(floor ? [line('', 'health is ignored, since too little of the weight is up (minHealthy)')] : []),
    line('Ring', `${modeTexts[mode]} is ${hash}, its slot ${slot} of ${RING_SLOTS}, ${owned}`),
    ...(reals.length > 0 ? ['', realsTable(explained), ''] : []),
    ...cacheLines(explained),
  ];
}

export function explanationText(explained: Explained): string {
  const { flow, lb, problems, nextPacket, newConnection } = explained;
  return [
    `${flow}${lb === null ? ', by the file alone: every real is taken as up' : `, on LB ${lb}`}`,
    ...problems.map((problem) => `  ! ${problem}`),
    '',
    line('VIP', vipText(explained)),
    ...poolLines(explained),
    ...nextPacketLines(explained),
    ...newFlowLines(explained),
    ...sendingLines([...nextPacket, newConnection]).map((text, i) => line(i === 0 ? 'Sent' : '', text)),
  ].join('\n');
}
