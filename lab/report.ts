/** What the lab says about itself to a person. */
import { statePrefix } from './agent.ts';
import type { Lab, PartState } from './lab.ts';
import { rootLeg, routerNamespace, vipPrefix } from './topology.ts';

const exampleVip = '192.0.2.10';

function put(lab: Lab, key: string, value: object): string {
  return `  etcdctl --endpoints=${lab.etcd.endpoint} put ${statePrefix}desired/${key} '${JSON.stringify(value)}'`;
}

/** What `lab up` prints: where everything is, and commands that can be pasted. */
export function howToTry(lab: Lab): string {
  const line = (name: string, address: string, note: string) => `  ${name.padEnd(8)}${address.padEnd(16)}${note}`;
  const inClient = `nsenter --net=/run/netns/${lab.client.host.namespace}`;
  const first = lab.lbs[0];
  return [
    'The lab is up.',
    '',
    line('client', lab.client.host.address, `namespace ${lab.client.host.namespace}`),
    ...lab.lbs.map((lb) => line(lb.name, lb.host.address, `namespace ${lb.host.namespace}, log ${lb.logFile}`)),
    ...lab.reals.map((real) => line(real.name, real.address, `namespace ${real.host.namespace}, nginx on 80 and 8080`)),
    line('etcd', rootLeg.address, lab.etcd.endpoint),
    line('VIPs', vipPrefix, 'any address of it, routed to the LBs'),
    '',
    'Deploy a pool and a VIP:',
    put(lab, 'pools/web', {}),
    ...lab.reals.map((real) => put(lab, `pools/web/reals/${real.name}`, { address: real.address })),
    put(lab, 'vips/web', { address: exampleVip, port: 80, protocol: 'tcp', pool: 'web' }),
    '',
    'Be the client:',
    `  ${inClient} curl http://${exampleVip}/`,
    '',
    'See both directions of the LB:',
    `  nsenter --net=/run/netns/${routerNamespace} tcpdump -ni ${first?.host.routerDevice}`,
    '',
    'Remove it all: pilotfish lab down',
  ].join('\n');
}

function describeProcess(part: PartState): string {
  if (part.pid === null) return part.name === 'client' ? '' : 'not running';
  const readiness = part.ready === undefined ? '' : part.ready ? ', ready' : ', not ready';
  return `process ${part.pid}${readiness}`;
}

/** What `lab status` prints: a line for each part. */
export function statusTable(parts: readonly PartState[]): string {
  const rows = parts.map((part) => [
    part.name,
    part.address,
    part.namespaceExists ? (part.namespace ?? '-') : `${part.namespace} is gone`,
    describeProcess(part),
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
