import { setTimeout as sleep } from 'node:timers/promises';
import { canonicalAddress } from '../core/address.ts';
import { PilotfishError } from '../core/errors.ts';
import type { Address } from '../core/model.ts';
import { type LinkRow, readDefaultRoutes, readNeighbours, readRoutesTo } from './iproute.ts';
import type { Neighbours } from './neighbours.ts';

const RESOLVE_MS = 5_000;

/** Where packets go next, and the interface that the kernel knows it on. */
export interface NextHop {
  readonly gateway: Address;
  readonly link: LinkRow;
}

/** At least one. */
export type LinkRows = readonly [LinkRow, ...LinkRow[]];

/**
 * The gateway, and where it is.
 *
 * @param candidates interfaces to look on, the likeliest first
 * @param given undefined: as the routing table has it
 * @throws PilotfishError PF_GATEWAY
 */
export async function findNextHop(candidates: LinkRows, given: Address | undefined): Promise<NextHop> {
  if (given !== undefined) {
    const [route] = await readRoutesTo([given]);
    return { gateway: given, link: candidates.find(({ ifname }) => ifname === route?.dev) ?? candidates[0] };
  }
  // IPv4’s default gateway, else IPv6’s. Either takes packets of both families.
  for (const family of ['-4', '-6'] as const)
    for (const link of candidates) {
      const routes = await readDefaultRoutes(link.ifname, family);
      const gateway = canonicalAddress(routes.find((route) => route.gateway !== undefined)?.gateway ?? '');
      if (gateway !== null) return { gateway, link };
    }
  const names = candidates.map(({ ifname }) => ifname).join(' or ');
  throw new PilotfishError('PF_GATEWAY', `no gateway is configured and no default route leaves by ${names}`, {
    fix: 'set gateway in agent.yaml to the router that encapsulated packets go to',
  });
}

/** @throws PilotfishError PF_GATEWAY when it does not answer within 5 s */
export async function resolveGateway({ gateway, link }: NextHop, neighbours: Neighbours): Promise<void> {
  const { ifname, operstate } = link;
  const deadline = Date.now() + RESOLVE_MS;
  for (let wait = 10; ; wait = Math.min(wait * 2, 500)) {
    neighbours.take(await readNeighbours(ifname));
    if (neighbours.gatewayMac !== undefined) return;
    if (Date.now() > deadline) break;
    await neighbours.ask();
    await sleep(wait);
  }
  throw new PilotfishError(
    'PF_GATEWAY',
    `gateway ${gateway} does not answer on ${ifname} (link is ${operstate}) within ${RESOLVE_MS / 1000} s`,
    {
      fix: `check the cable, VLAN and address: \`ip neigh show dev ${ifname}\`, or set another gateway in agent.yaml`,
      retryable: true,
    },
  );
}
