import { RING_SLOTS } from '../core/data-plane.ts';
import type { Outcome } from '../core/explain.ts';
import type { ExplainedReal } from '../core/explain-reals.ts';
import type { Explained } from './explain.ts';
import { counted, formatTable } from './output.ts';

/** An explanation for somebody who has never seen the inside of the program. */

function line(title: string, text: string): string {
  return `${title.padEnd(13)}${text}`;
}

function portText(port: number): string {
  return port === 0 ? 'every port' : `port ${port}`;
}

function vipText({ vip, nearest, flow }: Explained): string {
  if (vip !== null)
    return `${vip.name}: ${vip.address}, ${portText(vip.port)}, ${vip.protocol}; matched by its ${vip.match === 'exact port' ? 'own port' : 'address alone, as it serves every port'}`;
  if (nearest === null) return 'none: no VIP has this address';
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

const dropped: Readonly<Record<string, string>> = {
  no_real: 'is dropped (no_real): no real of the pool takes new flows',
  no_gateway: 'is dropped (no_gateway): the MAC address of the gateway is not known',
  not_vip: 'is passed up to the host itself (not_vip)',
};

function goesTo(outcome: Outcome, { reals, pool }: Explained): string {
  if (outcome.real === null || outcome.reason !== 'forwarded') return dropped[outcome.reason] ?? outcome.reason;
  const other = outcome.pool === pool ? '' : ` of pool ${outcome.pool}, which the VIP had before`;
  const by = outcome.path === 'cache' ? 'the flow cache remembers it' : 'by the ring';
  return `goes to ${nameOf(outcome.real, reals)}${other}: ${by}`;
}

function cacheLines(explained: Explained): string[] {
  const { cache, reals } = explained;
  if (cache === null) return [line('Flow cache', 'not looked at: only an agent has one')];
  if (cache.length === 0) return [line('Flow cache', 'does not know the flow on any CPU of this host')];
  return cache.map(({ cpu, real }, i) => {
    const what =
      real === null
        ? 'has an entry that is void: its real is no longer there'
        : `remembers the flow at ${nameOf(real.address, reals)}`;
    return line(i === 0 ? 'Flow cache' : '', `CPU ${cpu} ${what}`);
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

function poolLines(explained: Explained): string[] {
  const { pool, reals, hash, slot, owner, floor } = explained;
  if (pool === null || slot === null) return [];
  const takers = reals.filter(({ takesNewFlows }) => takesNewFlows).length;
  const owned = owner === null ? 'which nobody has: the ring is empty' : `which is ${nameOf(owner, reals)}'s`;
  return [
    line('Pool', `${pool}: ${counted(reals.length, 'real')}, new flows go to ${takers}`),
    ...(floor ? [line('', 'health is ignored, since too little of the weight is up (minHealthy)')] : []),
    line('Ring', `the flow's hash is ${hash}, its slot ${slot} of ${RING_SLOTS}, ${owned}`),
    ...(reals.length > 0 ? ['', realsTable(explained), ''] : []),
    ...cacheLines(explained),
  ];
}

export function explanationText(explained: Explained): string {
  const { flow, lb, problems, vip, newConnection } = explained;
  return [
    `${flow}${lb === null ? ', by the file alone: every real is taken as up' : `, on LB ${lb}`}`,
    ...problems.map((problem) => `  ! ${problem}`),
    '',
    line('VIP', vipText(explained)),
    ...poolLines(explained),
    ...nextPacketLines(explained),
    ...(vip === null
      ? []
      : [line('New flow', `${flow.startsWith('tcp') ? 'a SYN ' : ''}${goesTo(newConnection, explained)}`)]),
  ].join('\n');
}
